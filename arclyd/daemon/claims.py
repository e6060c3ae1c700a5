"""Who may publish a key: claims, re-claims, take-overs, and regions that succeed regions.

A claim is granted at once, refused at once, or waits: for the old writer to let go of the
region's lock after it was told to, and no longer than `RELEASE_NS`; a writer that does not
(a stopped process) is left alone with the old region, and a new region succeeds it. The
granted publisher takes the lock and confirms; nobody publishes by the daemon's word alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.control.keys import parse_key
from arclyd.control.messages import Order, Publish, PublishGrant
from arclyd.control.reports import Metadata
from arclyd.daemon import adoption, metadata
from arclyd.daemon.stream import SECOND, Claim, Granted, Now, Party, Phase, Publisher, Stream
from arclyd.daemon.streams import FLOOR_NS
from arclyd.errors import AlreadyPublishing, ArclydError, RequestRefused
from arclyd.ring import _ring
from arclyd.ring.region import RegionSpec

if TYPE_CHECKING:
    from arclyd.daemon.regions import Handle
    from arclyd.daemon.streams import Streams

RELEASE_NS: Final = 2 * SECOND
"""How long an old writer may take to let go after it was told to."""

KINDS: Final = ("video", "audio", "data")
MAX_TRACKS: Final = 16
U32: Final = 0xFFFF_FFFF

Settled = tuple[Claim, Granted | ArclydError]


class Claims:
    """Decides publish requests over a table of streams."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def publish(
        self, party: Party, token: int, request: Publish, now: Now, offered: tuple[int, ...] = ()
    ) -> Granted | None:
        """Answer a publish request; None: the answer comes out of `settle`, with ``token``.

        ``offered``: descriptors that came with it; of a sealed region, where it resumes. They stay the caller's.

        Raises:
            InvalidKey, RequestRefused, AlreadyPublishing, PublisherLimit, MemoryBudget, NoSpace, RegionCorrupt.
        """
        claim = self._sound(party, token, request)
        stream = self._streams.find(request.key)
        if stream is not None:
            self._streams.look(stream, now)
            stream = self._streams.find(request.key)
        if stream is None and request.resume and offered:
            adoption.readmit(self._streams, offered[0], request.key, request.resume, now)
            stream = self._streams.get(request.key)
        if stream is None:
            return self._begin(claim, now)
        if request.resume == stream.handle.region_id and self._is_same_writer(stream, party):
            return self._resume(stream, claim, now)
        if stream.waiting is None and (claim.replace or stream.phase is Phase.INTERRUPTED):
            return self._take_over(stream, claim, now)
        raise AlreadyPublishing(request.key, stream.publisher_pid)

    def confirm(self, party: Party, key: str, region_id: str, epoch: int, now: Now) -> None:
        """The publisher says that it holds the lock and writes in ``epoch``; raises `RequestRefused` where not so."""
        stream = self._streams.get(key)
        if not stream.published_by(party.conn) or stream.handle.region_id != region_id:
            raise RequestRefused(f"the claim of {key!r} has passed to another publisher, or was given up")
        if stream.phase is Phase.PUBLISHING and stream.interrupted_ns is None and stream.handle.epoch == epoch:
            return
        if not stream.handle.writer_lives() or stream.handle.epoch != epoch:
            raise RequestRefused(f"nobody writes {key!r} in epoch {epoch}: the region's lock is taken first")
        stream.enter(Phase.PUBLISHING, now)
        stream.interrupted_ns = None
        kind = "publish_resumed" if stream.returns else "publish_started"
        self._streams.events.append(now.ms, kind, key, **_who(party), epoch=epoch, region_id=region_id)

    def end(self, party: Party, key: str, now: Now) -> None:
        """The publisher of this connection is done. Idempotent."""
        stream = self._streams.find(key)
        if stream is not None and stream.published_by(party.conn):
            self._streams.finish(stream, _ring.CLOSED_ENDED, now)

    @property
    def waiting(self) -> bool:
        """Some claim waits for an old writer."""
        return any(stream.waiting is not None for stream in self._streams)

    def settle(self, now: Now) -> list[Settled]:
        """Claims that waited and need wait no longer, with their answers."""
        settled: list[Settled] = list(self._streams.turned_away)
        self._streams.turned_away.clear()
        for stream in self._streams:
            claim = stream.waiting
            if claim is None:
                continue
            try:
                granted = self._try(stream, claim, now)
            except ArclydError as error:
                stream.waiting = None
                settled.append((claim, error.with_traceback(None)))  # its frames hold the stream, and this list
            else:
                if granted is not None:
                    settled.append((claim, granted))
        return settled

    # ------------------------------------------------------------- decisions

    def _sound(self, party: Party, token: int, request: Publish) -> Claim:
        app_name, _ = parse_key(request.key)
        app = self._streams.config.app(app_name)
        policy = request.on_taken or app.on_taken
        if policy not in ("reject", "replace"):
            raise RequestRefused(f"on_taken is reject or replace, not {policy[:64]!r}")
        if not 1 <= len(request.tracks) <= MAX_TRACKS:
            raise RequestRefused(f"a stream has 1 to {MAX_TRACKS} tracks, not {len(request.tracks)}")
        for number, track in enumerate(request.tracks):
            small = (*track.time_base, track.width, track.height, track.sample_rate, track.channels)
            if track.kind not in KINDS or not 0 <= track.codec <= 255 or 0 in track.time_base:
                raise RequestRefused(f"track {number} makes no sense: {track.kind[:64]!r}, codec {track.codec}")
            if not all(0 <= value <= U32 for value in small):
                raise RequestRefused(f"track {number} has a number outside 0 to {U32}")
        said = metadata.merge(Metadata(request.key), request.metadata)
        return Claim(party, token, request, app, said, policy == "replace")

    @staticmethod
    def _is_same_writer(stream: Stream, party: Party) -> bool:
        """The stream's living writer speaks again: over a new connection, or to a new daemon."""
        publisher = stream.publisher
        if stream.phase is not Phase.PUBLISHING or publisher is None:
            return False
        return not publisher.connected or publisher.party.peer == party.peer

    def _begin(self, claim: Claim, now: Now) -> Granted:
        key = claim.request.key
        self._streams.check_publishers(key)
        stream = Stream(key, claim.app, self._create(claim), Phase.CLAIMED, now.ns, claim.metadata, now.ms, now.ns)
        self._streams.add(stream)
        return self._grant(stream, claim, now)

    def _resume(self, stream: Stream, claim: Claim, now: Now) -> Granted:
        stream.publisher = Publisher(claim.party, now.ms)
        stream.metadata = claim.metadata
        if stream.interrupted_ns is not None:  # it never came to confirm
            self.confirm(claim.party, stream.key, stream.handle.region_id, stream.handle.epoch, now)
        grant = PublishGrant(stream.handle.region_id, stream.handle.epoch, stream.app.max_lag)
        return Granted(grant, None)

    def _take_over(self, stream: Stream, claim: Claim, now: Now) -> Granted | None:
        self._streams.check_publishers(stream.key)
        stream.waiting = claim
        try:
            granted = self._try(stream, claim, now)
        except ArclydError:
            stream.waiting = None
            raise
        return granted

    def _try(self, stream: Stream, claim: Claim, now: Now) -> Granted | None:
        """Grant a waiting claim if it can be now."""
        self._streams.look(stream, now)
        if stream.phase is Phase.CLAIMED:  # it is not known yet who there is to replace
            return None
        if not stream.handle.writer_lives():
            return self._succeed(stream, claim, now)
        if claim.deadline_ns is None:
            claim.deadline_ns = now.ns + RELEASE_NS
            self._replace(stream, claim, now)
        elif now.ns >= claim.deadline_ns:
            return self._succeed(stream, claim, now)
        return None

    def _replace(self, stream: Stream, claim: Claim, now: Now) -> None:
        """Tell the old publisher to stop; its writer is told by the region, at its next frame."""
        stream.handle.grant(stream.handle.epoch + 1)
        if stream.publisher is None:  # a kicked publisher that still holds the lock
            return
        old, new = stream.publisher.party.peer, claim.party.peer
        facts = {"pid": old.pid, "uid": old.uid, "by": new.pid, "by_uid": new.uid}
        self._streams.dismiss(stream, "replaced", "refused")
        self._streams.events.append(now.ms, "publish_replaced", stream.key, **facts)

    def _succeed(self, stream: Stream, claim: Claim, now: Now) -> Granted:
        """Grant the claim on the stream's region, or on a new one where that does not fit or is not free."""
        stream.returns = stream.returns or stream.handle.epoch > 0
        if stream.interrupted_ns is None:
            stream.interrupted_ns = now.ns
        if stream.handle.has_ended or stream.handle.writer_lives() or not _fits(stream.handle, claim):
            self._supersede(stream, claim, now)
        stream.waiting = None
        stream.app = claim.app
        stream.metadata = claim.metadata
        return self._grant(stream, claim, now)

    def _supersede(self, stream: Stream, claim: Claim, now: Now) -> None:
        """Move the stream to a new region; its readers drain the old one and attach anew."""
        old = stream.handle
        # A writer that holds the lock may be amid its last frame: that sequence is not used again.
        new = self._create(claim, old.head + old.writer_lives(), old.epoch + 1, freed=old.size)
        old.close(_ring.CLOSED_SUPERSEDED)
        stream.floor = max(stream.floor, self._streams.subscriber_count(stream))
        stream.floor_until_ns = now.ns + FLOOR_NS
        stream.handle = new
        for subscriber in self._streams.subscribers.end_region(old.region_id):
            self._streams.courier.order(subscriber.conn, Order("superseded", stream.key, subscriber.id, "superseded"))
        old.release()

    def _create(self, claim: Claim, base_seq: int = 0, base_epoch: int = 0, *, freed: int = 0) -> Handle:
        request, app = claim.request, claim.app
        ring_bytes, slots = request.ring_bytes or app.ring_bytes, request.slots or app.slots
        spec = RegionSpec(
            ring_bytes=ring_bytes,
            slots=slots,
            gop_frames=app.gop_frames,
            gop_bytes=app.gop_bytes,
            gop_ms=app.gop_ms,
            crc=app.crc,
            base_seq=base_seq,
            base_epoch=base_epoch,
        )
        try:
            needed = spec.size
        except (ValueError, OverflowError) as error:
            raise RequestRefused(f"a ring of {ring_bytes} bytes and {slots} slots: {error}") from None
        self._streams.check_memory(needed, freed)
        return self._streams.store.create(request.key, spec, sealed=app.hardened)

    def _grant(self, stream: Stream, claim: Claim, now: Now) -> Granted:
        handle = stream.handle
        epoch = handle.epoch + 1
        handle.grant(epoch)
        stream.publisher = Publisher(claim.party, now.ms)
        stream.claimed_ns = now.ns
        stream.epoch_start = handle.head
        stream.qos.begin(epoch, handle.tracks())
        stream.enter(Phase.CLAIMED, now)
        self._streams.count_subscribers(stream)
        return Granted(PublishGrant(handle.region_id, epoch, stream.app.max_lag), handle)


def _who(party: Party) -> dict[str, int]:
    return {"pid": party.peer.pid, "uid": party.peer.uid}


def _fits(handle: Handle, claim: Claim) -> bool:
    """The region can take the claim: large enough, of the kind asked for, the same codecs in the same order.

    One whose first claim was not finished has no tracks, and takes any.
    """
    request = claim.request
    if handle.is_sealed != claim.app.hardened:
        return False
    if (request.ring_bytes or 0) > handle.ring_bytes or (request.slots or 0) > handle.slots:
        return False
    there = [(track.kind, track.codec, tuple(track.time_base)) for track in handle.tracks()]
    asked = [(KINDS.index(track.kind), track.codec, tuple(track.time_base)) for track in request.tracks]
    return not there or there == asked

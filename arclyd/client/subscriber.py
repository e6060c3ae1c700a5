"""`Subscriber`: one reader of a stream."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.client.allowance import Allowance
from arclyd.client.attachment import REASONS, Attachment
from arclyd.client.exchange import socket_path
from arclyd.client.selection import ALL_TRACKS, ring_start, track_mask, tracks_of
from arclyd.client.unseen import UnseenReader
from arclyd.control.keys import parse_key
from arclyd.errors import EndOfStream, RequestRefused
from arclyd.ring._ring import CLOSED_ENDED, CLOSED_REFUSED, CLOSED_SUPERSEDED, STATE_NEW, Frame, Gap, Reader, Receiver

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from types import TracebackType

    from arclyd.client.observer import Observer
    from arclyd.media.track import Track
    from arclyd.ring._ring import Region

RESYNCS: Final = ("keyframe", "oldest")
"""Where a reader goes on that was overtaken: the newest join point, or the oldest frame there is."""

MOST_SPIN: Final = 0.01
"""Seconds: who waits for longer does not feel the wake-up."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a reader is behind the newest frame."""

    frames: int
    bytes: int
    seconds: float


class Subscriber(Receiver):
    """Attaches to a stream and delivers its frames as views into shared memory.

    ``key``: ``app/name``. ``start``: "keyframe" (the newest join point: its configuration, the audio that
    belongs to it, its keyframe, then every frame), "live" (the next frame), "oldest" (the oldest intact join
    point), a sequence, or minus so many seconds. ``resync``: where to go on after having been overtaken,
    "keyframe" or "oldest". ``max_lag``: frames this reader may lose before it is evicted; the allowance
    refills evenly over an hour, so that a rare hiccup never adds up. An application's own bound holds beside
    it. ``tracks``: only these, as track ids or kinds ("video", "audio", "data"), resolved when attaching.
    ``observer``: told of what happens. ``socket``: the daemon's control socket. ``name``: what tools call
    this reader. ``wait``: seconds to wait for the stream to appear. ``spin``: seconds, up to 0.01, for which it
    looks for a frame before it sleeps: saves the time of a wake-up, and takes a processor for itself meanwhile.

    The stream's publisher may come and go, the daemon too: the reader reads on. Frames and their views
    outlive it. Threads may share it: each frame goes to one of them. In a forked child it is over ("refused").

    Raises:
        InvalidKey, StreamNotFound, Unauthorized, RegionCorrupt, LayoutMismatch: it can't be attached to.
        DaemonUnavailable: no daemon answers.
    """

    _reader: Reader | UnseenReader

    def __init__(
        self,
        key: str,
        *,
        start: str | float = "keyframe",
        resync: str = "keyframe",
        max_lag: int | None = None,
        tracks: Iterable[int | str] | None = None,
        observer: Observer | None = None,
        socket: str | os.PathLike[str] | None = None,
        name: str | None = None,
        wait: float = 0.0,
        spin: float = 0.0,
    ) -> None:
        parse_key(key)
        if not 0 <= spin <= MOST_SPIN:
            raise RequestRefused(f"spin is 0 to {MOST_SPIN} seconds, not {spin!r}")
        if resync not in RESYNCS:
            raise RequestRefused(f"resync is one of {', '.join(RESYNCS)}, not {resync!r}")
        first = ring_start(start)
        self.key = key
        """The stream key."""
        self.end_reason: str | None = None
        """Why the stream is over for this reader, once it is; "closed": `close` was called."""
        self._spin_ns = int(spin * 1e9)
        self._resync_oldest = resync == "oldest"
        self._wanted = None if tracks is None else tuple(tracks)
        self._observer = observer
        self._shows = observer is not None
        self._epoch = 0
        self._lost_before = 0
        self._closing = False
        self._moving, self._ending = threading.Lock(), threading.Lock()
        self._allowance: Allowance | None = None
        self._attachment = Attachment(key, socket_path(socket), name=name or "", wait=wait)
        finalizer = weakref.finalize(self, self._attachment.drop)
        finalizer.atexit = False
        try:
            self._allowance = Allowance.of(max_lag, self._attachment.max_lag)
            region = self._attachment.region
            # "live" is from now on, not from the first read on.
            self._read(region, ("seq", region.head) if first[0] == "live" else first)
        except BaseException:
            self._attachment.drop()
            raise
        if observer is not None:
            observer.on_joined(key, self._region.subscribers)

    # ------------------------------------------------------------- reading

    def recv_raw(self, timeout: float | None = None) -> Frame | Gap:
        """As `recv`, with frames lost as a value: a `Gap` where they were."""
        deadline = None if timeout is None else time.monotonic() + timeout
        item = self._reader.recv(-1 if timeout is None else max(0, int(timeout * 1e9)))
        return self._settled(item, deadline, timeout)

    def recv_many(self, max_frames: int, timeout: float | None = None) -> list[Frame]:
        """What is there at once, up to ``max_frames``; waits only for the first. Empty: none in time.

        A gap shows as a jump of ``seq`` within or before the list, and in `dropped`.

        Raises:
            EndOfStream: none will come.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            reader = self._reader
            missed = reader.missed
            items = reader.recv_many(max_frames, _ns_until(deadline))
            if items and reader.missed == missed and self._observer is None:  # nearly always: frames, and no gap
                return items  # type: ignore[return-value] # a gap is what missed counts
            if frames := self._frames_of(items):
                return frames
            if not items and not self._over(deadline):
                return []

    # --------------------------------------------------------------- facts

    @property
    def dropped(self) -> int:
        """Frames lost so far."""
        return self._lost_before + self._reader.missed

    @property
    def lag(self) -> Lag:
        """How far this reader is behind the newest frame."""
        frames, size, ns = self._reader.lag()
        return Lag(frames, size, ns / 1e9)

    @property
    def tracks(self) -> list[Track]:
        """The stream's tracks, each with the configuration now in force; a track's id is its place."""
        return tracks_of(self._region)

    @property
    def id(self) -> int:
        """What the daemon calls this reader (`Control.kick` takes it)."""
        return self._attachment.id

    def close(self) -> None:
        """Detach. A `recv` blocked in another thread ends with `EndOfStream` ("closed"). Idempotent."""
        if self.end_reason is None:
            self._closing = True
            self._reader.kick(CLOSED_REFUSED)
            self._finish("closed")
        self._attachment.leave("left")

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------- for the asyncio face as well

    def _poll(self) -> Frame | Gap | None:
        """The next item if it is there, without waiting; `EndOfStream` as `recv`."""
        item = self._reader.recv(0)
        if item is not None:
            return self._seen(item)
        if self._reader.closed not in (0, CLOSED_SUPERSEDED):
            self._over(None)
        return None

    def _drop(self) -> None:
        """Detach from wherever this is called, waiting for nothing."""
        self._closing = True
        self._reader.kick(CLOSED_REFUSED)
        self._attachment.drop()

    @property
    def _superseded(self) -> bool:
        """The reader is at the end of its region, and another one goes on."""
        return self._reader.closed == CLOSED_SUPERSEDED

    @property
    def _ring_reader(self) -> Reader:
        """What an event loop can wait on."""
        return self._reader if isinstance(self._reader, Reader) else self._reader.reader

    def _follow_within(self, seconds: float) -> None:
        """Go on in that other region, if it is there in time."""
        self._follow(self._reader, time.monotonic() + seconds)

    # -------------------------------------------------------------- inside

    def _settled(self, item: Frame | Gap | None, deadline: float | None, timeout: float | None) -> Frame | Gap:
        """``item`` once it was taken note of; where it is None, the next one, or why there is none."""
        while item is None:
            if not self._over(deadline):
                raise TimeoutError(f"no frame of {self.key!r} within {timeout} s")
            item = self._reader.recv(_ns_until(deadline))
        return self._seen(item)

    def _frame_after(self, item: Frame | Gap | None, deadline: float | None, timeout: float | None) -> Frame:
        """``item`` once it was taken note of if it is a frame, else the next that is."""
        item = self._settled(item, deadline, timeout)
        while type(item) is not Frame:
            item = self._settled(self._reader.recv(_ns_until(deadline)), deadline, timeout)
        return item

    def _seen(self, item: Frame | Gap) -> Frame | Gap:
        if type(item) is Gap:
            self._lost(item)
        elif self._observer is not None:
            assert type(item) is Frame
            self._show(self._observer, item)
        return item

    def _frames_of(self, items: list[Frame | Gap]) -> list[Frame]:
        frames: list[Frame] = []
        for item in items:
            try:
                if type(self._seen(item)) is Frame:
                    frames.append(item)  # type: ignore[arg-type] # mypy does not narrow by type() of another name
            except EndOfStream:
                if not frames:
                    raise
                break  # evicted: what came before is still good; the next call says so
        return frames

    def _show(self, observer: Observer, frame: Frame) -> None:
        if frame.epoch != self._epoch:
            self._epoch = frame.epoch
            observer.on_publish_started(self.key, frame.epoch)
        observer.on_frame(self.key, frame)

    def _lost(self, gap: Gap) -> None:
        self._attachment.gap()
        if self._observer is not None:
            self._observer.on_gap(self.key, gap)
        if self._allowance is not None and not self._allowance.spend(gap.missed):
            self._reader.kick(CLOSED_REFUSED)
            self._finish("evicted")
            raise EndOfStream("evicted", self.key)

    def _over(self, deadline: float | None) -> bool:
        """Nothing was read: True to try again, False where only the time is up; raises at the end."""
        reader = self._reader
        closed = reader.closed
        if self.end_reason is not None:
            raise EndOfStream(self.end_reason, self.key)
        if closed == CLOSED_SUPERSEDED:
            return self._follow(reader, deadline)
        if closed:
            reason = REASONS.get(closed, "refused")
            self._finish(reason)
            raise EndOfStream(reason, self.key)
        return deadline is None or time.monotonic() < deadline  # woken for nothing: another thread has gone on

    def _follow(self, old: Reader | UnseenReader, deadline: float | None) -> bool:
        """Go on in the region that took over from ``old``'s, at the sequence where that ended."""
        with self._moving:  # the first of several threads goes, the others find it done
            return old is not self._reader or self._move(deadline)

    def _move(self, deadline: float | None) -> bool:
        while not self._closing:
            left = 1.0 if deadline is None else max(0.0, deadline - time.monotonic())
            region = self._attachment.successor(min(left, 1.0))
            if region is not None:
                self._lost_before += self._reader.missed
                self._read(region, ("seq", self._reader.cursor))
                return True
            if self._attachment.is_last:
                self._reader.kick(CLOSED_ENDED)
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False
        return True

    def _read(self, region: Region, start: tuple[str, int]) -> None:
        unseen = region.state == STATE_NEW and any(isinstance(one, str) for one in self._wanted or ())
        mask = ALL_TRACKS if unseen else track_mask(region, self._wanted)
        reader = Reader(region, start, resync_oldest=self._resync_oldest, track_mask=mask, spin_ns=self._spin_ns)

        def seen(stand_in: UnseenReader) -> None:
            with self._moving:
                if self._reader is stand_in:
                    self._read(region, start)

        self._region = region
        self._reader = UnseenReader(reader, region, seen) if unseen else reader
        self._attachment.use(reader, region, self._lost_before, joins=start[0] != "seq")

    def _finish(self, reason: str) -> None:
        with self._ending:
            if self.end_reason is not None:
                return
            self.end_reason = reason
        if reason != "closed":
            self._attachment.leave(reason, timeout=0)
        if (observer := self._observer) is None:
            return
        if reason == "evicted":
            observer.on_evicted(self.key, self.dropped)
        elif reason == "reaped":
            observer.on_reaped(self.key)
        if reason in ("ended", "publisher_gone", "reaped"):
            observer.on_publish_ended(self.key, reason)
        observer.on_left(self.key, self._region.subscribers)


def _ns_until(deadline: float | None) -> int:
    return -1 if deadline is None else max(0, int((deadline - time.monotonic()) * 1e9))

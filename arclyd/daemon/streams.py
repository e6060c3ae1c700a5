"""The registry: every stream over all applications, and when each of them is over.

Claims are decided in `claims`, attachments in `attachments`; here is what both work on: the
table, the limits, the passage of time. Nothing here waits or reads a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from arclyd.control.messages import Order
from arclyd.daemon import metadata
from arclyd.daemon.stream import ACTIVITIES, SECOND, Phase, Publisher, Stream
from arclyd.daemon.subscribers import SubscriberTable
from arclyd.errors import (
    MemoryBudget,
    PublisherLimit,
    RegionError,
    RequestRefused,
    StreamNotFound,
    SubscriberNotFound,
)
from arclyd.ring import _ring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.control.reports import Metadata
    from arclyd.daemon.config import Config
    from arclyd.daemon.events import EventLog
    from arclyd.daemon.regions import Store
    from arclyd.daemon.stream import Claim, Now, Party
    from arclyd.errors import ArclydError

CONFIRM_NS: Final = 5 * SECOND
"""A granted claim nobody confirmed for so long is given up, if nobody holds the lock."""

FLOOR_NS: Final = 2 * SECOND
"""How long subscribers that have to reconnect are counted as if they had."""

SAMPLE_NS: Final = SECOND // 4
GOP_CHECK_NS: Final = SECOND

REASONS: Final = {
    _ring.CLOSED_ENDED: "ended",
    _ring.CLOSED_PUBLISHER_GONE: "publisher_gone",
    _ring.CLOSED_REAPED: "reaped",
    _ring.CLOSED_KICKED: "kicked",
    _ring.CLOSED_SUPERSEDED: "superseded",
    _ring.CLOSED_REFUSED: "refused",
}


class Courier(Protocol):
    """Takes orders to control connections."""

    def order(self, conn: int, order: Order) -> None:
        """Send an order; a connection that is gone loses it."""


class Streams:
    """All streams, by key."""

    def __init__(self, config: Config, store: Store, events: EventLog, courier: Courier) -> None:
        self.config = config
        self.store = store
        self.events = events
        self.courier = courier
        self.subscribers = SubscriberTable()
        self.turned_away: list[tuple[Claim, ArclydError]] = []
        """Claims that waited and are refused, to be answered."""
        self._streams: dict[str, Stream] = {}

    # ------------------------------------------------------------------ table

    def __iter__(self) -> Iterator[Stream]:
        return iter(list(self._streams.values()))

    def __len__(self) -> int:
        return len(self._streams)

    def find(self, key: str) -> Stream | None:
        """The stream of that key, if there is one."""
        return self._streams.get(key)

    def get(self, key: str) -> Stream:
        """The stream of that key; raises `StreamNotFound`."""
        stream = self._streams.get(key)
        if stream is None:
            raise StreamNotFound(key)
        return stream

    def add(self, stream: Stream) -> None:
        """Enter a stream."""
        self._streams[stream.key] = stream

    # ----------------------------------------------------------------- limits

    @property
    def publishers(self) -> int:
        """Streams with a publisher, or one about to be."""
        return sum(stream.phase is not Phase.INTERRUPTED for stream in self._streams.values())

    @property
    def memory(self) -> int:
        """Bytes of all regions."""
        return sum(stream.handle.size for stream in self._streams.values())

    def check_publishers(self, key: str) -> None:
        """Refuse one more publisher where the limit is reached; the one of ``key`` does not count."""
        present = self._streams.get(key)
        others = self.publishers - (present is not None and present.phase is not Phase.INTERRUPTED)
        if others >= self.config.max_publishers:
            raise PublisherLimit(self.config.max_publishers)

    def check_memory(self, needed: int, freed: int = 0) -> None:
        """Refuse a region past the memory budget; ``freed`` bytes go when it comes."""
        budget, used = self.config.memory_budget, self.memory - freed
        if budget and used + needed > budget:
            raise MemoryBudget(needed, used, budget)

    # ------------------------------------------------------------------- time

    def tick(self, now: Now) -> None:
        """Let time pass: liveness, grace, idle time, samples. To be called several times a second."""
        for stream in self:
            try:
                self.look(stream, now)
                if stream.key in self._streams:
                    self._pass_time(stream, now)
            except RegionError as error:
                self.events.append(now.ms, "removed", stream.key, region=stream.handle.name, problem=str(error))
                self.finish(stream, _ring.CLOSED_REFUSED, now)

    def look(self, stream: Stream, now: Now) -> None:
        """Ask the kernel whether the writer lives, and draw the consequences."""
        lives = stream.handle.writer_lives()
        if stream.phase is Phase.PUBLISHING and not lives:
            self._lost(stream, now)
        elif stream.phase is Phase.CLAIMED:
            self._look_claimed(stream, now, lives=lives)
        elif self._is_forsaken(stream, now):
            self.finish(stream, _ring.CLOSED_PUBLISHER_GONE, now)

    def finish(self, stream: Stream, closed: int, now: Now, **facts: object) -> None:
        """End a stream for everybody. A claim that waits for it gets its successor instead."""
        if stream.waiting is not None:
            self.interrupt(stream, now)
            return
        reason = REASONS[closed]
        del self._streams[stream.key]
        stream.handle.close(closed)
        self.subscribers.end_region(stream.handle.region_id)
        for activity in ACTIVITIES:
            if stream.active(activity):
                self.events.append(now.ms, "activity_ended", stream.key, activity=activity)
        facts = {"reason": reason, **stream.publisher_facts, "head": stream.handle.head, **facts}
        self.events.append(now.ms, "publish_ended", stream.key, **facts)
        stream.handle.release()

    def interrupt(self, stream: Stream, now: Now) -> None:
        """The publisher is gone; the stream waits for the next one."""
        who, stream.publisher = stream.publisher_facts, None
        stream.enter(Phase.INTERRUPTED, now)
        stream.interrupted_ns = now.ns
        if stream.waiting is None:
            self.events.append(now.ms, "publish_interrupted", stream.key, **who, grace_seconds=stream.app.grace)

    @staticmethod
    def _is_forsaken(stream: Stream, now: Now) -> bool:
        """Interrupted for the whole grace time, and nobody waits to take over."""
        if stream.phase is not Phase.INTERRUPTED or stream.waiting is not None:
            return False
        return now.ns - stream.since_ns >= stream.app.grace * SECOND

    def _lost(self, stream: Stream, now: Now) -> None:
        if stream.handle.has_ended:
            self.finish(stream, _ring.CLOSED_ENDED, now)
        else:
            self.interrupt(stream, now)

    def _look_claimed(self, stream: Stream, now: Now, *, lives: bool) -> None:
        publisher = stream.publisher
        gone = publisher is None or not publisher.connected
        if lives and gone:  # it was cut off between taking the lock and telling so
            stream.enter(Phase.PUBLISHING, now)
        elif not lives and (gone or now.ns - stream.since_ns >= CONFIRM_NS):
            self._abandon(stream, now)

    def _abandon(self, stream: Stream, now: Now) -> None:
        """A claim came to nothing: the stream is what it was before."""
        if stream.interrupted_ns is not None:
            stream.publisher = None
            stream.phase, stream.since_ns = Phase.INTERRUPTED, stream.interrupted_ns
        else:
            self.finish(stream, _ring.CLOSED_PUBLISHER_GONE, now, problem="the claim was never confirmed")

    def _pass_time(self, stream: Stream, now: Now) -> None:
        if stream.floor and now.ns >= stream.floor_until_ns:
            stream.floor = 0
            self.count_subscribers(stream)
        if now.ns - stream.sampled_ns >= SAMPLE_NS:
            stream.sample(now)
        if now.ns - stream.gop_told_ns >= GOP_CHECK_NS:
            self._check_gops(stream, now)
        self._reap(stream, now)

    def _check_gops(self, stream: Stream, now: Now) -> None:
        stream.gop_told_ns = now.ns
        for number, why in stream.gops.unjoinable(stream.handle.gops(2), stream.handle.gop_limits):
            self.events.append(now.ms, "gop_not_joinable", stream.key, number=number, problem=why)

    def _reap(self, stream: Stream, now: Now) -> None:
        limit = stream.app.idle_timeout
        if not limit or stream.phase is Phase.INTERRUPTED:
            return
        idle = now.ns - stream.last_activity_ns(stream.handle.counters().last_publish_ns)
        if idle >= limit * SECOND:
            self.events.append(now.ms, "reaped", stream.key, idle_seconds=round(idle / SECOND, 3))
            self.dismiss(stream, "end", "reaped")
            self.finish(stream, _ring.CLOSED_REAPED, now)

    # ----------------------------------------------------------------- people

    def dismiss(self, stream: Stream, what: str, reason: str) -> None:
        """Order the publisher to stop, if it can be reached."""
        if stream.publisher and stream.publisher.connected:
            self.courier.order(stream.publisher.party.conn, Order(what, stream.key, reason=reason))

    def count_subscribers(self, stream: Stream) -> None:
        """Publish the number of subscribers in the region."""
        stream.handle.set_subscribers(self.subscriber_count(stream))

    def subscriber_count(self, stream: Stream) -> int:
        """Subscribers of a stream; those that are on their way back count."""
        return max(self.subscribers.count(stream.handle.region_id), stream.floor)

    def end(self, key: str, party: Party, now: Now) -> None:
        """An operator ends a stream for all."""
        stream = self.get(key)
        self._turn_away(stream)
        self.dismiss(stream, "end", "ended")
        self.finish(stream, _ring.CLOSED_ENDED, now, by=party.peer.pid, by_uid=party.peer.uid)

    def kick(self, key: str, id: int, party: Party, now: Now) -> None:
        """An operator ends one subscriber, or (0) throws the publisher out; the stream is then interrupted."""
        stream = self.get(key)
        if id:
            subscriber = self.subscribers.find(stream.handle.region_id, id)
            if subscriber is None:
                raise SubscriberNotFound(key, id)
            self.courier.order(subscriber.conn, Order("kicked", key, id, "kicked"))
            who = {"pid": subscriber.peer.pid, "uid": subscriber.peer.uid}
        else:
            if stream.phase is Phase.INTERRUPTED:
                raise RequestRefused(f"stream {key!r} has no publisher now")
            who = stream.publisher_facts
            self.dismiss(stream, "kicked", "kicked")
            # One past what the publisher has, or was promised: it stops at its next frame.
            stream.handle.grant(stream.handle.epoch + (2 if stream.phase is Phase.CLAIMED else 1))
        self.events.append(now.ms, "kicked", key, id=id, **who, by=party.peer.pid, by_uid=party.peer.uid)
        if not id:
            self.interrupt(stream, now)

    def set_metadata(self, key: str, fields: dict[str, object], now: Now) -> None:
        """Change what is said of a stream."""
        stream = self.get(key)
        changed: Metadata = metadata.merge(stream.metadata, fields)
        if changed != stream.metadata:
            stream.metadata = changed
            self.events.append(now.ms, "metadata", key, fields=sorted(fields))

    def set_activity(self, key: str, activity: str, party: Party, now: Now, *, on: bool) -> None:
        """Begin or end one activity on behalf of a connection."""
        stream = self.get(key)
        if activity not in ACTIVITIES:
            raise RequestRefused(f"no activity {activity[:64]!r} (there are {', '.join(ACTIVITIES)})")
        before, mine = stream.active(activity), stream.activities[activity]
        if on:
            mine[party.conn] += 1
        elif mine[party.conn] <= 1:
            del mine[party.conn]
        else:
            mine[party.conn] -= 1
        self._tell_activity(stream, activity, before, now)

    def disconnect(self, conn: int, now: Now) -> None:
        """A control connection is gone: so is all that lived by it; a publisher's lock has the last word."""
        for stream in self:
            for activity in ACTIVITIES:
                if conn in stream.activities[activity]:
                    before = stream.active(activity)
                    del stream.activities[activity][conn]
                    self._tell_activity(stream, activity, before, now)
            if stream.waiting and stream.waiting.party.conn == conn:
                stream.waiting = None
            if stream.published_by(conn) and isinstance(stream.publisher, Publisher):
                stream.publisher.connected = False
                self.look(stream, now)

    def _tell_activity(self, stream: Stream, activity: str, before: int, now: Now) -> None:
        after = stream.active(activity)
        if bool(before) != bool(after):
            self.events.append(now.ms, "activity_started" if after else "activity_ended", stream.key, activity=activity)

    def _turn_away(self, stream: Stream) -> None:
        if stream.waiting is not None:
            self.turned_away.append((stream.waiting, RequestRefused(f"stream {stream.key!r} was ended by an operator")))
            stream.waiting = None

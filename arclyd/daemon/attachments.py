"""Subscribers coming, reporting and leaving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.control.keys import parse_key
from arclyd.control.messages import SubscribeGrant
from arclyd.daemon.stream import SECOND
from arclyd.daemon.subscribers import report
from arclyd.errors import RequestRefused

if TYPE_CHECKING:
    from arclyd.control.messages import Report, Subscribe
    from arclyd.daemon.regions import Handle
    from arclyd.daemon.stream import Now, Party, Stream
    from arclyd.daemon.streams import Streams
    from arclyd.daemon.subscribers import Subscriber

REASONS: Final = frozenset(("left", "ended", "publisher_gone", "evicted", "kicked", "reaped", "refused", "superseded"))
MAX_NAME: Final = 128
MAX_SEATS: Final = 64
"""Subscribers one connection may have; the library has one."""


class Attachments:
    """Seats subscribers on streams."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._table = streams.subscribers

    def subscribe(self, party: Party, request: Subscribe, now: Now) -> tuple[SubscribeGrant, Handle | None]:
        """Seat a subscriber; the region whose descriptor it gets, or None where it has it mapped already."""
        parse_key(request.key)
        stream = self._streams.get(request.key)
        if len(self._table.of_connection(party.conn)) >= MAX_SEATS:
            raise RequestRefused(f"a connection may have {MAX_SEATS} subscribers")
        handle = stream.handle
        name = (request.name or party.name)[:MAX_NAME]
        subscriber = self._table.add(handle, party.conn, party.peer, name, now_ns=now.ns, now_ms=now.ms)
        self._streams.count_subscribers(stream)
        facts = {"pid": party.peer.pid, "uid": party.peer.uid, "name": name}
        self._streams.events.append(now.ms, "joined", stream.key, id=subscriber.id, **facts)
        grant = SubscribeGrant(subscriber.id, handle.region_id, stream.app.max_lag)
        return grant, None if request.resume == handle.region_id else handle

    def report(self, party: Party, request: Report, now: Now) -> None:
        """Take in where a subscriber stands; of one whose stream is over, nothing."""
        subscriber = self._own(party, request.subscriber_id)
        if not 0 <= request.cursor < 1 << 63 or not 0 <= request.dropped < 1 << 63:
            raise RequestRefused("cursor and dropped are counts")
        stream = self._stream_of(subscriber)
        if stream is None:
            return
        lost = report(subscriber, stream.handle, request.cursor, request.dropped, now.ns)
        if lost:
            facts = {"id": subscriber.id, "pid": subscriber.peer.pid, "missed": lost, "dropped": subscriber.dropped}
            self._streams.events.append(now.ms, "gap", subscriber.key, **facts)

    def unsubscribe(self, party: Party, id: int, reason: str, now: Now) -> None:
        """A subscriber leaves and says why."""
        if reason not in REASONS:
            raise RequestRefused(f"no reason to leave: {reason[:64]!r}")
        self._leave(self._own(party, id), reason, now)

    def request_keyframe(self, key: str, party: Party, now: Now) -> None:
        """Ask a stream's publisher for a keyframe; told once a second."""
        parse_key(key)
        stream = self._streams.get(key)
        stream.handle.request_keyframe()
        if now.ns - stream.keyframe_told_ns >= SECOND:
            stream.keyframe_told_ns = now.ns
            self._streams.events.append(now.ms, "keyframe_requested", key, pid=party.peer.pid)

    def disconnect(self, conn: int, now: Now) -> None:
        """A control connection is gone, and its subscribers with it."""
        for subscriber in self._table.of_connection(conn):
            self._leave(subscriber, "disconnected", now)

    def _leave(self, subscriber: Subscriber, reason: str, now: Now) -> None:
        self._table.remove(subscriber)
        stream = self._stream_of(subscriber)
        if stream is not None:
            self._streams.count_subscribers(stream)
        facts = {"id": subscriber.id, "pid": subscriber.peer.pid, "reason": reason, "dropped": subscriber.dropped}
        self._streams.events.append(now.ms, "evicted" if reason == "evicted" else "left", subscriber.key, **facts)

    def _own(self, party: Party, id: int) -> Subscriber:
        subscriber = self._table.get(id, party.conn)
        if subscriber is None:
            raise RequestRefused(f"this connection has no subscriber {id}")
        return subscriber

    def _stream_of(self, subscriber: Subscriber) -> Stream | None:
        stream = self._streams.find(subscriber.key)
        return stream if stream and stream.handle.region_id == subscriber.region_id else None

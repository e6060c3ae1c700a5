"""The table of subscribers: who is attached to what, where each stands.

An entry lives as long as its control connection, or until it unsubscribes; so a killed one is
gone at once. An entry whose region is closed stays until its reader, which drains it, says why
it left, but is neither shown nor counted.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from arclyd.control.reports import SubscriberInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.daemon.auth import Peer
    from arclyd.daemon.regions import Handle

_SECOND = 1_000_000_000

K = TypeVar("K", int, str)


@dataclass(slots=True)
class Subscriber:
    """One attached reader. ``region_id``: of the region it reads."""

    id: int
    key: str
    region_id: str
    conn: int
    peer: Peer
    name: str
    since_ms: int
    cursor: int
    reported_ns: int
    dropped: int = 0
    lag_ns: int = 0
    ended: bool = False


class SubscriberTable:
    """All subscribers: by id, by the region they read, by the connection they live by."""

    def __init__(self) -> None:
        self._by_id: dict[int, Subscriber] = {}
        self._by_region: dict[str, dict[int, Subscriber]] = {}
        self._by_conn: dict[int, dict[int, Subscriber]] = {}
        self._ids = itertools.count(1)

    def add(self, handle: Handle, conn: int, peer: Peer, name: str, *, now_ns: int, now_ms: int) -> Subscriber:
        """Seat a new subscriber on a region, its cursor at the head until it reports one."""
        subscriber = Subscriber(
            next(self._ids), handle.key, handle.region_id, conn, peer, name, now_ms, handle.head, now_ns
        )
        self._by_id[subscriber.id] = subscriber
        self._by_region.setdefault(handle.region_id, {})[subscriber.id] = subscriber
        self._by_conn.setdefault(conn, {})[subscriber.id] = subscriber
        return subscriber

    def get(self, id: int, conn: int) -> Subscriber | None:
        """Connection ``conn``'s subscriber of that id."""
        found = self._by_id.get(id)
        return found if found and found.conn == conn else None

    def find(self, region_id: str, id: int) -> Subscriber | None:
        """The subscriber of that id on a region."""
        return self._by_region.get(region_id, {}).get(id)

    def remove(self, subscriber: Subscriber) -> None:
        """Take a subscriber from the table. Idempotent."""
        self._by_id.pop(subscriber.id, None)
        _strike(self._by_region, subscriber.region_id, subscriber.id)
        _strike(self._by_conn, subscriber.conn, subscriber.id)

    def end_region(self, region_id: str) -> list[Subscriber]:
        """A region is closed: its subscribers are no longer shown, and are returned."""
        ended = list(self._by_region.pop(region_id, {}).values())
        for subscriber in ended:
            subscriber.ended = True
        return ended

    def on(self, region_id: str) -> Iterator[Subscriber]:
        """Subscribers of a region, oldest first."""
        return iter(list(self._by_region.get(region_id, {}).values()))

    def count(self, region_id: str) -> int:
        """How many a region has."""
        return len(self._by_region.get(region_id, {}))

    def of_connection(self, conn: int) -> list[Subscriber]:
        """Subscribers that live by connection ``conn``."""
        return list(self._by_conn.get(conn, {}).values())


def _strike(seats: dict[K, dict[int, Subscriber]], key: K, id: int) -> None:
    """Take one seat out, and the room with the last one."""
    room = seats.get(key, {})
    room.pop(id, None)
    if not room:
        seats.pop(key, None)


def report(subscriber: Subscriber, handle: Handle, cursor: int, dropped: int, now_ns: int) -> int:
    """Take in where a subscriber stands; returns how many frames it lost since its last report."""
    lost = max(0, dropped - subscriber.dropped)
    subscriber.cursor = cursor
    subscriber.dropped = max(dropped, subscriber.dropped)
    subscriber.reported_ns = now_ns
    subscriber.lag_ns = handle.lag(cursor).ns
    return lost


def describe(subscriber: Subscriber, handle: Handle, last_publish_ns: int, now_ns: int) -> SubscriberInfo:
    """The entry as the control protocol shows it, its lag measured against the head now."""
    lag = handle.lag(subscriber.cursor)
    # A reader the ring has lapped is further behind than the ring reaches: by what was published since it spoke.
    since = subscriber.lag_ns + max(0, last_publish_ns - subscriber.reported_ns)
    lag_ns = max(lag.ns, since) if lag.lapped else lag.ns
    return SubscriberInfo(
        key=subscriber.key,
        id=subscriber.id,
        pid=subscriber.peer.pid,
        uid=subscriber.peer.uid,
        name=subscriber.name,
        cursor=subscriber.cursor,
        dropped=subscriber.dropped,
        lag_frames=lag.frames,
        lag_bytes=lag.bytes,
        lag_seconds=lag_ns / _SECOND,
        since_ms=subscriber.since_ms,
        reported_seconds_ago=max(0, now_ns - subscriber.reported_ns) / _SECOND,
    )

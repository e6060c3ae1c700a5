"""What happened, numbered and bounded: a log of the recent past and queues for those who follow it.

A follower that does not read loses events, is told how many, and costs no more than its queue.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from arclyd.control.reports import Event

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT: Final = 4096
"""Events kept for those who ask for the past."""

QUEUE: Final = 1024
"""Events waiting for one follower."""


@dataclass(slots=True)
class Follower:
    """One reader of the events to come."""

    limit: int = QUEUE
    _queue: deque[Event] = field(default_factory=deque)
    _missed: int = 0

    def push(self, event: Event) -> None:
        """Queue an event; a full queue drops it and counts."""
        if len(self._queue) >= self.limit:
            self._missed += 1
            return
        self._queue.append(self._told(event))

    def pop(self) -> Event | None:
        """The next event, or None."""
        return self._queue.popleft() if self._queue else None

    def _told(self, event: Event) -> Event:
        if not self._missed:
            return event
        missed, self._missed = self._missed, 0
        return dataclasses.replace(event, missed=missed)


class EventLog:
    """All events of this daemon's run. ``seq`` is dense from 1; ``sink`` is called with each."""

    def __init__(self, kept: int = KEPT, sink: Callable[[Event], None] | None = None) -> None:
        self._sink = sink
        self._past: deque[Event] = deque(maxlen=kept)
        self._followers: list[Follower] = []
        self.next_seq = 1

    def append(self, now_ms: int, kind: str, key: str = "", **facts: object) -> Event:
        """Number an event, keep it and hand it to every follower. ``now_ms``: wall clock."""
        event = Event(self.next_seq, now_ms, kind, key, facts)
        self.next_seq += 1
        self._past.append(event)
        for follower in self._followers:
            follower.push(event)
        if self._sink:
            self._sink(event)
        return event

    def since(self, seq: int | None) -> tuple[Event, ...]:
        """Events from number ``seq`` on that are still kept; the first says how many before it are not."""
        if seq is None:
            return ()
        past = [event for event in self._past if event.seq >= seq]
        oldest = past[0].seq if past else self.next_seq
        if past and oldest > max(seq, 1):
            past[0] = dataclasses.replace(past[0], missed=oldest - max(seq, 1))
        return tuple(past)

    def follow(self, limit: int = QUEUE) -> Follower:
        """A queue of the events to come."""
        follower = Follower(limit)
        self._followers.append(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Forget a follower. Idempotent."""
        self._followers = [other for other in self._followers if other is not follower]

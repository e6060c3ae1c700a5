"""A subscriber's side towards the daemon: its place at the table, its reports, and the orders that end it."""

from __future__ import annotations

import os
import queue
import time
from typing import Final

from arclyd.client.exchange import Exchange, close_all
from arclyd.client.link import Link
from arclyd.control.connection import Answer
from arclyd.control.messages import Order, Report, Request, RequestKeyframe, Subscribe, SubscribeGrant, Unsubscribe
from arclyd.errors import ArclydError, ProtocolError, StreamNotFound, Unauthorized
from arclyd.ring import region as regions
from arclyd.ring._ring import (
    CLOSED_ENDED,
    CLOSED_KICKED,
    CLOSED_PUBLISHER_GONE,
    CLOSED_REAPED,
    CLOSED_REFUSED,
    CLOSED_SUPERSEDED,
    Reader,
    Region,
)

REASONS: Final = {
    CLOSED_ENDED: "ended",
    CLOSED_PUBLISHER_GONE: "publisher_gone",
    CLOSED_REAPED: "reaped",
    CLOSED_KICKED: "kicked",
    CLOSED_REFUSED: "refused",
}
"""The region's closing words as reasons of an end of stream."""

WORDS: Final = {reason: word for word, reason in REASONS.items()}

RETRY_PAUSE: Final = 0.05
"""Seconds between attempts to find a stream that is waited for."""


class Attachment:
    """Where a subscriber stands with the daemon. ``region`` is mapped; give it its reader by `use`.

    ``wait``: seconds to wait for the stream to appear.

    Raises:
        StreamNotFound: there is none of that key.
        ArclydError: whatever else the daemon refuses with.
    """

    def __init__(self, key: str, path: str, *, name: str, wait: float) -> None:
        self._key = key
        self._name = name
        self._reader: Reader | None = None
        self._successors: queue.SimpleQueue[Region | None] = queue.SimpleQueue()
        self.is_last = False
        """True: the region that was to succeed is gone, too; what is mapped is all there is."""
        with Exchange(path, name=name) as exchange:
            grant, self.region, self._life_fd = _subscribe(exchange, Subscribe(key, name), wait)
            self.max_lag = grant.max_lag
            """The application's bound on frames lost, if it has one."""
            self._id = grant.subscriber_id
            self._region_id = grant.region_id
            self._reading = self._newest = self.region
            self._lost_before = 0
            self._joins = False
            self._link = Link(exchange, self, name=name)

    @property
    def id(self) -> int:
        """What the daemon calls this subscriber on its stream."""
        return self._id

    def use(self, reader: Reader, region: Region, lost_before: int, *, joins: bool) -> None:
        """Report on ``reader`` of ``region`` from now on.

        ``lost_before``: frames lost on regions before it. ``joins``: it starts at a join point, and can't without.
        """
        self._lost_before = lost_before
        self._reader, self._reading = reader, region
        self._joins = joins
        if region is not self._newest:  # superseded already, before this reader of it was there to be told
            _send_on(reader, region)
        if self._stuck(reader):
            self._link.post(RequestKeyframe(self._key))

    def successor(self, timeout: float | None) -> Region | None:
        """The region that took over from the one superseded; None: not within ``timeout`` seconds, or never."""
        try:
            return self._successors.get(timeout=timeout)
        except queue.Empty:
            return None

    def gap(self) -> None:
        """The reader lost frames: the daemon hears of it at once."""
        self._joins = True
        self._link.report_now()

    def leave(self, reason: str, timeout: float = 1.0) -> None:
        """Give the place up; the daemon is told why. Idempotent."""
        self._link.close(Unsubscribe(self._id, reason), timeout)
        self._watch_life(-1)

    def drop(self) -> None:
        """Give the place up without waiting for the daemon to know."""
        self._link.close(timeout=0)
        self._watch_life(-1)

    # ---------------------------------------------------- in the hub's thread

    def resume(self) -> None:
        """The daemon is another one, or was away: take the place again."""
        self._link.send(Subscribe(self._key, self._name, resume=self._region_id), self._resumed)

    def order(self, order: Order) -> None:
        """An operator ended this subscriber, or another region took over."""
        if order.what == "superseded":  # the seat at the old region is gone already
            self._link.send(Subscribe(self._key, self._name), self._resumed)
        elif order.what == "kicked" and self._reader is not None:
            word = WORDS.get(order.reason, CLOSED_KICKED)
            self._reader.kick(word)
            # At once: a reader that is never read from again must not keep its seat.
            self.leave(REASONS[word])

    def report(self) -> Request | None:
        """Where the reader stands."""
        reader = self._reader
        if reader is None:
            return None
        if self._stuck(reader):
            self._link.send(RequestKeyframe(self._key))
        return Report(self._id, reader.cursor, self._lost_before + reader.missed)

    def cut(self) -> None:
        """In a forked child: the place at the table is the parent's."""
        if self._reader is not None:
            self._reader.kick(CLOSED_REFUSED)
        self._watch_life(-1)

    def _stuck(self, reader: Reader) -> bool:
        """Without a keyframe the reader won't go on (a reader finds its join point when it is first read from)."""
        return self._joins and reader.awaiting_keyframe and not reader.wait(0)

    def _resumed(self, answer: Answer | ArclydError) -> None:
        if isinstance(answer, Answer) and isinstance(answer.value, SubscribeGrant):
            self._id = answer.value.subscriber_id
            self._link.settled()
            if answer.fds:
                self._succeed(answer.value.region_id, answer.fds)
        elif isinstance(answer, Unauthorized):
            if self._reader is not None:
                self._reader.kick(CLOSED_REFUSED)
        elif isinstance(answer, StreamNotFound) and self._newest.closed == CLOSED_SUPERSEDED:
            self.is_last = True
            self._successors.put(None)
        elif isinstance(answer, StreamNotFound) and self._is_orphan():
            self._lose()
        else:  # not there yet: the daemon may still be adopting. What is mapped is read on meanwhile.
            self._link.retry()

    def _succeed(self, region_id: str, fds: tuple[int, ...]) -> None:
        if region_id == self._region_id:
            close_all(fds)
            return
        try:
            region, life_fd = _map(fds)
        except ArclydError:
            self._link.retry()
            return
        self._watch_life(life_fd)
        if region.base_seq < self._newest.head and self._newest.closed != CLOSED_SUPERSEDED:
            self._lose()  # the key's next stream, which does not go on where this one ended
            return
        self._region_id = region_id
        self._newest = region
        reader, reading = self._reader, self._reading  # as it is before its thread takes the new region
        self._successors.put(region)
        if reader is not None and reading is not region:
            _send_on(reader, reading)

    def _is_orphan(self) -> bool:
        """The region is sealed and its writer gone, and the daemon does not know it: so nobody ever will."""
        return self._life_fd >= 0 and not regions.lock_held(self._life_fd)

    def _lose(self) -> None:
        """What the daemon would have said in the region, had it known it."""
        if self._reader is not None:
            self._reader.kick(CLOSED_PUBLISHER_GONE)
        self._link.close(timeout=0)

    def _watch_life(self, fd: int) -> None:
        before, self._life_fd = self._life_fd, fd
        if before >= 0:
            os.close(before)


def _subscribe(exchange: Exchange, request: Subscribe, wait: float) -> tuple[SubscribeGrant, Region, int]:
    deadline = time.monotonic() + wait
    while True:
        try:
            answer = exchange.ask_fds(request)
            break
        except StreamNotFound:
            if time.monotonic() >= deadline:
                raise
            time.sleep(RETRY_PAUSE)
    if not isinstance(answer.value, SubscribeGrant) or len(answer.fds) != 1:
        close_all(answer.fds)
        raise ProtocolError("a subscribe grant without its region")
    return answer.value, *_map(answer.fds)


def _map(fds: tuple[int, ...]) -> tuple[Region, int]:
    """The region, and a descriptor of it to ask for its writer's lock where it is sealed (else -1).

    A named region that lost writer and daemon is found by the next daemon, which then ends it; a sealed one is not.
    """
    try:
        region = Region(fds[0])
        return region, os.dup(fds[0]) if regions.is_sealed(fds[0]) else -1
    finally:
        for fd in fds:
            os.close(fd)


def _send_on(reader: Reader, region: Region) -> None:
    """Have ``reader`` of ``region`` go on to the next, if nobody was left to close this one."""
    if not region.closed:
        reader.kick(CLOSED_SUPERSEDED)

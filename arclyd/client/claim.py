"""A publisher's side towards the daemon: the claim, the region's lock, the writer, and the orders that end it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from arclyd.client.exchange import Exchange, close_all
from arclyd.client.hub import process_hub
from arclyd.client.link import Link
from arclyd.control.connection import Answer
from arclyd.control.messages import (
    EndPublish,
    EventList,
    GetEvents,
    Ok,
    Order,
    Publish,
    PublishGrant,
    Publishing,
    Request,
    TrackSpec,
)
from arclyd.errors import (
    AlreadyPublishing,
    ArclydError,
    DaemonUnavailable,
    LimitReached,
    ProtocolError,
    PublisherClosed,
    PublisherReplaced,
)
from arclyd.ring import region as regions
from arclyd.ring._ring import Region, Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arclyd.client.observer import Observer
    from arclyd.media.track import Track

TAKEOVER: Final = 5.0
"""Seconds a granted claim waits for the one before to let go of the region's lock."""

BACKUP_PATIENCE: Final = 2.0
"""Seconds after which a waiting backup asks again, told of an end or not."""

SPAN_PAUSE: Final = 0.02
"""Seconds between looks at whether a replaced publisher's span was committed or given back."""

_OPENINGS: Final = frozenset({"publish_ended", "publish_interrupted", "removed"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What a publisher claims."""

    key: str
    tracks: tuple[Track, ...]
    ring_bytes: int | None
    slots: int | None
    on_taken: str | None
    metadata: Mapping[str, object]

    def request(self, resume: str | None = None) -> Publish:
        """The claim as a request."""
        return Publish(
            key=self.key,
            tracks=tuple(spec_of(track) for track in self.tracks),
            ring_bytes=self.ring_bytes,
            slots=self.slots,
            on_taken=self.on_taken,
            metadata=dict(self.metadata),
            resume=resume,
        )


def spec_of(track: Track) -> TrackSpec:
    """The track as the control protocol describes it."""
    return TrackSpec(
        kind=track.kind.label,
        codec=int(track.codec),
        time_base=(track.time_base.numerator, track.time_base.denominator),
        width=track.width,
        height=track.height,
        sample_rate=track.sample_rate,
        channels=track.channels,
    )


def ring_track(track: Track) -> tuple[int, int, tuple[int, int], int, int, int, int]:
    """The track as the ring's track table holds it."""
    base = (track.time_base.numerator, track.time_base.denominator)
    return (
        int(track.kind),
        int(track.codec),
        base,
        track.width,
        track.height,
        track.sample_rate,
        track.channels,
    )


class Claim:
    """A granted claim: holds the lock and the writer, keeps the daemon informed.

    Raises:
        AlreadyPublishing: the key has a living publisher and it stays.
        ArclydError: whatever else the daemon refuses with.
    """

    def __init__(self, terms: Terms, path: str, *, name: str, observer: Observer | None) -> None:
        self._terms = terms
        self._observer = observer
        self.over = False
        """No more can be published; the writer raises why."""
        with Exchange(path, name=name) as exchange:
            grant, self._lock_fd, mappable = _claim(exchange, terms)
            self._spare_fd = _spare(mappable)
            try:
                self.writer = Writer(_map(mappable), [ring_track(track) for track in terms.tracks])
                for place, track in enumerate(terms.tracks):
                    if track.config:
                        self.writer.set_config(place, track.config, track.width, track.height)
                self._region_id = grant.region_id
                exchange.ask(self._publishing(), Ok)
            except BaseException:
                self._unlock()
                raise
            self._link = Link(exchange, self, name=name)

    def end(self) -> None:
        """End the stream, tell the daemon, let go of the region. Idempotent."""
        ending = not self.over
        self._stop(PublisherClosed)
        if ending:
            self.writer.end()
        self._link.close(EndPublish(self._terms.key) if ending else None)
        self._release()
        if ending and self._observer is not None:
            self._observer.on_publish_ended(self._terms.key, "ended")

    def drop(self) -> None:
        """Let go without a word, as a killed process would: the stream is interrupted."""
        self._stop(PublisherClosed)
        if self._lock_fd >= 0:
            process_hub().call_soon(self._yield_region)

    # ---------------------------------------------------- in the hub's thread

    def resume(self) -> None:
        """The daemon is another one: tell it that the lock is held and by whom."""
        request = self._terms.request(resume=self._region_id)
        # Not the one with the lock: while a copy of that is on its way, or at the daemon, the lock would be held.
        fds = (os.dup(self._spare_fd),) if self._spare_fd >= 0 else ()
        self._link.send(request, self._resumed, fds)

    def order(self, order: Order) -> None:
        """Another publisher, an operator or the reaper ended this one."""
        if order.what == "replaced":
            self._stop(PublisherReplaced, self._terms.key)
            self._yield_region()
            self._tell_ended("replaced")
        elif order.what in ("end", "kicked"):
            reason = order.reason or "kicked"
            self._stop(PublisherClosed, f"the daemon ended {self._terms.key!r}: {reason}")
            self._yield_region()
            self._tell_ended(reason)

    def report(self) -> Request | None:
        """A publisher has nothing to report: the daemon reads the region."""
        return None

    def cut(self) -> None:
        """In a forked child: the writer and its lock are the parent's."""
        self.over = False  # whatever it was before: the reason is another one now
        self._stop(PublisherClosed, "this publisher belongs to the parent process: open one after the fork")
        self.writer.release()
        if self._lock_fd >= 0:  # closed only: to unlock it would be to unlock the parent's
            os.close(self._lock_fd)
            self._lock_fd = -1
        self._close_spare()

    def _resumed(self, answer: Answer | ArclydError) -> None:
        if isinstance(answer, Answer) and isinstance(answer.value, PublishGrant):
            for fd in answer.fds:  # this publisher's own description carries the lock
                os.close(fd)
            self._link.send(self._publishing())
            self._link.settled()
        elif isinstance(answer, DaemonUnavailable | LimitReached | AlreadyPublishing):
            self._link.retry()
        elif isinstance(answer, ArclydError):
            self._stop(PublisherClosed, f"the daemon would not let {self._terms.key!r} go on: {answer}")
            self._yield_region()
            self._tell_ended("refused")

    def _yield_region(self) -> None:
        """Over for this one: let the next publisher in, unless a span is being filled that it would write over."""
        if self.writer.reserved and self._lock_fd >= 0:
            process_hub().loop.call_later(SPAN_PAUSE, self._yield_region)
        else:
            self._release()
            self._link.close()

    def _publishing(self) -> Publishing:
        return Publishing(self._terms.key, self._region_id, self.writer.epoch)

    def _stop(self, kind: type[PublisherClosed], *facts: str) -> None:
        if not self.over:
            self.over = True
            self.writer.refuse(partial(kind, *facts))

    def _release(self) -> None:
        """Let the region go: its lock, and its mapping unless a span or a view still holds on to that."""
        self.writer.release()
        self._unlock()

    def _unlock(self) -> None:
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            regions.unlock(fd)
            os.close(fd)
        self._close_spare()

    def _close_spare(self) -> None:
        fd, self._spare_fd = self._spare_fd, -1
        if fd >= 0:
            os.close(fd)

    def _tell_ended(self, reason: str) -> None:
        if self._observer is not None:
            self._observer.on_publish_ended(self._terms.key, reason)
            if reason == "reaped":
                self._observer.on_reaped(self._terms.key)


def _claim(exchange: Exchange, terms: Terms) -> tuple[PublishGrant, int, int]:
    """The grant and the region's two descriptors: the first is locked, the second is to be mapped.

    A mapping holds on to the open file description it was made from, and a forked child inherits it: were it the
    one with the lock, the lock would outlive the publisher.
    """
    if terms.on_taken != "backup":
        return _claim_once(exchange, terms)
    waiting = replace(terms, on_taken="reject")
    exchange.ask(GetEvents(follow=True), EventList)
    while True:
        try:
            return _claim_once(exchange, waiting)
        except AlreadyPublishing:
            _await_opening(exchange, terms.key)


def _await_opening(exchange: Exchange, key: str) -> None:
    deadline = time.monotonic() + BACKUP_PATIENCE
    while (left := deadline - time.monotonic()) > 0:
        event = exchange.next_event(left)
        if event is not None and event.key == key and event.kind in _OPENINGS:
            return


def _claim_once(exchange: Exchange, terms: Terms) -> tuple[PublishGrant, int, int]:
    answer = exchange.ask_fds(terms.request())
    grant = answer.value
    try:
        if not isinstance(grant, PublishGrant) or len(answer.fds) != 2:
            raise ProtocolError("a publish grant without its region")
        _lock(answer.fds[0], terms.key)
    except BaseException:
        close_all(answer.fds)
        raise
    return grant, answer.fds[0], answer.fds[1]


def _spare(fd: int) -> int:
    """A copy of ``fd`` where the region is sealed (else -1): a new daemon can't find that one by a name."""
    return os.dup(fd) if regions.is_sealed(fd) else -1


def _map(fd: int) -> Region:
    try:
        return Region(fd, writable=True)
    finally:
        os.close(fd)


def _lock(fd: int, key: str) -> None:
    """Take the region's lock; a publisher that was replaced lets go of it as soon as it is told."""
    deadline = time.monotonic() + TAKEOVER
    while not regions.lock(fd):
        if time.monotonic() > deadline:
            raise AlreadyPublishing(key)
        time.sleep(0.002)  # no wake-up exists for an open-file-description lock short of blocking for ever

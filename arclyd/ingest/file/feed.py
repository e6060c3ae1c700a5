"""The gateway's loop: units from a source, placed on one line of time, published when they are due."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import FrameTooLarge, MediaError
from arclyd.ingest.file.pacing import Pacer
from arclyd.media.codecs import TrackKind
from arclyd.media.codecs.describe import describe_config
from arclyd.media.formats.continuity import Placed, Timeline
from arclyd.media.timebase import to_ns

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from fractions import Fraction

    from arclyd.client.publisher import Publisher
    from arclyd.ingest.file.source import Source, Unit

log = logging.getLogger(__name__)

REPORT_NS: Final = 250_000_000
"""Time between two reports: what an eye can follow."""

WARN_NS: Final = 1_000_000_000
"""Time between two warnings of one kind; what happened in between is counted."""


@dataclass(frozen=True, slots=True)
class Report:
    """How far the feed is: media position and elapsed clock in ns, totals since its start."""

    position_ns: int
    elapsed_ns: int
    bytes: int
    pictures: int
    frames: int
    subscribers: int


class Feed:
    """Publishes a source until it ends, ``stop`` is set or ``seconds`` of media are out.

    Args:
        paced: each frame waits for its decoding time; False: as fast as it comes.
        loop: start the source again at its end, with timestamps that go on.
        seconds: media time after which to end; None: no such bound.
        report: told about four times a second.
    """

    def __init__(
        self,
        source: Source,
        publisher: Publisher,
        stop: threading.Event,
        *,
        paced: bool = True,
        loop: bool = False,
        seconds: Fraction | None = None,
        report: Callable[[Report], None] | None = None,
    ) -> None:
        self._source = source
        self._publisher = publisher
        self._stop = stop
        self._pacer = Pacer() if paced else None
        self._loop = loop
        self._limit_ns = None if seconds is None else int(seconds * 1_000_000_000)
        self._report = report
        tracks = source.tracks
        self._time_bases = [track.time_base for track in tracks]
        self._is_video = [track.kind is TrackKind.VIDEO for track in tracks]
        self._codecs = [track.codec for track in tracks]
        self._waiting = list(self._is_video)
        self._timeline = Timeline(self._time_bases)
        self._first_ns: int | None = None
        self._started_ns = time.monotonic_ns()
        self._reported_ns = 0
        self._warned_ns = 0
        self._too_large = 0
        self._position_ns = self._bytes = self._pictures = self._frames = self._subscribers = 0

    def run(self) -> None:
        """Feed. Raises what the source and the publisher raise."""
        while self._pass():
            self._timeline.restart()

    def _pass(self) -> bool:
        """Once through the source; True: again."""
        before = self._frames + self._too_large
        for unit in self._source.units():
            if self._stop.is_set() or not self._feed(unit):
                return False
        return self._loop and self._frames + self._too_large > before

    def _feed(self, unit: Unit) -> bool:
        self._waiting[unit.track] &= not unit.keyframe
        if self._waiting[unit.track]:  # a pipe that is joined in the middle begins with pictures nobody can decode
            return True
        placed = self._timeline.place(unit.track, pts=unit.pts, dts=unit.dts, duration=unit.duration)
        at_ns = to_ns(placed.dts, self._time_bases[unit.track])
        if self._first_ns is None:
            self._first_ns = at_ns
        if self._limit_ns is not None and at_ns - self._first_ns >= self._limit_ns:
            return False
        if not self._await(at_ns):
            return False
        self._position_ns = max(self._position_ns, at_ns - self._first_ns)
        if unit.config is not None:
            self._announce(unit.track, unit.config)
        try:
            self._publish(unit, placed)
        except FrameTooLarge as error:
            self._warn_too_large(error)
        answered = unit.keyframe and self._is_video[unit.track]
        if self._publisher.keyframe_requested() and not answered:
            self._source.request_keyframe()
        self._tell()
        return True

    def _await(self, at_ns: int) -> bool:
        """Wait until the frame is due; False: stopped meanwhile."""
        if self._pacer is None:
            return True
        slips = self._pacer.slips
        wait_ns = self._pacer.wait_ns(at_ns, time.monotonic_ns())
        if self._pacer.slips != slips:
            log.debug("the source was late: %.3f s given up so far", self._pacer.slipped_ns / 1e9)
        return not (wait_ns and self._stop.wait(wait_ns / 1e9))

    def _announce(self, track: int, config: bytes) -> None:
        try:
            facts = describe_config(self._codecs[track], config)
            width, height = facts.width, facts.height
        except MediaError:
            width = height = 0  # as before: readers get the record and judge for themselves
        self._publisher.set_config(track, config, width=width, height=height)

    def _publish(self, unit: Unit, placed: Placed) -> None:
        size = memoryview(unit.payload).nbytes
        self._subscribers = self._publisher.publish(
            unit.track,
            unit.payload,
            pts=placed.pts,
            dts=placed.dts,
            duration=unit.duration,
            keyframe=unit.keyframe,
            discontinuity=placed.jumped,
            droppable=unit.droppable,
            corrupt=unit.corrupt,
        )
        self._frames += 1
        self._bytes += size
        self._pictures += self._is_video[unit.track]

    def _warn_too_large(self, error: FrameTooLarge) -> None:
        self._too_large += 1
        now = time.monotonic_ns()
        if now - self._warned_ns >= WARN_NS:
            self._warned_ns = now
            log.warning("%s (%d left out so far)", error, self._too_large)

    def _tell(self) -> None:
        if self._report is None:
            return
        now = time.monotonic_ns()
        if now - self._reported_ns < REPORT_NS:
            return
        self._reported_ns = now
        elapsed = now - self._started_ns
        self._report(Report(self._position_ns, elapsed, self._bytes, self._pictures, self._frames, self._subscribers))

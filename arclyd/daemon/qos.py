"""Live figures of a stream from its region's cumulative counters, over a sliding second.

Rates are differences of counts over differences of *publish times*, not of the moments they were
sampled at: n frames between the publish times of two frames are n periods exactly, whenever the
sampling happens. Where frames come in real time, decode times say the same without a scheduler's
jitter, and are used instead. Rates are zero once a track has been silent for longer than `SILENT_NS`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECOND: Final = 1_000_000_000
BITS_NS: Final = SECOND
"""Bit rates look back to the newest sample at least this old."""

FPS_NS: Final = 2 * SECOND
"""Frame rates look back further: the pause of one frame at a file's seam is four percent of a second at 25 fps."""

AGREED: Final = 0.05
"""How far media time and publish time may differ for frames to count as published in real time."""

GRAIN_NS: Final = SECOND // 20
"""Samples kept are at least this far apart, however often somebody asks."""

SILENT_NS: Final = 3 * SECOND // 2
"""A track silent for longer has a rate of zero: below the two seconds promised, above a frame a second."""

MOST_BPS: Final = 1 << 53
"""No link is as fast; what a region's counters say may be anything, and must fit the control protocol as a sum."""

SHORTEST_NS: Final = SECOND // 5
"""No rate is told from less than this; a stream that just began shows its average."""


class TrackCounters(Protocol):
    """One track's cumulative counters, as the ring gives them."""

    id: int
    kind: int
    frames: int
    config_frames: int
    keyframes: int
    bytes: int
    last_publish_ns: int
    last_dts: int
    time_base: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Point:
    """One track at one moment: media frames, payload bytes, when the last was published, its decode time."""

    frames: int
    bytes: int
    publish_ns: int
    dts_ns: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """Frames and bits a second."""

    fps: float = 0.0
    bps: int = 0


@dataclass(frozen=True, slots=True)
class _Sample:
    now_ns: int
    tracks: dict[int, Point]


class QosWindow:
    """Samples of one stream's tracks. Times are monotonic nanoseconds, passed in."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()
        self._base: dict[int, Point] = {}
        self._first_ns: dict[int, int] = {}
        self._epoch = -1

    def begin(self, epoch: int, tracks: Sequence[TrackCounters]) -> None:
        """A publisher was granted ``epoch``: window and averages start from these counters."""
        self._epoch = epoch
        self._samples.clear()
        self._first_ns.clear()
        self._base = {track.id: _point(track) for track in tracks}

    def lacks_first(self, tracks: Sequence[TrackCounters]) -> bool:
        """A track has frames, and when its first was published is not known."""
        return any(track.id not in self._first_ns and track.frames > track.config_frames for track in tracks)

    def sample(
        self, now_ns: int, epoch: int, tracks: Sequence[TrackCounters], first_ns: Mapping[int, int] | None = None
    ) -> None:
        """Take the counters in. ``first_ns``: when the first frame of each track was published, where known."""
        if epoch < self._epoch:  # granted, but its writer has not begun
            return
        if epoch > self._epoch:
            self.begin(epoch, tracks)
        points = {track.id: _point(track) for track in tracks}
        for number, point in points.items():
            self._note_first(number, point, first_ns or {})
        if len(self._samples) > 1 and now_ns - self._samples[-2].now_ns < GRAIN_NS:
            self._samples.pop()  # the figures are asked for more often than the window needs
        self._samples.append(_Sample(now_ns, points))
        while len(self._samples) > 2 and now_ns - self._samples[1].now_ns >= FPS_NS:
            self._samples.popleft()

    def rate(self, track: int, now_ns: int) -> Rate:
        """The rate of a track over the last seconds."""
        newest = self._samples[-1].tracks.get(track) if self._samples else None
        if newest is None or not newest.publish_ns or now_ns - newest.publish_ns > SILENT_NS:
            return Rate()
        past = [sample for sample in self._samples if sample.tracks.get(track, _NONE).publish_ns]
        far = past[0].tracks[track]
        near = next((s.tracks[track] for s in reversed(past) if now_ns - s.now_ns >= BITS_NS), far)
        if near.publish_ns == newest.publish_ns:  # slower than a frame a second
            near = far
        if newest.publish_ns - far.publish_ns < SHORTEST_NS:
            return self.average(track)
        return Rate(_fps(far, newest), _bps(near, newest))

    def average(self, track: int) -> Rate:
        """The rate of a track since the current publisher's first frame."""
        newest = self._samples[-1].tracks.get(track) if self._samples else None
        base, first_ns = self._base.get(track, _NONE), self._first_ns.get(track)
        if newest is None or first_ns is None:
            return Rate()
        frames = newest.frames - base.frames
        span = newest.publish_ns - first_ns
        if frames < 2 or span <= 0:
            return Rate()
        # n frames span n - 1 periods; all n carry bytes, so their time is n periods.
        periods = frames - 1
        bits = (newest.bytes - base.bytes) * 8
        return Rate(periods * SECOND / span, _sane(bits * SECOND / (span * frames / periods)))

    def _note_first(self, number: int, point: Point, known: Mapping[int, int]) -> None:
        base = self._base.get(number, _NONE)
        if point.frames < base.frames:  # a track table that starts anew
            self._base[number] = base = _NONE
        frames = point.frames - base.frames
        if number in self._first_ns or not frames:
            return
        if number in known:
            self._first_ns[number] = known[number]
            return
        # Too late to see the first frame: the average begins with this one, of average size.
        self._first_ns[number] = point.publish_ns
        self._base[number] = Point(point.frames - 1, point.bytes - (point.bytes - base.bytes) // frames, 0)


_NONE: Final = Point(0, 0, 0)


def _point(track: TrackCounters) -> Point:
    number, per = track.time_base
    dts_ns = track.last_dts * number * SECOND // per if per else 0
    return Point(track.frames - track.config_frames, track.bytes, track.last_publish_ns, dts_ns)


def _fps(old: Point, new: Point) -> float:
    """Frames a second from ``old`` to ``new``, which was published later."""
    span, media = new.publish_ns - old.publish_ns, new.dts_ns - old.dts_ns
    if abs(media - span) <= AGREED * span:
        span = media
    return (new.frames - old.frames) * SECOND / span


def _bps(old: Point, new: Point) -> int:
    span = new.publish_ns - old.publish_ns
    return _sane((new.bytes - old.bytes) * 8 * SECOND / span) if span > 0 else 0


def _sane(bps: float) -> int:
    return min(MOST_BPS, max(0, round(bps)))

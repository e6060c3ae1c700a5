"""Timestamps that go on where their source jumps: a file that loops, a broadcast that is spliced, a new publisher.

Pure: timestamps in, timestamps out. A shift is exact in each track's time base and the same for all frames between
two jumps, so that sound and picture keep their distance to a tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKWARD_LIMIT: Final = Fraction(1)
"""Seconds a track may step back (and be held) before that is a jump."""

FORWARD_LIMIT: Final = Fraction(30)
"""Seconds a frame may lie ahead of all others before that is a jump; slide shows and sparse data stay below it."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a frame lies on the continuous line, in its track's time base; ``jumped``: the source broke before it."""

    pts: int
    dts: int
    jumped: bool


@dataclass(slots=True)
class _Line:
    """One track's place: what is added to its timestamps, and where it stands on the continuous line."""

    time_base: Fraction
    shift: int = 0
    last: int | None = None
    step: int = 1
    restarted: bool = False

    def ticks(self, seconds: Fraction) -> int:
        return round(seconds / self.time_base)

    def seconds(self, ticks: int) -> Fraction:
        return ticks * self.time_base

    def end(self) -> Fraction | None:
        return None if self.last is None else self.seconds(self.last + self.step)


class Timeline:
    """Places the frames of several tracks on one line on which every track's dts rises strictly.

    Args:
        time_bases: seconds per tick, one a track.
    """

    def __init__(self, time_bases: Sequence[Fraction]) -> None:
        self._lines = [_Line(time_base) for time_base in time_bases]
        self._shift = Fraction(0)
        self._origin: Fraction | None = None

    @property
    def end(self) -> Fraction:
        """Seconds at which the longest track ends, in decoding time."""
        return max((end for line in self._lines if (end := line.end()) is not None), default=Fraction(0))

    def place(self, track: int, *, pts: int | None, dts: int | None, duration: int | None) -> Placed:
        """Place one frame. A missing dts is one duration after the frame before, a missing pts is the dts."""
        line = self._lines[track]
        jumped = False
        if dts is None:
            dts = self._guess(line, pts)
        if pts is None:
            pts = dts
        if line.last is None:
            self._begin(line, dts)
        elif self._jumps(line, dts):
            self._rejoin(line, dts)
            jumped = not line.restarted
        line.restarted = False
        return self._advance(line, pts, dts, duration, jumped=jumped)

    def restart(self) -> None:
        """The source begins anew: its first timestamp comes to lie at the end of the longest track."""
        self._shift = self.end - (self._origin or 0)
        for line in self._lines:
            line.shift = line.ticks(self._shift)
            line.restarted = True

    def _begin(self, line: _Line, dts: int) -> None:
        start = line.seconds(dts)
        self._origin = start if self._origin is None else min(self._origin, start)
        line.shift = line.ticks(self._shift)

    @staticmethod
    def _guess(line: _Line, pts: int | None) -> int:
        return (pts or 0) if line.last is None else line.last + line.step - line.shift

    def _jumps(self, line: _Line, dts: int) -> bool:
        assert line.last is not None
        ahead = line.seconds(dts + line.shift - line.last)
        if ahead < -BACKWARD_LIMIT:
            return True
        return ahead > FORWARD_LIMIT and line.seconds(dts + line.shift) > self.end + FORWARD_LIMIT

    def _rejoin(self, line: _Line, dts: int) -> None:
        """Take the shift another track found at the same break where it fits, so that both stay in step."""
        line_before = line.shift
        line.shift = line.ticks(self._shift)
        if line.shift == line_before or self._jumps(line, dts):
            self._shift = self.end - line.seconds(dts)
            line.shift = line.ticks(self._shift)

    @staticmethod
    def _advance(line: _Line, pts: int, dts: int, duration: int | None, *, jumped: bool) -> Placed:
        placed_dts, placed_pts = dts + line.shift, pts + line.shift
        if line.last is not None:
            if placed_dts <= line.last:
                placed_dts = line.last + 1
            line.step = duration or placed_dts - line.last
        elif duration:
            line.step = duration
        line.last = placed_dts
        return Placed(max(placed_pts, placed_dts), placed_dts, jumped)

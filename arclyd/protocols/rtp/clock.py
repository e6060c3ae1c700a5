"""The timestamps of several sources on one line: each source's clock is its own, and sender reports tell of them all.

A source's first packet stands where it came, relative to the first of all. From then on sender reports (RFC 3550,
6.4.1) say which of its timestamps was when by the sender's wall clock; the first such report ties that clock to the
line, and each source follows it: softly, since a timestamp that steps is a picture that jumps, and never by less than
what reports are wrong by from one to the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.media.timebase import TimestampUnwrapper

if TYPE_CHECKING:
    from arclyd.protocols.rtp.rtcp import SenderReport

NANO: Final = 1_000_000_000
TOLERANCE_NS: Final = 5_000_000
"""Reports are that wrong from one to the next: they are made in a hurry. What they say beyond is followed."""

STEP_NS: Final = 100_000_000
"""A source's first report may put it elsewhere at once by more than that; less is made up for on the way."""

STRANGE_NS: Final = 10 * NANO
"""A source whose first report is that far from when it came goes by another clock than the others: no help."""

JUMP_NS: Final = NANO
"""A sender's wall clock that is off by that from its own last report was set anew."""

SOFTNESS: Final = 50
"""A source goes at most one part in so many faster or slower to make up for what it is off by: nobody hears that."""


class Line:
    """What several sources share: where it begins, by our clock and by the sender's wall clock."""

    def __init__(self) -> None:
        self.began: float | None = None
        """Seconds, of the first packet of all."""
        self.wall_zero_ns: int | None = None
        """The sender's wall clock where the line is zero, nanoseconds of NTP."""


class SourceClock:
    """Places the timestamps of one source on the line, in ticks of its own.

    Args:
        line: that its sources share.
        rate: ticks a second.
    """

    def __init__(self, line: Line, rate: int) -> None:
        self._line = line
        self._rate = rate
        self._unwrapper = TimestampUnwrapper(32)
        self._offset: int | None = None
        self._target = 0
        self._furthest = 0
        self._followed = False
        self._report: tuple[int, int] | None = None
        self.strange = False
        """Its reports are not followed: they speak of another clock than those of the others."""

    def place(self, timestamp: int, now: float) -> int:
        """Where ``timestamp``, of a packet that came at ``now`` (seconds), lies on the line; in ticks, from about 0."""
        ticks = self._unwrapper.unwrap(timestamp)
        if self._offset is None:
            return self._begin(ticks, now)
        passed = ticks - self._furthest
        if passed > 0:
            self._furthest = ticks
            most = passed // SOFTNESS
            self._offset += max(-most, min(most, self._target - self._offset))
        return ticks + self._offset

    def report(self, report: SenderReport) -> None:
        """The source's sender says what time it is."""
        wall_ns = report.ntp * NANO >> 32
        if not wall_ns:  # a sender without a clock (RFC 3550, 6.4.1)
            return
        if self._offset is None:
            self._report = wall_ns, report.timestamp
        else:
            self._follow(wall_ns, self._unwrapped(report.timestamp), settled=True)

    def restart(self) -> None:
        """Its timestamps are others from here on: it stands where it comes, as at first."""
        self._unwrapper.reset()
        self._offset = None
        self._followed = False
        self._report = None

    def _begin(self, ticks: int, now: float) -> int:
        if self._line.began is None:
            self._line.began = now
        self._furthest = ticks
        self._offset = self._target = round((now - self._line.began) * self._rate) - ticks
        if self._report is not None:
            wall_ns, timestamp = self._report
            self._follow(wall_ns, self._unwrapped(timestamp), settled=False)
        return ticks + self._offset

    def _unwrapped(self, timestamp: int) -> int:
        """The endless form of a report's timestamp, without taking it for a packet's."""
        half = 1 << 31
        return self._furthest + (timestamp - self._furthest + half) % (1 << 32) - half

    def _follow(self, wall_ns: int, ticks: int, *, settled: bool) -> None:
        there_ns = (ticks + self._target) * NANO // self._rate
        if self._line.wall_zero_ns is None:
            self._line.wall_zero_ns = wall_ns - there_ns
            self._followed = True
            return
        off_ns = wall_ns - self._line.wall_zero_ns - there_ns
        if not self._followed:
            self.strange = abs(off_ns) > STRANGE_NS
            if self.strange:
                return
            self._followed = True
            if not settled or abs(off_ns) > STEP_NS:
                self._target += off_ns * self._rate // NANO
                self._offset = self._target
                return
        elif abs(off_ns) > JUMP_NS:  # the others will say the same
            self._line.wall_zero_ns += off_ns
            return
        if abs(off_ns) > TOLERANCE_NS:
            self._target += off_ns * self._rate // NANO

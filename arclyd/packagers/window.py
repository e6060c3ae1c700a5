"""The segments of one stream that can be had now, and which of them playlists list. Parts in, lookups out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.packagers.pieces import Closed, Part
from arclyd.packagers.segmenter import Resume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.packagers.pieces import Chunk, Lane, Period
    from arclyd.packagers.segmenter import Cutting, Event

MAX_MARKS: Final = 8
"""Segments a bookmark names: a later packager needs one that the ring still holds."""

ROUNDS_DOWN: Final = Fraction(49, 100)
"""Seconds a segment may last beyond the target duration, which its length is rounded to (RFC 8216bis, 4.4.3.1)."""

LEAST_LISTED: Final = 3
"""Target durations a live playlist lasts at least (RFC 8216bis, 6.2.2)."""


@dataclass(slots=True)
class Segment:
    """One segment, growing until it is ``complete``."""

    number: int
    period: Period
    first_seq: int
    parts: list[Part] = field(default_factory=list)
    complete: bool = False

    def chunks(self, lane: int) -> list[Chunk]:
        """What there is of it in a lane."""
        return [part.chunks[lane] for part in self.parts if lane in part.chunks]

    def part_chunks(self, lane: int) -> Iterator[tuple[int, Chunk]]:
        """The same, each with the index of its part."""
        return ((part.index, part.chunks[lane]) for part in self.parts if lane in part.chunks)

    def duration(self, lane: int) -> Fraction:
        """Seconds of it in a lane."""
        chunks = self.chunks(lane)
        return (
            Fraction(sum(chunk.duration for chunk in chunks), self.period.lanes[lane].scale) if chunks else Fraction(0)
        )

    def size(self, lane: int) -> int:
        """Bytes of it in a lane."""
        return sum(chunk.data.nbytes for chunk in self.chunks(lane))

    def starts_with_key(self, lane: int) -> bool:
        """Decoding can start at its first sample."""
        chunks = self.chunks(lane)
        return bool(chunks) and chunks[0].independent

    @property
    def lead_duration(self) -> Fraction:
        """Seconds of it in the lane that decides on cuts."""
        return self.duration(self.period.lead)


class Window:
    """What a packager holds of one stream.

    Args:
        id: of the stream's life; part of every segment's name, so that a later stream of that key has other names.
        cutting: what the segmenter aims at.
        seconds: how much of the past playlists list. As much again stays available to who read an older playlist
            (RFC 8216bis, 6.2.2).
    """

    def __init__(self, id: str, cutting: Cutting, seconds: Fraction) -> None:
        self.id = id
        self.cutting = cutting
        self.seconds = seconds
        self.segments: list[Segment] = []
        self.target = 0
        """The target duration in seconds; 0 until there is a complete segment to know it by."""
        self.ended = False
        self._version = 0
        self._itself = object()
        self._listed_from = 0

    def apply(self, event: Event) -> None:
        """Take what the segmenter gave."""
        self._version += 1
        if isinstance(event, Part):
            if not self.segments or self.segments[-1].number != event.segment:
                self.segments.append(Segment(event.segment, event.period, event.first_seq))
            self.segments[-1].parts.append(event)
        else:
            assert isinstance(event, Closed)
            self.segments[-1].complete = True
            self._expire()

    @property
    def stamp(self) -> object:
        """Other than before, and than any other window's, after everything that a playlist shows."""
        return self._itself, self._version

    def settle(self) -> Fraction | None:
        """Fix the target duration by the segments so far: seconds no segment may exceed; None: there is none yet."""
        longest = max((segment.lead_duration for segment in self.segments if segment.complete), default=None)
        if longest is None:
            return None
        if not self.target:
            self.target = max(rounded(longest), rounded(self.cutting.segment), 1)
            self._version += 1
        return self.longest

    @property
    def longest(self) -> Fraction:
        """Seconds a segment may last under this target duration."""
        return self.target + ROUNDS_DOWN

    def end(self) -> None:
        """The stream is over."""
        self.ended = True
        self._version += 1

    # ------------------------------------------------------------------ lookups

    @property
    def listed(self) -> list[Segment]:
        """The complete segments of a playlist, oldest first."""
        return [segment for segment in self.segments[self._listed_from :] if segment.complete]

    @property
    def growing(self) -> Segment | None:
        """The segment that is not complete."""
        return self.segments[-1] if self.segments and not self.segments[-1].complete else None

    @property
    def period(self) -> Period | None:
        """The newest period."""
        return self.segments[-1].period if self.segments else None

    @property
    def next_number(self) -> int:
        """The number of the segment to come, or that is growing."""
        if not self.segments:
            return 0
        last = self.segments[-1]
        return last.number + 1 if last.complete else last.number

    def segment(self, number: int) -> Segment | None:
        """The segment of that number."""
        if not self.segments:
            return None
        place = number - self.segments[0].number
        return self.segments[place] if 0 <= place < len(self.segments) else None

    def lane_named(self, name: str) -> Lane | None:
        """The lane of that init segment."""
        for segment in reversed(self.segments):
            for lane in segment.period.lanes.values():
                if lane.name == name:
                    return lane
        return None

    def has(self, number: int, part: int | None, lane: int) -> bool:
        """True: segment ``number`` is complete or has as many parts in ``lane`` that ``part``, from 0, is one of them.

        Also where what comes after it is there (RFC 8216bis, 6.2.5.2).
        """
        last = self.segments[-1] if self.segments else None
        if last is not None and last.complete and last.number == number and part is not None:
            if part < len(last.chunks(lane)):
                return True
            number, part = number + 1, 0  # there is no such part: the next segment's first one is meant
        if number < self.next_number:
            return True
        growing = self.growing
        if part is None or growing is None or growing.number != number:
            return False
        return len(growing.chunks(lane)) > part

    def reached(self, number: int, index: int) -> bool:
        """True: part ``index`` of segment ``number`` was made, or what comes after it."""
        growing = self.growing
        at_hand = growing is not None and growing.number == number and growing.parts[-1].index >= index
        return number < self.next_number or at_hand

    def resume(self) -> Resume | None:
        """What a later packager needs to go on exactly here."""
        period = self.period
        numbers = [segment for segment in self.listed if segment.period is period]
        if period is None or not numbers or not self.target:
            return None
        step = math.ceil(len(numbers) / (MAX_MARKS - 1))
        chosen = {segment.first_seq: segment.number for segment in (*numbers[::step], numbers[-1])}
        return Resume(chosen, period.number, period.origin, period.wall_ns, period.shift, self.longest)

    def _expire(self) -> None:
        total = Fraction(0)
        enough = max(self.seconds, Fraction(LEAST_LISTED * self.target))
        first = kept = 0
        for place in range(len(self.segments) - 1, -1, -1):
            total += self.segments[place].lead_duration
            if not first and total >= enough:
                first = place
            if total >= 2 * enough:
                kept = place
                break
        self._listed_from = max(self._listed_from, first) - kept
        del self.segments[:kept]


def rounded(seconds: Fraction) -> int:
    """To the nearest whole second, a half upwards."""
    return math.floor(seconds + Fraction(1, 2))

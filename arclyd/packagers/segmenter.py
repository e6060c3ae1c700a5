"""Cuts the frames of a stream into segments and parts: frames in, parts out, nothing else.

Where it cuts depends on the frames alone and on where it started, so that a packager that starts again at the frame an
earlier one began a segment with (`Resume`) cuts what that one cut, byte for byte, and numbers it alike.

A segment's number is that of the one before plus one. The very first takes the sequence of its first frame: there are
never more segments than frames, so that a number that was given out once is never given again, whatever is known of
the past. Likewise the number of the first period.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.errors import FrameOverwritten, MediaError
from arclyd.media.codecs import CodecId, TrackKind, vp9
from arclyd.packagers.codec_names import PACKAGED
from arclyd.packagers.lane_queue import LaneQueue
from arclyd.packagers.pieces import Closed, Lane, Part, Period

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arclyd.media.track import Track
    from arclyd.packagers.pieces import Chunk, PackagedFrame

BACKWARD: Final = Fraction(1)
"""Seconds a track may step back, and is held, before that is a break."""

FORWARD: Final = Fraction(10)
"""Seconds a track may leap ahead before that is a break, while the longest segment is not known."""

LONGEST_FIRST: Final = Fraction(20)
"""Seconds after which a segment is cut without a keyframe while the longest is not known: what has no keyframe would
else never be listed, and be held for ever."""

PART_MARGIN: Final = Fraction(11, 10)
"""What a part may last of what is aimed at: whole frames seldom make exactly that."""


@dataclass(frozen=True, slots=True)
class Cutting:
    """Seconds aimed at: of a segment, and of a part."""

    segment: Fraction = Fraction(2)
    part: Fraction = Fraction(1, 5)

    @property
    def longest_part(self) -> Fraction:
        """The longest part there is (RFC 8216bis, 4.4.3.7: PART-TARGET)."""
        return self.part * PART_MARGIN


@dataclass(frozen=True, slots=True)
class Resume:
    """Where an earlier packager began segments, all of one period.

    ``marks``: the number of each by the sequence of its first frame; the rest as `Period` has it. ``longest``: seconds.
    """

    marks: Mapping[int, int]
    period: int
    origin: Fraction
    wall_ns: int
    shift: int
    longest: Fraction


Event = Part | Closed


class Segmenter:
    """The cuts of one stream.

    Args:
        cutting: what is aimed at.
        resume: go on from there if the frames still hold one of its marks.
        after: numbers of a segment and a period that are given out already, for what follows on an earlier stream.
    """

    def __init__(self, cutting: Cutting, resume: Resume | None = None, after: tuple[int, int] = (-1, -1)) -> None:
        self.longest: Fraction | None = resume.longest if resume else None
        """Seconds a segment may last at most: it is cut there, keyframe or not. None: not known yet."""
        self.lost = 0
        """Parts that were not made because a frame of theirs was overwritten meanwhile, or could not be held."""
        self._cutting = cutting
        self._resume = resume
        self._after = after
        self._tracks: dict[int, Track] = {}
        self._configs: dict[int, bytes] = {}
        self._queues: dict[int, LaneQueue] = {}
        self._lead = -1
        self._period: Period | None = None
        self._number = self._next_period = -1
        self._index = 0
        self._first_seq = 0
        self._segment_at = self._part_at = self._key_at = Fraction(0)
        self._events: list[Event] = []
        self._told: dict[int, bytes] = {}
        self._problems: list[str] = []

    @property
    def left_out(self) -> list[Track]:
        """Tracks that are not packaged: another picture, or a codec that players don't take."""
        return [track for place, track in self._tracks.items() if place not in self._queues]

    def receive_tracks(self, tracks: Sequence[Track]) -> list[Event]:
        """A publisher begins, with these tracks; their configurations come as frames."""
        self._break()
        self._tracks = dict(enumerate(tracks))
        self._configs = {}
        wanted = self._of_kind(TrackKind.VIDEO)[:1] + self._of_kind(TrackKind.AUDIO)
        self._queues = {number: LaneQueue(self._tracks[number]) for number in wanted}
        self._lead = wanted[0] if wanted else -1
        return self._take()

    def receive_frame(self, frame: PackagedFrame) -> list[Event]:
        """The next frame of the stream."""
        queue = self._queues.get(frame.track)
        if queue is None:
            return []
        if frame.is_config:
            self._configure(frame)
        else:
            if self._breaks(queue, frame):
                self._break()
            self._put(queue, frame)
        return self._take()

    def receive_gap(self) -> list[Event]:
        """Frames were lost before the next one."""
        self._break()
        return self._take()

    def receive_end(self) -> list[Event]:
        """No frame follows."""
        return self.receive_gap()

    def take_problems(self) -> list[str]:
        """Why tracks are left out that were not before, since the last call."""
        problems, self._problems = self._problems, []
        return problems

    def _of_kind(self, kind: TrackKind) -> list[int]:
        return [number for number, track in self._tracks.items() if track.kind is kind and track.codec in PACKAGED]

    # ---------------------------------------------------------------- breaks

    def _configure(self, frame: PackagedFrame) -> None:
        config = bytes(frame.data)
        if frame.is_intact() and config != self._configs.get(frame.track):
            self._break()
            self._configs[frame.track] = config

    def _breaks(self, queue: LaneQueue, frame: PackagedFrame) -> bool:
        if self._period is None:
            return False
        if frame.discontinuity and frame.keyframe and frame.track == self._lead:
            return True
        leap = queue.leap(frame)
        return leap < -BACKWARD or leap > (self.longest or FORWARD)

    def _break(self) -> None:
        """End the period with what there is of it."""
        if self._period is not None:
            for queue in self._queues.values():
                queue.finish()
            while self._cut_part(None):  # sound that was ahead may be more than a part
                pass
            self._close()
            self._period = None
        for queue in self._queues.values():
            queue.clear()

    def _close(self) -> None:
        if self._index:
            self._events.append(Closed(self._number))
            self._number += 1
            self._index = 0

    # ------------------------------------------------------------------ cuts

    def _put(self, queue: LaneQueue, frame: PackagedFrame) -> None:
        if self._period is not None and frame.track not in self._period.lanes:
            return  # without a usable configuration; when that comes, a period with the lane begins
        if frame.track != self._lead:
            queue.put(frame)
        elif self._period is not None:
            queue.put(frame)
            self._cut(queue, frame)
        elif frame.keyframe or queue.track.kind is TrackKind.AUDIO:
            self._begin(queue, frame)

    def _begin(self, queue: LaneQueue, frame: PackagedFrame) -> None:
        """Start a period at ``frame``, where that is possible and wanted."""
        resume = self._resume
        if resume is not None:
            if frame.seq not in resume.marks and frame.seq < max(resume.marks):
                return
            self._resume = None
            if frame.seq not in resume.marks:
                resume = None  # the ring has gone on; the numbers are new, the longest segment stays
        lanes = self._lanes(frame)
        if self._lead not in lanes:
            return
        at = queue.at(frame)
        for other in self._queues.values():
            other.drop_before(at)  # as a cut here would, had there been something before
        queue.put(frame)
        if resume is not None:
            number, period, shift = resume.marks[frame.seq], resume.period, resume.shift
            origin, wall_ns = resume.origin, resume.wall_ns
        else:
            number = self._number if self._number >= 0 else max(frame.seq, self._after[0] + 1)
            period = self._next_period if self._next_period >= 0 else max(frame.seq, self._after[1] + 1)
            shift = max(0, math.ceil(-at))
            origin = at + shift
            shown = Fraction(frame.pts) * queue.track.time_base + shift
            wall_ns = frame.capture_ns - round(shown * 1_000_000_000)
        self._number, self._next_period = number, period + 1
        self._period = Period(period, origin, wall_ns, shift, self._lead, lanes)
        self._start(frame, at)

    def _lanes(self, frame: PackagedFrame) -> dict[int, Lane]:
        lanes = {}
        for number in self._queues:
            track = replace(self._tracks[number], config=self._configs.get(number, b""))
            try:
                if track.codec is CodecId.VP9 and number == frame.track:
                    track = replace(track, config=vp9.Vp9Header.parse(frame.data).record)
                lanes[number] = Lane.of(number, track)
            except MediaError as error:  # without its configuration, or with a broken one: it joins once there is one
                if track.config and self._told.get(number) != track.config:
                    self._told[number] = track.config
                    self._problems.append(f"a {track.codec.label} track is left out: {error}")
        return lanes

    def _start(self, frame: PackagedFrame, at: Fraction) -> None:
        self._index = 0
        self._first_seq = frame.seq
        self._segment_at = self._part_at = self._key_at = at

    def _cut(self, queue: LaneQueue, frame: PackagedFrame) -> None:
        """Cut before ``frame`` of the lead, if a segment or a part ends there."""
        at, step = queue.at(frame), queue.step
        key = frame.keyframe or queue.track.kind is TrackKind.AUDIO
        if (key and self._is_near(at)) or self._is_overdue(at + step):
            self._cut_part(at)
            if self._period is not None:
                self._close()
                self._start(frame, at)
        elif at + step - self._part_at > self._cutting.longest_part:
            self._cut_part(at)
            self._part_at = at
        if key:
            self._key_at = at

    def _is_near(self, at: Fraction) -> bool:
        """The next keyframe, as far ahead as this one is from the last, would be farther from the length aimed at."""
        elapsed = at - self._segment_at
        return elapsed + (at - self._key_at) / 2 >= self._cutting.segment

    def _is_overdue(self, end: Fraction) -> bool:
        return end - self._segment_at > (self.longest or max(LONGEST_FIRST, 2 * self._cutting.segment))

    def _cut_part(self, until: Fraction | None) -> bool:
        """A part of what is decoded before ``until``; True: there was something."""
        period = self._period
        if period is None:
            return False
        fragment = self._number << 10 | self._index & 0x3FF
        chunks: dict[int, Chunk] = {}
        longest = self._cutting.longest_part
        try:
            for number, lane in period.lanes.items():  # the lead comes first
                leads = number == period.lead
                chunk = self._queues[number].cut(fragment, period.shift, until, None if leads else longest)
                if chunk is not None:
                    chunks[number] = chunk
                    # Pictures farther apart than a part: the sound between two of them goes with the first.
                    longest = max(longest, Fraction(chunk.duration, lane.scale) * PART_MARGIN) if leads else longest
        except (FrameOverwritten, MediaError):
            self.lost += 1
            self._abandon()
            return False
        if chunks:
            self._events.append(Part(self._number, self._index, period, self._first_seq, chunks))
            self._index += 1
        return bool(chunks)

    def _abandon(self) -> None:
        """What is missing can't be left out of a chunk: the period ends before it."""
        self._close()
        self._period = None
        for queue in self._queues.values():
            queue.clear()

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

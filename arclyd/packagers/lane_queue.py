"""The frames of one lane that wait to be cut into a chunk."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.errors import FrameOverwritten
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.fragment import Sample, fragment
from arclyd.packagers.pieces import Chunk

if TYPE_CHECKING:
    from arclyd.media.track import Track
    from arclyd.packagers.pieces import PackagedFrame

MAX_WAITING: Final = 4096
"""Frames a lane holds: over a minute of sound whose picture does not come."""


@dataclass(slots=True)
class _Waiting:
    """A frame and its times in units of the lane, unshifted. Its duration is known once the next one is there."""

    frame: PackagedFrame
    dts: int
    pts: int
    duration: int = 0


class LaneQueue:
    """Frames in, chunks out. A sample lasts until the next one's dts, so that a lane has neither gap nor overlap."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self._scale = track.time_base.denominator
        self._factor = track.time_base.numerator
        self._waiting: deque[_Waiting] = deque(maxlen=MAX_WAITING)
        self._step = 0

    @property
    def step(self) -> Fraction:
        """Seconds from the last sample but one to the last."""
        return Fraction(self._step, self._scale)

    def at(self, frame: PackagedFrame) -> Fraction:
        """The decoding time of ``frame`` in seconds."""
        return Fraction(frame.dts * self._factor, self._scale)

    def leap(self, frame: PackagedFrame) -> Fraction:
        """Seconds from the last sample to ``frame``; 0 for a first one."""
        return self.at(frame) - Fraction(self._waiting[-1].dts, self._scale) if self._waiting else Fraction(0)

    def put(self, frame: PackagedFrame) -> None:
        """Take the next frame. One that does not come later than the one before is put one unit behind it."""
        dts, pts = frame.dts * self._factor, frame.pts * self._factor
        if self._waiting:
            last = self._waiting[-1]
            if dts <= last.dts:
                dts = last.dts + 1
                pts = max(pts, dts)
            self._step = last.duration = dts - last.dts
        self._waiting.append(_Waiting(frame, dts, pts))

    def finish(self) -> None:
        """No frame follows: the last one lasts as long as it says, or as the one before."""
        if self._waiting:
            last = self._waiting[-1]
            said = (last.frame.duration or 0) * self._factor
            last.duration = said or self._step or max(1, self._scale // 25)

    def drop_before(self, until: Fraction) -> None:
        """Forget the samples that `cut` would give: they belong to what is not packaged."""
        for _ in range(self._count(until, None)):
            self._waiting.popleft()

    def clear(self) -> None:
        """Forget all of them."""
        self._waiting.clear()
        self._step = 0

    def cut(self, number: int, shift: int, until: Fraction | None, longest: Fraction | None) -> Chunk | None:
        """A chunk of the samples before ``until`` (None: all) whose duration is known.

        Args:
            number: the movie fragment's.
            shift: whole seconds to add to all times; a sample before zero then is left out.
            until: seconds, on the frames' own time line.
            longest: seconds the chunk may last; more waits for the next one. None: no bound.

        Returns: None where there are none.

        Raises:
            FrameOverwritten: a frame is gone from the ring; what was copied of it is not to be trusted.
            MediaError: a time that a fragment can't hold.
        """
        taken = [self._waiting.popleft() for _ in range(self._count(until, longest))]
        ahead = shift * self._scale
        samples = [self._sample(item, ahead) for item in taken if item.dts + ahead >= 0]
        if not samples:
            return None
        data = memoryview(fragment(number, 1, samples))
        for item in taken:
            if not item.frame.is_intact():
                raise FrameOverwritten(item.frame.seq)
        return Chunk(data, tuple(_owned(data, samples)))

    def _sample(self, item: _Waiting, ahead: int) -> Sample:
        frame = item.frame
        key = frame.keyframe or self.track.kind is TrackKind.AUDIO
        return Sample(item.dts + ahead, item.pts + ahead, item.duration, key, frame.data, frame.droppable)

    def _count(self, until: Fraction | None, longest: Fraction | None) -> int:
        end = None if until is None else until * self._scale
        most = None if longest is None else longest * self._scale
        total = count = 0
        for item in self._waiting:
            total += item.duration
            past = end is not None and item.dts >= end
            if not item.duration or past or (most is not None and count and total > most):
                break
            count += 1
        return count


def _owned(data: memoryview, samples: list[Sample]) -> list[Sample]:
    """The samples with their payloads where they lie in ``data``, which ends with them."""
    sizes = [memoryview(sample.data).nbytes for sample in samples]
    at = len(data) - sum(sizes)
    owned = []
    for sample, size in zip(samples, sizes, strict=True):
        payload = data[at : at + size]
        owned.append(Sample(sample.dts, sample.pts, sample.duration, sample.keyframe, payload, sample.droppable))
        at += size
    return owned

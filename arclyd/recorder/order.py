"""Frames of several tracks in one order: that of their decoding times.

A file is cut at a picture, and every frame of sound then belongs to the side its time is on, however the
publisher interleaved them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_SPAN: Final = Fraction(1)
"""Seconds of media held while a track has nothing to say; publishers interleave within less (FFmpeg: 10 s at most)."""

MAX_HELD: Final = 4096
"""Frames held, should their times not move on."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A frame copied out of the ring and placed on the stream's continuous line of time.

    ``pts``, ``dts``, ``duration`` in the time base of its track; ``at`` and ``end`` are its decoding time and the
    end of it in seconds. ``starts``: a file can begin with it; ``beside`` then are the other tracks that have frames
    to follow. ``wall_ns``: Unix time at which it was published.
    """

    track: int
    pts: int
    dts: int
    duration: int | None
    keyframe: bool
    payload: bytes
    at: Fraction
    end: Fraction
    starts: bool
    seq: int
    epoch: int
    wall_ns: int
    beside: frozenset[int] = frozenset()


class DecodingOrder:
    """Holds each track's frames until all others have come as far, or for `MAX_SPAN`.

    Args:
        tracks: the tracks there are; the frames of each come in the order of their times.
    """

    def __init__(self, tracks: Collection[int]) -> None:
        self._queues: dict[int, deque[Unit]] = {track: deque() for track in tracks}
        self._held = 0
        self._newest = Fraction(0)

    def put(self, unit: Unit) -> Iterator[Unit]:
        """Take a frame; gives those whose turn has come."""
        self._queues[unit.track].append(unit)
        self._held += 1
        self._newest = max(self._newest, unit.at)
        while self._held and self._is_due():
            yield self._pop()

    def drain(self) -> Iterator[Unit]:
        """All that is held."""
        while self._held:
            yield self._pop()
        self._newest = Fraction(0)

    def _is_due(self) -> bool:
        if all(self._queues.values()) or self._held > MAX_HELD:
            return True
        return self._newest - self._first()[0].at > MAX_SPAN

    def _pop(self) -> Unit:
        self._held -= 1
        unit = self._first().popleft()
        if not unit.starts:
            return unit
        return replace(unit, beside=frozenset(track for track, queue in self._queues.items() if queue))

    def _first(self) -> deque[Unit]:
        """The queue whose turn it is; at one time, what a file can begin with goes first."""
        waiting = (queue for queue in self._queues.values() if queue)
        return min(waiting, key=lambda queue: (queue[0].at, not queue[0].starts))

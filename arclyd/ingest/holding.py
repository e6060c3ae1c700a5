"""Frames that wait until their stream can be claimed: what tracks there are is only known from what comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator


class Waiting(Protocol):
    """A frame as it waits."""

    @property
    def time(self) -> int | None:
        """Decoding time in ticks, None: not known."""

    @property
    def size(self) -> int:
        """Bytes of its payload."""

    @property
    def is_picture(self) -> bool:
        """It is one of video."""

    @property
    def starts(self) -> bool:
        """Decoding of the whole stream can start here."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is waited for: ``ticks`` from the first frame to the newest, ``size`` in bytes, ``frames``.

    ``together``: ticks by which sound may come before the first keyframe and be kept: what multiplexers interleave by.
    """

    ticks: int
    size: int
    frames: int
    together: int


Frame = TypeVar("Frame", bound=Waiting)


class Holding(Generic[Frame]):
    """Frames in the order they came. Whoever puts them looks at `full`, or at `size`."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._frames: list[Frame] = []
        self.size = 0
        """Bytes that are held."""
        self.startable = False
        """Decoding can start with one of them."""
        self._over = False

    def __len__(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    def put(self, frame: Frame) -> None:
        """One more."""
        self._frames.append(frame)
        self.size += frame.size
        self.startable = self.startable or frame.starts

    @property
    def full(self) -> bool:
        """A bound is reached, or no more will come: what is known has to do."""
        return (
            self._over
            or self._span() >= self._bounds.ticks
            or self.size >= self._bounds.size
            or len(self._frames) >= self._bounds.frames
        )

    def _span(self) -> int:
        times = [frame.time for frame in (self._frames[0], self._frames[-1])] if self._frames else []
        first, last = times or (None, None)
        return 0 if first is None or last is None else last - first

    def finish(self) -> None:
        """No more will come."""
        self._over = bool(self._frames)

    def clear(self) -> None:
        """Forget them."""
        self._frames, self.size, self.startable, self._over = [], 0, False, False

    def take(self) -> list[Frame]:
        """All, from now on held no more: sound that goes with the first keyframe, but came before it, behind it."""
        frames = self._frames
        self.clear()
        first = next((place for place, frame in enumerate(frames) if frame.starts), None)
        if first is None:
            return frames
        since = (frames[first].time or 0) - self._bounds.together
        early: list[Frame] = []
        near: list[Frame] = []
        for frame in frames[:first]:
            (near if not frame.is_picture and (frame.time or 0) >= since else early).append(frame)
        return [*early, frames[first], *near, *frames[first + 1 :]]

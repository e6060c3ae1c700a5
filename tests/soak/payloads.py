"""Payloads that say who wrote them, as which frame, and under which configuration; and the check of what was read.

An incarnation of a publisher has a token; it numbers what it publishes, configurations included, from 0. So
``sequence - number`` is one constant per token: a frame lost, doubled, misplaced or mixed with another's shows.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from typing import Final

import arclyd

_SPAN: Final = 1 << 16
_NOISE: Final = memoryview(random.Random(3).randbytes(2 * _SPAN))
_HEAD: Final = struct.Struct("<QQI")
LEAST: Final = _HEAD.size


def body(token: int, number: int, mark: int, size: int) -> bytes:
    """The payload number ``number`` of incarnation ``token``; ``mark``: the number of its track's configuration."""
    at = (token + number * 40503) % _SPAN
    return _HEAD.pack(token, number, mark) + _NOISE[at : at + max(0, size - LEAST)]


def parsed(data: bytes) -> tuple[int, int, int]:
    """Token, number and mark of a payload, every byte of which was compared."""
    token, number, mark = _HEAD.unpack_from(data)
    assert data == body(token, number, mark, len(data)), "a payload nobody published"
    return token, number, mark


@dataclass
class Witness:
    """Checks every item a reader gets; a broken promise is an AssertionError."""

    joins: bool
    """The reader starts at a join point: sound may come ahead of the first keyframe."""
    expected: int | None = None
    """The sequence it starts at, where it was told one; then the one that comes next."""
    frames: int = 0
    replayed: int = 0
    gaps: int = 0
    missed: int = 0
    overwritten: int = 0
    discontinuities: int = 0
    epochs: set[int] = field(default_factory=set)
    _epoch: int = 0
    _broken_off: bool = True
    """Frames were lost, or none was read: how the epoch of the next one began is not known."""
    _offsets: dict[int, int] = field(default_factory=dict)
    _tokens: dict[int, int] = field(default_factory=dict)
    _in_force: dict[int, tuple[int, int] | None] = field(default_factory=dict)

    @classmethod
    def of(cls, start: str | float) -> Witness:
        """The witness of a reader that starts there."""
        if start == "live":
            return cls(joins=False)
        return cls(joins=False, expected=int(start)) if isinstance(start, int) else cls(joins=True)

    def take(self, item: arclyd.Frame | arclyd.Gap) -> None:
        """The next item, in the order it came."""
        if isinstance(item, arclyd.Gap):
            self._take_gap(item)
            return
        replay = item.is_config and (self.expected is None or item.seq < self.expected)
        if replay:
            self.replayed += 1
        else:
            self._place(item)
        content = self._content(item)
        if not replay:
            self._epoch_of(item, content)
        if item.is_config:
            self._in_force[item.track] = content and (content[0], content[2])
        elif content is not None:
            told = self._in_force[item.track]
            assert told in (None, (content[0], content[2])), (item, told, content)

    def _take_gap(self, gap: arclyd.Gap) -> None:
        assert gap.missed > 0, gap
        assert self.expected in (None, gap.resumed_at - gap.missed), (gap, self.expected)
        self.expected = gap.resumed_at
        self._broken_off = True
        self.gaps += 1
        self.missed += gap.missed

    def _place(self, frame: arclyd.Frame) -> None:
        if self.expected is not None:
            assert frame.seq == self.expected, (frame, self.expected)
        if self.expected is not None or not self.joins or (frame.keyframe and frame.track == 0):
            self.expected = frame.seq + 1
        else:
            assert frame.track == 1, ("a picture before the keyframe", frame)
        self.frames += 1

    def _content(self, frame: arclyd.Frame) -> tuple[int, int, int] | None:
        try:
            token, number, mark = parsed(frame.tobytes())
        except arclyd.FrameOverwritten:
            self.overwritten += 1
            return None
        offset = self._offsets.setdefault(token, frame.seq - number)
        assert frame.seq - number == offset, (frame, number, offset)
        return token, number, mark

    def _epoch_of(self, frame: arclyd.Frame, content: tuple[int, int, int] | None) -> None:
        assert frame.epoch >= self._epoch, (frame, self._epoch)
        if content is not None:
            assert self._tokens.setdefault(frame.epoch, content[0]) == content[0], "frames of two publishers mixed"
        if frame.is_config:
            return
        if frame.epoch != self._epoch:
            self.epochs.add(frame.epoch)
            if not self._broken_off:
                assert frame.keyframe, ("an epoch that begins without a keyframe", frame)
                assert frame.discontinuity, ("an epoch that begins without a mark", frame)
        elif not self._broken_off:
            assert not frame.discontinuity, ("a second discontinuity", frame)
        self._epoch = frame.epoch
        self._broken_off = False
        self.discontinuities += frame.discontinuity

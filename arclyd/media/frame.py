"""The flags of a frame and how they are shown.

The frame itself is the ring's: one encoded access unit or one decoder configuration, as a view.
"""

from __future__ import annotations

from enum import IntFlag
from typing import Final


class FrameFlags(IntFlag):
    """What is said of a frame besides its times; the bits are those of the ring's slots."""

    KEY = 1
    """Decoding can start here."""
    CONFIG = 2
    """A decoder configuration, not media."""
    DISCONTINUITY = 4
    """Timestamps or the encoder changed before this frame."""
    DROPPABLE = 8
    """No other frame depends on it."""
    CORRUPT = 16
    """The publisher knows that bytes of it are damaged."""
    END = 32
    """Reserved: readers ignore it, the ring's state says when a stream is over."""
    HAS_CRC = 64
    """The slot carries a checksum of the payload."""


_LETTERS: Final = (
    (FrameFlags.KEY, "K"),
    (FrameFlags.CONFIG, "C"),
    (FrameFlags.DISCONTINUITY, "D"),
    (FrameFlags.DROPPABLE, "d"),
    (FrameFlags.CORRUPT, "X"),
)


def flags_text(flags: int) -> str:
    """The flags as a column of fixed width, a letter or a dash each: ``"K----"`` is a keyframe.

    K key, C config, D discontinuity, d droppable, X corrupt. The other flags tell a person nothing and
    have no letter.
    """
    return "".join(letter if flags & flag else "-" for flag, letter in _LETTERS)

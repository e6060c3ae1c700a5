"""Payloads that describe themselves: every byte, and the size, follows from the sequence."""

from __future__ import annotations

import random
import struct
from typing import Final

_SPAN: Final = 1 << 16
_NOISE: Final = memoryview(random.Random(1).randbytes(2 * _SPAN))
_HEAD: Final = struct.Struct("<QI")


def size_of(seq: int, most: int) -> int:
    """Bytes of frame ``seq``: mostly small, one in sixteen of any size up to ``most``."""
    dice = (seq * 0x9E3779B97F4A7C15 >> 20) & 0xFFFFFFFF
    return dice % (most + 1) if dice >> 28 == 0 else dice % min(400, most)


def payload(seq: int, size: int, mark: int = 0) -> bytes:
    """The payload of frame ``seq``; ``mark``: a number it carries, if it is long enough."""
    at = seq * 40503 % _SPAN
    return (_HEAD.pack(seq, mark) + _NOISE[at : at + size])[:size]


def is_payload(data: bytes | memoryview, seq: int) -> bool:
    """Whether ``data`` is what was published as ``seq``, whatever its mark."""
    size, at = len(data), seq * 40503 % _SPAN
    head = bytes(data[:8])
    return head == _HEAD.pack(seq, 0)[: len(head)] and data[12:] == _NOISE[at : at + max(0, size - 12)]


def mark_of(data: bytes | memoryview) -> int:
    """The number the payload carries; it must be long enough."""
    return int(_HEAD.unpack_from(data)[1])

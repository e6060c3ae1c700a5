"""Decoding times of a track's first pictures, which FFmpeg can't tell where a container stores no dts (Matroska, AVI).

It needs as many pictures as are reordered before it knows the first; those before it are a picture apart each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from arclyd.ingest.file.source import Unit

MAX_REORDERED: Final = 16
"""Most pictures held: H.264 and H.265 reorder no more (max_dec_frame_buffering, A.3.1)."""


class LeadingPictures:
    """Holds the first pictures of one track until a dts is known, and fills in theirs."""

    def __init__(self) -> None:
        self._held: list[Unit] = []
        self._known = False

    def push(self, unit: Unit) -> list[Unit]:
        """What can go on now, in order; later pictures pass as they are."""
        if self._known:
            return [unit]
        self._held.append(unit)
        if unit.dts is None and len(self._held) <= MAX_REORDERED:
            return []
        return self.flush()

    def flush(self) -> list[Unit]:
        """What is held, at the end at the latest."""
        held, self._held = self._held, []
        self._known = True
        if not held or held[-1].dts is None:
            return held
        step, last = held[-1].duration or 1, held[-1].dts
        places = range(len(held) - 1, -1, -1)
        return [replace(unit, dts=last - step * before) for unit, before in zip(held, places, strict=True)]

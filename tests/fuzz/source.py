"""Decisions drawn from a fuzzer's bytes: the same bytes give the same message, and bytes that run out give zeros.

So a structure is fuzzed by whatever makes up bytes: a coverage-guided fuzzer, plain mutation, a saved file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class Source:
    """Bytes to decide by, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        """Nothing is left to decide by."""
        return self._at >= len(self._data)

    def integer(self, size: int = 1) -> int:
        """An unsigned number of ``size`` bytes."""
        return int.from_bytes(self.bytes(size), "little")

    def choice(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.integer(1 if len(options) <= 256 else 2) % len(options)]

    def chance(self, of_256: int) -> bool:
        """True so many times in 256; bytes that ran out say False."""
        return 255 - self.integer() < of_256

    def bytes(self, size: int) -> bytes:
        """The next ``size`` bytes, or what is left of them."""
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def rest(self) -> bytes:
        """Everything that is left."""
        return self.bytes(max(0, len(self._data) - self._at))

"""Bits: reading and writing codec headers, most significant bit first.

Used by every codec whose header is not made of whole bytes. The reader knows what it reads, so that
running off the end is a `MediaError` naming it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_EMULATED: Final = b"\x00\x00\x03"
_LONGEST_GOLOMB: Final = 32
"""Leading zeros of the longest code there is: ue(v) covers 0..2^32-2 (H.264 and H.265, 9.1 and 9.2)."""


def unescape(nal: Buffer) -> bytes:
    """A NAL unit without its emulation prevention bytes (H.264 7.3.1, H.265 7.3.1.1)."""
    return bytes(nal).replace(_EMULATED, b"\x00\x00")


class BitReader:
    """A cursor over bits; ``what`` names the structure in the errors."""

    __slots__ = ("_data", "_end", "_pos", "what")

    def __init__(self, data: Buffer, what: str) -> None:
        self._data = bytes(data)
        self._pos = 0
        self._end = 8 * len(self._data)
        self.what = what

    @property
    def left(self) -> int:
        """Bits not read yet."""
        return self._end - self._pos

    def error(self, problem: str) -> MediaError:
        """A `MediaError` about this structure, for the caller to raise."""
        return MediaError(self.what, problem)

    def skip(self, count: int) -> None:
        """Pass over ``count`` bits."""
        if count > self.left:
            raise self.error(f"ends {count - self.left} bits too early")
        self._pos += count

    def u(self, count: int) -> int:
        """An unsigned number of ``count`` bits."""
        start = self._pos
        self.skip(count)
        span = self._data[start >> 3 : (self._pos + 7) >> 3]
        return (int.from_bytes(span, "big") >> (-self._pos & 7)) & ((1 << count) - 1)

    def flag(self) -> bool:
        """One bit."""
        return bool(self.u(1))

    def ue(self, most: int = (1 << 32) - 2, name: str = "a value") -> int:
        """An unsigned Exp-Golomb code (H.264 9.1, H.265 9.2); above ``most`` it is an error naming ``name``."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > _LONGEST_GOLOMB:
                raise self.error("an Exp-Golomb code is longer than any can be")
        value = (1 << zeros) - 1 + self.u(zeros)
        if value > most:
            raise self.error(f"{name} is {value}, at most {most} is allowed")
        return value

    def se(self) -> int:
        """A signed Exp-Golomb code (H.264 9.1.1, H.265 9.2.2)."""
        code = self.ue()
        return (code + 1) // 2 if code % 2 else -(code // 2)

    def align(self) -> None:
        """Go on at the next whole byte."""
        self._pos += -self._pos & 7

    def rest(self) -> bytes:
        """All whole bytes from the next byte boundary on."""
        self.align()
        start = self._pos >> 3
        self._pos = self._end
        return self._data[start:]


class BitWriter:
    """Collects bits into bytes."""

    __slots__ = ("_bits", "_value")

    def __init__(self) -> None:
        self._value = 0
        self._bits = 0

    def u(self, count: int, value: int) -> None:
        """Append ``value`` as ``count`` bits.

        Raises:
            ValueError: it does not fit.
        """
        if value < 0 or value >> count:
            raise ValueError(f"{value} does not fit {count} bits")
        self._value = self._value << count | value
        self._bits += count

    def tobytes(self) -> bytes:
        """What was written, filled up with zero bits to a whole byte."""
        padding = -self._bits & 7
        return (self._value << padding).to_bytes((self._bits + padding) // 8, "big")

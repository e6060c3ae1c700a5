"""AAC in LATM and LOAS: multiplexed access units with their configuration among them, as broadcasters send them.

Clauses are those of ISO/IEC 14496-3:2009.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs.aac import SYNC_SBR, AudioConfig
from arclyd.media.codecs.bits import BitReader

if TYPE_CHECKING:
    from typing_extensions import Buffer

HEADER: Final = 3
"""Bytes before an element in the synchronised stream (1.7.2)."""

_SYNC: Final = 0x2B7
_WHAT: Final = "LATM"


def element_size(header: Buffer) -> int:
    """Bytes of the element whose sync word and length (`HEADER` bytes) are ``header``, the header included.

    Raises:
        MediaError: no sync word.
    """
    word = int.from_bytes(memoryview(header)[:HEADER], "big")
    if word >> 13 != _SYNC:
        raise MediaError(_WHAT, "no syncword")
    return HEADER + (word & 0x1FFF)


@dataclass(frozen=True, slots=True)
class _Mux:
    """A StreamMuxConfig (1.7.3): what is needed to take elements apart."""

    config: bytes
    subframes: int
    fixed_size: int  # bytes of every access unit; 0: each says its own
    other_bits: int


class LatmReader:
    """Takes AudioMuxElements apart; their configuration need not be in each.

    Args:
        mux: the StreamMuxConfig where the elements have none, since it is said elsewhere (AudioMuxElement(0)).

    Raises:
        MediaError: a ``mux`` that can't be read.
    """

    def __init__(self, mux: Buffer = b"") -> None:
        self._elsewhere = bool(memoryview(mux).nbytes)
        padded = bytes(mux) + bytes(4)  # GStreamer leaves out what follows the sound's own configuration: zeros
        self._mux = _read_mux(BitReader(padded, _WHAT), padded) if self._elsewhere else None

    @property
    def config(self) -> bytes:
        """The AudioSpecificConfig in force; empty before there was one."""
        return self._mux.config if self._mux else b""

    def read(self, element: Buffer) -> list[bytes]:
        """The access units in one AudioMuxElement, without the header of the synchronised stream (1.7.3).

        Raises:
            MediaError: damaged, of several programs or layers, or before there was a configuration.
        """
        bits = BitReader(element, _WHAT)
        if not self._elsewhere and not bits.flag():
            self._mux = _read_mux(bits, element)
        mux = self._mux
        if mux is None:
            raise bits.error("no configuration so far")
        units = []
        for _ in range(mux.subframes):
            size = mux.fixed_size or _read_length(bits)
            units.append(bits.u(8 * size).to_bytes(size, "big"))
        return units


def _read_mux(bits: BitReader, element: Buffer) -> _Mux:
    later = bits.flag()
    if later and bits.flag():
        raise bits.error("of a version to come")
    if later:
        _read_value(bits)  # taraBufferFullness
    bits.skip(1)  # with one program and one layer all have the same framing
    subframes = bits.u(6) + 1
    if bits.u(4) or bits.u(3):
        raise bits.error("more than one program or layer")
    length = _read_value(bits) if later else 0
    before = bits.left
    size = _sound_size(bits, element)
    if later:
        if length < size:
            raise bits.error("a configuration longer than it says")
        bits.skip(length - size)
        size = length
    config = _cut(element, before, size)
    fixed = _read_framing(bits)
    other = _read_other(bits, later=later)
    if bits.flag():
        bits.skip(8)
    return _Mux(config, subframes, fixed, other)


def _sound_size(bits: BitReader, element: Buffer) -> int:
    """Bits of the AudioSpecificConfig, which are passed over; GStreamer leaves its extension in where none may be."""
    before = bits.left
    AudioConfig.read(bits, to_end=False)
    ahead = BitReader(element, _WHAT)
    ahead.skip(ahead.left - bits.left)
    if bits.left >= 16 and ahead.u(11) == SYNC_SBR:  # no framing begins so: its type would be a reserved one
        again = BitReader(element, _WHAT)
        again.skip(again.left - before)
        AudioConfig.read(again, to_end=True)
        bits.skip(bits.left - again.left)
    return before - bits.left


def _cut(element: Buffer, left: int, size: int) -> bytes:
    """``size`` bits that begin ``left`` bits before the end, filled up to whole bytes."""
    bits = BitReader(element, _WHAT)
    bits.skip(bits.left - left)
    padding = -size & 7
    return (bits.u(size) << padding).to_bytes((size + padding) // 8, "big")


def _read_framing(bits: BitReader) -> int:
    kind = bits.u(3)
    if kind == 0:
        bits.skip(8)  # latmBufferFullness
        return 0
    if kind == 1:
        return bits.u(9) + 20
    raise bits.error(f"frameLengthType {kind}")


def _read_other(bits: BitReader, *, later: bool) -> int:
    if not bits.flag():
        return 0
    if later:
        return _read_value(bits)
    size = 0
    more = True
    while more and size < 1 << 16:
        more, size = bits.flag(), size << 8 | bits.u(8)
    return size


def _read_value(bits: BitReader) -> int:
    return bits.u(8 * (bits.u(2) + 1))


def _read_length(bits: BitReader) -> int:
    size = 0
    while True:
        byte = bits.u(8)
        size += byte
        if byte != 255:
            return size

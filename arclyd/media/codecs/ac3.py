"""AC-3: the head of a frame, and the record that describes a stream to a container.

arclyd's own form is one synchronisation frame a payload, with the AC3SpecificBox's bytes as configuration. Clauses
are those of ETSI TS 102 366 V1.4.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.media.codecs.bits import BitReader, BitWriter

if TYPE_CHECKING:
    from typing_extensions import Buffer

HEADER: Final = 8
"""Bytes of a frame that say all there is to know of it."""

SAMPLES: Final = 1536
"""Of each channel in a frame (6.1.1)."""

_SYNC: Final = 0x0B77
_RATES: Final = (48_000, 44_100, 32_000)
_KBIT: Final = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_CHANNELS: Final = (2, 1, 2, 3, 3, 4, 4, 5)
"""Full-range ones by acmod (table 4.3)."""
_ENHANCED: Final = 10
"""The highest bsid of AC-3; above it is Enhanced AC-3 (annex E)."""


@dataclass(frozen=True, slots=True)
class Ac3Header:
    """What a frame says of itself; ``size`` in bytes."""

    sample_rate: int
    rate_code: int
    size: int
    bsid: int
    bsmod: int
    acmod: int
    lfe: bool

    @property
    def channels(self) -> int:
        """All of them."""
        return _CHANNELS[self.acmod] + self.lfe

    @classmethod
    def parse(cls, data: Buffer) -> Ac3Header:
        """Read the first `HEADER` bytes of a frame (4.4.1, 4.4.2).

        Raises:
            MediaError: not such a frame.
        """
        bits = BitReader(memoryview(data)[:HEADER], "AC-3 frame")
        if bits.u(16) != _SYNC:
            raise bits.error("no syncword")
        bits.skip(16)
        rate, code, bsid = bits.u(2), bits.u(6), bits.u(5)
        if bsid > _ENHANCED:
            raise bits.error(f"bsid {bsid} is Enhanced AC-3")
        if rate == 3 or code >= 2 * len(_KBIT):
            raise bits.error("a reserved rate")
        bsmod, acmod = bits.u(3), bits.u(3)
        if acmod & 1 and acmod != 1:
            bits.skip(2)  # centre mix level
        if acmod & 4:
            bits.skip(2)  # surround mix level
        if acmod == 2:
            bits.skip(2)  # Dolby Surround
        return cls(_RATES[rate], code // 2, _size(rate, code), bsid, bsmod, acmod, bits.flag())

    @property
    def config(self) -> bytes:
        """The bytes of the AC3SpecificBox (F.4)."""
        out = BitWriter()
        out.u(2, _RATES.index(self.sample_rate))
        out.u(5, self.bsid)
        out.u(3, self.bsmod)
        out.u(3, self.acmod)
        out.u(1, self.lfe)
        out.u(5, self.rate_code)
        out.u(5, 0)
        return out.tobytes()


def _size(rate: int, code: int) -> int:
    kbit = _KBIT[code // 2]
    if rate == 0:
        return 4 * kbit
    if rate == 2:
        return 6 * kbit
    return 2 * (kbit * 96_000 // 44_100 + code % 2)  # table 4.13: the odd codes have a word of padding


def read_config(config: Buffer) -> tuple[int, int]:
    """Sample rate in Hz and number of channels of a configuration.

    Raises:
        MediaError: none.
    """
    bits = BitReader(config, "AC3SpecificBox")
    rate = bits.u(2)
    bits.skip(8)
    acmod, lfe = bits.u(3), bits.u(1)
    if rate == 3:
        raise bits.error("a reserved rate")
    return _RATES[rate], _CHANNELS[acmod] + lfe

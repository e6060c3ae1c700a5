"""VP9: what a keyframe's header says, and the configuration record made from it, since a stream carries none.

Sections are those of the VP9 Bitstream & Decoding Process Specification 0.6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.media.codecs.bits import BitReader

if TYPE_CHECKING:
    from typing_extensions import Buffer

_WHERE: Final = "VP9 keyframe"
_SYNC_CODE: Final = 0x498342  # 7.2
_RGB: Final = 7
_LEVELS: Final = (
    (36864, 10),
    (73728, 11),
    (122880, 20),
    (245760, 21),
    (552960, 30),
    (983040, 31),
    (2228224, 40),
    (8912896, 50),
    (35651584, 60),
)
"""Largest picture in luma samples of each level (annex A); rates are not looked at."""


@dataclass(frozen=True, slots=True)
class Vp9Header:
    """The uncompressed header of a keyframe (6.2); the size in pixels."""

    profile: int
    bit_depth: int
    subsampling_x: int
    subsampling_y: int
    full_range: bool
    width: int
    height: int

    @classmethod
    def parse(cls, data: Buffer) -> Vp9Header:
        """Read the header at the start of a keyframe.

        Raises:
            MediaError: it is none.
        """
        bits = BitReader(memoryview(data)[:16], _WHERE)
        if bits.u(2) != 2:
            raise bits.error("no frame marker")
        profile = bits.u(1) | bits.u(1) << 1
        if profile == 3:
            bits.skip(1)
        if bits.flag():
            raise bits.error("it shows an earlier frame again")
        if bits.flag():
            raise bits.error("not a keyframe")
        bits.skip(2)
        if bits.u(24) != _SYNC_CODE:
            raise bits.error("no sync code")
        depth = (12 if bits.flag() else 10) if profile >= 2 else 8
        across, down, full = cls._colours(bits, profile)
        return cls(profile, depth, across, down, full, bits.u(16) + 1, bits.u(16) + 1)

    @staticmethod
    def _colours(bits: BitReader, profile: int) -> tuple[int, int, bool]:
        """Read color_config (6.2.2) after the bit depth: subsampling across and down, full range."""
        other_sampling = profile in {1, 3}
        if bits.u(3) == _RGB:
            bits.skip(other_sampling)
            return 0, 0, True
        full = bits.flag()
        if not other_sampling:
            return 1, 1, full
        across, down = bits.u(1), bits.u(1)
        bits.skip(1)
        return across, down, full

    @property
    def record(self) -> bytes:
        """The VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding), colours unspecified."""
        level = next((level for most, level in _LEVELS if self.width * self.height <= most), 62)
        chroma = {(1, 1): 1, (1, 0): 2, (0, 0): 3}.get((self.subsampling_x, self.subsampling_y), 1)
        packed = self.bit_depth << 4 | chroma << 1 | self.full_range
        return struct.pack(">6BH", self.profile, level, packed, 2, 2, 2, 0)


def codec_string(record: bytes) -> str:
    """The RFC 6381 name ``vp09.PP.LL.DD`` of a record (same document, codecs parameter string)."""
    return f"vp09.{record[0]:02d}.{record[1]:02d}.{record[2] >> 4:02d}"

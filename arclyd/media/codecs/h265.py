"""H.265: the decoder configuration record, its codec string, and where decoding can start.

Sections are those of ITU-T H.265 (08/2021) unless another document is named. `h265_sps` reads the SPS.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs.annexb import iter_length_prefixed, split_annexb
from arclyd.media.codecs.bits import BitReader, BitWriter
from arclyd.media.codecs.h265_sps import ProfileTierLevel, Sps, parse_sps, read_general_profile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer

__all__ = [
    "HevcConfig",
    "NalArray",
    "NalType",
    "ProfileTierLevel",
    "Sps",
    "build_config",
    "config_from_annexb",
    "is_keyframe",
    "nal_type",
    "parse_sps",
]

_RECORD: Final = "hvcC"


class NalType(IntEnum):
    """Values of nal_unit_type that matter here (table 7-1)."""

    FIRST_IRAP = 16
    LAST_IRAP = 23
    LAST_VCL = 31
    VPS = 32
    SPS = 33
    PPS = 34


@dataclass(frozen=True, slots=True)
class NalArray:
    """The NAL units of one type in a record; ``complete``: none of that type are in the stream itself."""

    type: int
    units: tuple[bytes, ...]
    complete: bool = True


@dataclass(frozen=True, slots=True)
class HevcConfig:
    """An HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, 8.3.3.1)."""

    profile: ProfileTierLevel
    chroma_format: int = 1
    bit_depth_luma: int = 8
    bit_depth_chroma: int = 8
    min_spatial_segmentation: int = 0
    parallelism_type: int = 0  # 0: mixed or not known
    average_frame_rate: int = 0  # frames in 256 seconds; 0: not said
    constant_frame_rate: int = 0
    temporal_layers: int = 1
    temporal_id_nested: bool = False
    length_size: int = 4
    arrays: tuple[NalArray, ...] = ()

    def units(self, kind: int) -> tuple[bytes, ...]:
        """All NAL units of that type, in order."""
        return tuple(unit for array in self.arrays if array.type == kind for unit in array.units)

    @property
    def codec_string(self) -> str:
        """The RFC 6381 name, as ``hvc1.1.6.L93.90`` (ISO/IEC 14496-15, E.3)."""
        profile = self.profile
        space = ("", "A", "B", "C")[profile.space]
        compatibility = int(f"{profile.compatibility:032b}"[::-1], 2)
        tier = "H" if profile.high_tier else "L"
        constraints = profile.constraints.to_bytes(6, "big").rstrip(b"\x00")
        tail = "".join(f".{byte:X}" for byte in constraints)
        return f"hvc1.{space}{profile.idc}.{compatibility:X}.{tier}{profile.level}{tail}"

    @classmethod
    def parse(cls, data: Buffer) -> HevcConfig:
        """Read a record; bytes after it are ignored.

        Raises:
            MediaError: not such a record.
        """
        bits = BitReader(data, _RECORD)
        if bits.u(8) > 1:  # 0 was written before the standard was final, with the same layout
            raise bits.error("configurationVersion is not 1")
        profile = read_general_profile(bits)
        bits.skip(4)
        segmentation = bits.u(12)
        bits.skip(6)
        parallelism = bits.u(2)
        bits.skip(6)
        chroma_format = bits.u(2)
        bits.skip(5)
        luma = bits.u(3) + 8
        bits.skip(5)
        chroma = bits.u(3) + 8
        rates = bits.u(16), bits.u(2)
        layers, nested, length_size = bits.u(3), bits.flag(), bits.u(2) + 1
        if length_size == 3:
            raise bits.error("lengths of 3 bytes are not allowed")
        arrays = tuple(_read_array(bits) for _ in range(bits.u(8)))
        coding = (chroma_format, luma, chroma, segmentation, parallelism, *rates)
        return cls(profile, *coding, layers, nested, length_size, arrays)

    def serialize(self) -> bytes:
        """The record as bytes.

        Raises:
            MediaError: more or longer parameter sets than the record has room for.
        """
        out = BitWriter()
        out.u(8, 1)
        self.profile.write(out)
        out.u(16, 0xF000 | self.min_spatial_segmentation)
        out.u(8, 0xFC | self.parallelism_type)
        out.u(8, 0xFC | self.chroma_format)
        out.u(8, 0xF8 | self.bit_depth_luma - 8)
        out.u(8, 0xF8 | self.bit_depth_chroma - 8)
        out.u(16, self.average_frame_rate)
        out.u(2, self.constant_frame_rate)
        out.u(3, self.temporal_layers)
        out.u(1, self.temporal_id_nested)
        out.u(2, self.length_size - 1)
        if len(self.arrays) > 255:
            raise MediaError(_RECORD, f"{len(self.arrays)} arrays, at most 255 fit")
        out.u(8, len(self.arrays))
        return out.tobytes() + b"".join(_write_array(array) for array in self.arrays)


def _read_array(bits: BitReader) -> NalArray:
    complete = bits.flag()
    bits.skip(1)
    kind = bits.u(6)
    units = []
    for _ in range(bits.u(16)):
        size = bits.u(16)
        if size < 2 or 8 * size > bits.left:
            raise bits.error(f"a NAL unit of {size} bytes with {bits.left // 8} bytes left")
        units.append(bits.u(8 * size).to_bytes(size, "big"))
        if nal_type(units[-1]) != kind:
            raise bits.error(f"a NAL unit of type {nal_type(units[-1])} among those of type {kind}")
    return NalArray(kind, tuple(units), complete)


def _write_array(array: NalArray) -> bytes:
    if len(array.units) > 0xFFFF or any(len(unit) > 0xFFFF for unit in array.units):
        raise MediaError(_RECORD, "more than 65535 NAL units in an array, or bytes in one of them")
    head = bytes((array.complete << 7 | array.type,)) + len(array.units).to_bytes(2, "big")
    return head + b"".join(len(unit).to_bytes(2, "big") + unit for unit in array.units)


def nal_type(unit: Buffer) -> int:
    """nal_unit_type of a NAL unit that is not empty (7.3.1.2)."""
    return memoryview(unit)[0] >> 1 & 0x3F


def build_config(vps: Iterable[Buffer], sps: Iterable[Buffer], pps: Iterable[Buffer], length_size: int = 4) -> bytes:
    """An HEVCDecoderConfigurationRecord from parameter sets without start codes.

    Raises:
        MediaError: a kind is missing, or the first SPS can't be read.
    """
    kinds = ((NalType.VPS, vps), (NalType.SPS, sps), (NalType.PPS, pps))
    arrays = tuple(NalArray(kind, tuple(map(bytes, units))) for kind, units in kinds)
    if not all(array.units for array in arrays):
        raise MediaError(_RECORD, "a VPS, an SPS and a PPS are needed")
    first = parse_sps(arrays[1].units[0])
    coding = (first.chroma_format, first.bit_depth_luma, first.bit_depth_chroma)
    layers = (first.temporal_layers, first.temporal_id_nested)
    # Segmentation 0, parallelism 0, frame rates 0: not said, which is always true.
    return HevcConfig(first.profile, *coding, 0, 0, 0, 0, *layers, length_size, arrays).serialize()


def config_from_annexb(data: Buffer, length_size: int = 4) -> bytes | None:
    """The record made of the parameter sets in Annex B bytes (extradata or an access unit); None without all three.

    Raises:
        MediaError: not Annex B, or parameter sets that can't be read.
    """
    found: dict[int, dict[bytes, None]] = {NalType.VPS: {}, NalType.SPS: {}, NalType.PPS: {}}
    for unit in split_annexb(data):
        if nal_type(unit) in found:
            found[nal_type(unit)][bytes(unit)] = None
    if not all(found.values()):
        return None
    return build_config(found[NalType.VPS], found[NalType.SPS], found[NalType.PPS], length_size)


def is_keyframe(access_unit: Buffer, length_size: int = 4) -> bool:
    """True if a length-prefixed access unit is an intra random access point: its first slice is one (7.4.2.2).

    Raises:
        MediaError: lengths that do not add up before the first slice.
    """
    for unit in iter_length_prefixed(access_unit, length_size):
        kind = nal_type(unit)
        if kind <= NalType.LAST_VCL:
            return NalType.FIRST_IRAP <= kind <= NalType.LAST_IRAP
    return False

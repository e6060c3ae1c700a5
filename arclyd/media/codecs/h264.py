"""H.264: the decoder configuration record, what a sequence parameter set says, and where decoding can start.

Sections are those of ITU-T H.264 (08/2021) unless another document is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs.annexb import iter_length_prefixed, split_annexb
from arclyd.media.codecs.bits import BitReader, unescape
from arclyd.media.codecs.vui import read_picture_vui, read_timing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Buffer

_RECORD: Final = "avcC"
_SPS: Final = "H.264 SPS"

_MAX_SIDE_MBS: Final = 1055
"""Macroblocks along one side at level 6.2: sqrt(8 * MaxFS) (A.3.1)."""

_WITH_CHROMA: Final = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Values of profile_idc whose SPS has chroma_format_idc and what follows it (7.3.2.1.1)."""

_WITHOUT_EXTENSION: Final = frozenset({66, 77, 88})
"""Profiles whose record ends after the PPS (ISO/IEC 14496-15, 5.3.3.1.2)."""


class NalType(IntEnum):
    """Values of nal_unit_type that matter here (table 7-1)."""

    SLICE = 1
    IDR = 5
    SEI = 6
    SPS = 7
    PPS = 8
    AUD = 9
    SPS_EXTENSION = 13


@dataclass(frozen=True, slots=True)
class Sps:
    """What a sequence parameter set says. Sizes in pixels, after cropping."""

    profile: int
    constraints: int  # the byte of constraint_set flags, set0 the highest bit
    level: int
    width: int
    height: int
    sample_aspect: Fraction  # 0: not said
    fps: Fraction | None  # frames, not fields
    interlaced: bool
    chroma_format: int
    bit_depth_luma: int
    bit_depth_chroma: int
    reorder: int | None = None  # frames that may be decoded before one that is shown earlier; None: not said


@dataclass(frozen=True, slots=True)
class AvcConfig:
    """An AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1).

    ``chroma_format`` is None where the record has no high-profile extension; the depths and
    ``sps_ext`` belong to that extension.
    """

    profile: int
    constraints: int
    level: int
    length_size: int = 4
    sps: tuple[bytes, ...] = ()
    pps: tuple[bytes, ...] = ()
    chroma_format: int | None = None
    bit_depth_luma: int = 8
    bit_depth_chroma: int = 8
    sps_ext: tuple[bytes, ...] = ()

    @property
    def codec_string(self) -> str:
        """The RFC 6381 name, ``avc1.PPCCLL`` (ISO/IEC 14496-15, E.2)."""
        return f"avc1.{self.profile:02x}{self.constraints:02x}{self.level:02x}"

    @classmethod
    def parse(cls, data: Buffer) -> AvcConfig:
        """Read a record; bytes after it are ignored, a missing extension is accepted as older muxers write it.

        Raises:
            MediaError: not such a record.
        """
        bits = BitReader(data, _RECORD)
        if bits.u(8) != 1:
            raise bits.error("configurationVersion is not 1")
        profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
        bits.skip(6)
        length_size = bits.u(2) + 1
        if length_size == 3:
            raise bits.error("lengths of 3 bytes are not allowed")
        bits.skip(3)
        sps = _read_units(bits, bits.u(5), NalType.SPS)
        pps = _read_units(bits, bits.u(8), NalType.PPS)
        config = cls(profile, constraints, level, length_size, sps, pps)
        if profile in _WITHOUT_EXTENSION or bits.left < 32:
            return config
        return config._with_extension(bits)

    def _with_extension(self, bits: BitReader) -> AvcConfig:
        bits.skip(6)
        chroma_format = bits.u(2)
        bits.skip(5)
        luma = bits.u(3) + 8
        bits.skip(5)
        chroma = bits.u(3) + 8
        sps_ext = _read_units(bits, bits.u(8), NalType.SPS_EXTENSION)
        known = (self.profile, self.constraints, self.level, self.length_size, self.sps, self.pps)
        return AvcConfig(*known, chroma_format, luma, chroma, sps_ext)

    def serialize(self) -> bytes:
        """The record as bytes.

        Raises:
            MediaError: more or longer parameter sets than the record has room for.
        """
        head = bytes((1, self.profile, self.constraints, self.level, 0xFC | self.length_size - 1))
        record = head + _write_units(self.sps, 31, 0xE0) + _write_units(self.pps, 255)
        if self.chroma_format is None:
            return record
        depths = (0xF8 | self.bit_depth_luma - 8, 0xF8 | self.bit_depth_chroma - 8)
        return record + bytes((0xFC | self.chroma_format, *depths)) + _write_units(self.sps_ext, 255)


def _read_units(bits: BitReader, count: int, kind: NalType) -> tuple[bytes, ...]:
    units = []
    for _ in range(count):
        size = bits.u(16)
        if not size:
            raise bits.error(f"an empty {kind.name}")
        if 8 * size > bits.left:
            raise bits.error(f"a {kind.name} of {size} bytes with {bits.left // 8} bytes left")
        units.append(bits.u(8 * size).to_bytes(size, "big"))
        if nal_type(units[-1]) != kind:
            raise bits.error(f"a NAL unit of type {nal_type(units[-1])} among the {kind.name}")
    return tuple(units)


def _write_units(units: tuple[bytes, ...], most: int, mask: int = 0) -> bytes:
    if len(units) > most:
        raise MediaError(_RECORD, f"{len(units)} parameter sets, at most {most} fit")
    if any(len(unit) > 0xFFFF for unit in units):
        raise MediaError(_RECORD, "a parameter set is longer than 65535 bytes")
    return bytes((mask | len(units),)) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def nal_type(unit: Buffer) -> int:
    """nal_unit_type of a NAL unit that is not empty (7.3.1)."""
    return memoryview(unit)[0] & 0x1F


def build_config(sps: Iterable[Buffer], pps: Iterable[Buffer], length_size: int = 4) -> bytes:
    """An AVCDecoderConfigurationRecord from parameter sets without start codes.

    Raises:
        MediaError: no SPS, no PPS, or ones that can't be read.
    """
    sets, pictures = tuple(map(bytes, sps)), tuple(map(bytes, pps))
    if not sets or not pictures:
        raise MediaError(_RECORD, "an SPS and a PPS are needed")
    first = parse_sps(sets[0])
    config = AvcConfig(first.profile, first.constraints, first.level, length_size, sets, pictures)
    if first.profile not in _WITHOUT_EXTENSION:
        extension = (first.chroma_format, first.bit_depth_luma, first.bit_depth_chroma)
        config = AvcConfig(first.profile, first.constraints, first.level, length_size, sets, pictures, *extension)
    return config.serialize()


def config_from_annexb(data: Buffer, length_size: int = 4) -> bytes | None:
    """The record made of the parameter sets in Annex B bytes (extradata or an access unit); None without any.

    Raises:
        MediaError: not Annex B, or parameter sets that can't be read.
    """
    found: dict[int, dict[bytes, None]] = {NalType.SPS: {}, NalType.PPS: {}}
    for unit in split_annexb(data):
        if nal_type(unit) in found:
            found[nal_type(unit)][bytes(unit)] = None
    if not all(found.values()):
        return None
    return build_config(found[NalType.SPS], found[NalType.PPS], length_size)


def is_keyframe(access_unit: Buffer, length_size: int = 4) -> bool:
    """True if a length-prefixed access unit is an IDR picture: its first slice is one (7.4.1.2.4).

    Raises:
        MediaError: lengths that do not add up before the first slice.
    """
    for unit in iter_length_prefixed(access_unit, length_size):
        kind = nal_type(unit)
        if NalType.SLICE <= kind <= NalType.IDR:
            return kind == NalType.IDR
    return False


# ------------------------------------------------------------------------ SPS


def parse_sps(nal: Buffer) -> Sps:
    """Read a sequence parameter set, a NAL unit without start code or length (7.3.2.1.1).

    Raises:
        MediaError: not an SPS, or one that contradicts the standard.
    """
    bits = BitReader(unescape(nal), _SPS)
    if bits.u(8) & 0x9F != NalType.SPS:
        raise bits.error("not a NAL unit of type 7")
    profile, constraints, level = bits.u(8), bits.u(8), bits.u(8)
    bits.ue(31, "seq_parameter_set_id")
    chroma_format, separate_planes, luma, chroma = _read_chroma(bits) if profile in _WITH_CHROMA else (1, False, 8, 8)
    order = _read_order(bits)
    width_mbs = bits.ue(_MAX_SIDE_MBS - 1, "pic_width_in_mbs_minus1") + 1
    height_units = bits.ue(_MAX_SIDE_MBS - 1, "pic_height_in_map_units_minus1") + 1
    frames_only = bits.flag()
    bits.skip(1 if frames_only else 2)  # mb_adaptive_frame_field_flag, direct_8x8_inference_flag
    fields = 1 if frames_only else 2
    crop_x, crop_y = _read_crop(bits, 0 if separate_planes else chroma_format, fields)
    width, height = 16 * width_mbs - crop_x, 16 * height_units * fields - crop_y
    if width <= 0 or height <= 0:
        raise bits.error("cropping leaves nothing of the picture")
    sample_aspect, fps, reorder = _read_vui(bits) if bits.flag() else (Fraction(0), None, None)
    if order == 2 or profile == 66:  # shown as they are decoded (8.2.1); no B slices (A.2.1)
        reorder = 0
    shape = (width, height, sample_aspect, fps, not frames_only)
    return Sps(profile, constraints, level, *shape, chroma_format, luma, chroma, reorder)


def _read_chroma(bits: BitReader) -> tuple[int, bool, int, int]:
    chroma_format = bits.ue(3, "chroma_format_idc")
    separate_planes = bits.flag() if chroma_format == 3 else False
    luma = bits.ue(6, "bit_depth_luma_minus8") + 8
    chroma = bits.ue(6, "bit_depth_chroma_minus8") + 8
    bits.skip(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.flag():  # seq_scaling_matrix_present_flag
        for index in range(12 if chroma_format == 3 else 8):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma_format, separate_planes, luma, chroma


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    # 7.3.2.1.1.1: once the next scale is zero, the rest of the list repeats the last one and is not coded.
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _read_order(bits: BitReader) -> int:
    """pic_order_cnt_type, and pass over what goes with it."""
    bits.ue(12, "log2_max_frame_num_minus4")
    order = bits.ue(2, "pic_order_cnt_type")
    if order == 0:
        bits.ue(12, "log2_max_pic_order_cnt_lsb_minus4")
    elif order == 1:
        bits.skip(1)
        bits.se()
        bits.se()
        for _ in range(bits.ue(255, "num_ref_frames_in_pic_order_cnt_cycle")):
            bits.se()
    bits.ue(name="max_num_ref_frames")
    bits.skip(1)  # gaps_in_frame_num_value_allowed_flag
    return order


def _read_crop(bits: BitReader, chroma_array: int, fields: int) -> tuple[int, int]:
    if not bits.flag():
        return 0, 0
    left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
    across = 2 if chroma_array in {1, 2} else 1  # table 6-1, equations 7-19 to 7-22
    down = (2 if chroma_array == 1 else 1) * fields
    return across * (left + right), down * (top + bottom)


def _read_vui(bits: BitReader) -> tuple[Fraction, Fraction | None, int | None]:
    sample_aspect = read_picture_vui(bits)
    timed = bits.flag()
    ticks = read_timing(bits) if timed else None
    fps = ticks / 2 if ticks else None  # a tick is a field (E.2.1)
    try:
        return sample_aspect, fps, _read_restriction(bits, timed=timed)
    except MediaError:  # many an encoder's VUI is cut off, and its picture plays
        return sample_aspect, fps, None


def _read_restriction(bits: BitReader, *, timed: bool) -> int | None:
    """max_num_reorder_frames (E.2.1), if it is said."""
    bits.skip(timed)  # fixed_frame_rate_flag
    modelled = False
    for _ in ("NAL", "VCL"):
        if bits.flag():
            _skip_hrd(bits)
            modelled = True
    bits.skip(1 + modelled)  # low_delay_hrd_flag, pic_struct_present_flag
    if not bits.flag():  # bitstream_restriction_flag
        return None
    bits.skip(1)
    for _ in range(4):
        bits.ue()
    return bits.ue(16, "max_num_reorder_frames")


def _skip_hrd(bits: BitReader) -> None:
    count = bits.ue(31, "cpb_cnt_minus1") + 1
    bits.skip(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.skip(1)
    bits.skip(20)

"""H.265 sequence parameter sets: profile, tier, level, picture size and frame rate.

Sections are those of ITU-T H.265 (08/2021). The frame rate stands near the end, behind structures of
variable size, so nearly all of the SPS has to be walked.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.media.codecs.bits import BitReader, unescape
from arclyd.media.codecs.vui import read_picture_vui, read_timing

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from arclyd.media.codecs.bits import BitWriter

_SPS: Final = "H.265 SPS"
_SPS_NAL: Final = 33

_MAX_SIDE: Final = 33_776
"""Luma samples along one side at level 7.2 (edition of 07/2024), the highest: sqrt(8 * MaxLumaPs) (A.4.1)."""

_MAX_REFERENCES: Final = 16
"""Pictures in a decoded picture buffer, the bound of num_negative_pics and num_positive_pics (A.4.2)."""


@dataclass(frozen=True, slots=True)
class ProfileTierLevel:
    """The general part of profile_tier_level() (7.3.3)."""

    space: int
    high_tier: bool
    idc: int
    compatibility: int  # 32 flags, that of profile 0 the highest bit
    constraints: int  # 48 bits, general_progressive_source_flag the highest
    level: int  # 30 times the level's number

    def write(self, out: BitWriter) -> None:
        """Append the 12 bytes it takes in an SPS and in a decoder configuration record."""
        out.u(2, self.space)
        out.u(1, self.high_tier)
        out.u(5, self.idc)
        out.u(32, self.compatibility)
        out.u(48, self.constraints)
        out.u(8, self.level)


@dataclass(frozen=True, slots=True)
class Sps:
    """What a sequence parameter set says. Sizes in pixels, within the conformance window."""

    profile: ProfileTierLevel
    width: int
    height: int
    sample_aspect: Fraction  # 0: not said
    fps: Fraction | None
    chroma_format: int
    bit_depth_luma: int
    bit_depth_chroma: int
    temporal_layers: int
    temporal_id_nested: bool
    reorder: int = 0  # pictures that may be decoded before one that is shown earlier


def read_general_profile(bits: BitReader) -> ProfileTierLevel:
    """Read the general part of profile_tier_level(), 12 bytes (7.3.3)."""
    return ProfileTierLevel(bits.u(2), bits.flag(), bits.u(5), bits.u(32), bits.u(48), bits.u(8))


def parse_sps(nal: Buffer) -> Sps:
    """Read a sequence parameter set of the base layer, a NAL unit without start code or length (7.3.2.2).

    Raises:
        MediaError: not an SPS, or one that contradicts the standard.
    """
    bits = BitReader(unescape(nal), _SPS)
    if bits.u(16) >> 3 != _SPS_NAL << 6:
        raise bits.error("not a NAL unit of type 33 of the base layer")
    bits.skip(4)
    layers = bits.u(3) + 1
    if layers > 7:
        raise bits.error("sps_max_sub_layers_minus1 is 7")
    nested = bits.flag()
    profile = read_general_profile(bits)
    _skip_sub_layer_profiles(bits, layers - 1)
    bits.ue(15, "sps_seq_parameter_set_id")
    chroma_format = bits.ue(3, "chroma_format_idc")
    separate_planes = bits.flag() if chroma_format == 3 else False
    width, height = _read_size(bits, 0 if separate_planes else chroma_format)
    luma = bits.ue(8, "bit_depth_luma_minus8") + 8
    chroma = bits.ue(8, "bit_depth_chroma_minus8") + 8
    reorder = _read_coding_tools(bits, layers)
    sample_aspect, fps = _read_vui(bits) if bits.flag() else (Fraction(0), None)
    return Sps(profile, width, height, sample_aspect, fps, chroma_format, luma, chroma, layers, nested, reorder)


def _skip_sub_layer_profiles(bits: BitReader, count: int) -> None:
    present = [(bits.flag(), bits.flag()) for _ in range(count)]
    if count:
        bits.skip(2 * (8 - count))
    for profile, level in present:
        bits.skip(88 * profile + 8 * level)


def _read_size(bits: BitReader, chroma_array: int) -> tuple[int, int]:
    width = bits.ue(_MAX_SIDE, "pic_width_in_luma_samples")
    height = bits.ue(_MAX_SIDE, "pic_height_in_luma_samples")
    if bits.flag():  # conformance_window_flag
        left, right, top, bottom = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        width -= (2 if chroma_array in {1, 2} else 1) * (left + right)  # table 6-1
        height -= (2 if chroma_array == 1 else 1) * (top + bottom)
    if width <= 0 or height <= 0:
        raise bits.error("the picture has no size")
    return width, height


def _read_coding_tools(bits: BitReader, layers: int) -> int:
    """sps_max_num_reorder_pics of all layers, and pass over what lies up to the video usability information."""
    reorder = 0
    poc_bits = bits.ue(12, "log2_max_pic_order_cnt_lsb_minus4") + 4
    for _ in range(layers if bits.flag() else 1):  # sps_sub_layer_ordering_info_present_flag
        bits.ue()
        reorder = bits.ue(_MAX_REFERENCES, "sps_max_num_reorder_pics")
        bits.ue()
    for _ in range(6):  # block sizes and hierarchy depths
        bits.ue()
    if bits.flag() and bits.flag():  # scaling_list_enabled_flag, sps_scaling_list_data_present_flag
        _skip_scaling_lists(bits)
    bits.skip(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag():  # pcm_enabled_flag
        bits.skip(8)
        bits.ue()
        bits.ue()
        bits.skip(1)
    _skip_reference_sets(bits)
    if bits.flag():  # long_term_ref_pics_present_flag
        for _ in range(bits.ue(32, "num_long_term_ref_pics_sps")):
            bits.skip(poc_bits + 1)
    bits.skip(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    return reorder


def _skip_scaling_lists(bits: BitReader) -> None:
    """Pass over scaling_list_data() (7.3.4)."""
    for size in range(4):
        for _ in range(2 if size == 3 else 6):
            if not bits.flag():  # scaling_list_pred_mode_flag
                bits.ue()
                continue
            for _ in range(min(64, 16 << 2 * size) + (size > 1)):
                bits.se()


def _skip_reference_sets(bits: BitReader) -> None:
    """Pass over all st_ref_pic_set() (7.3.7); a set can be coded against the one before it."""
    deltas: list[int] = []
    for index in range(bits.ue(64, "num_short_term_ref_pic_sets")):
        predicted = bits.flag() if index else False
        deltas = _predicted_set(bits, deltas) if predicted else _coded_set(bits)


def _coded_set(bits: BitReader) -> list[int]:
    negative = bits.ue(_MAX_REFERENCES, "num_negative_pics")
    positive = bits.ue(_MAX_REFERENCES, "num_positive_pics")
    deltas = []
    for count, sign in ((negative, -1), (positive, 1)):
        delta = 0
        for _ in range(count):
            delta += sign * (bits.ue(0x7FFF, "delta_poc_minus1") + 1)
            bits.skip(1)
            deltas.append(delta)
    return deltas


def _predicted_set(bits: BitReader, reference: list[int]) -> list[int]:
    """The picture order deltas of a set that shifts ``reference`` (equations 7-61 and 7-62)."""
    sign = -1 if bits.flag() else 1
    shift = sign * (bits.ue(0x7FFF, "abs_delta_rps_minus1") + 1)
    deltas = []
    for delta in (*reference, 0):
        used = bits.flag() or bits.flag()  # used_by_curr_pic_flag, else use_delta_flag
        if used and delta + shift:
            deltas.append(delta + shift)
    # The order the equations give, and the next set's flags refer to: past pictures, then future, nearest first.
    return sorted(deltas, key=lambda delta: (delta > 0, abs(delta)))


def _read_vui(bits: BitReader) -> tuple[Fraction, Fraction | None]:
    """Read vui_parameters() up to the timing (E.2.1)."""
    sample_aspect = read_picture_vui(bits)
    bits.skip(3)  # neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
    if bits.flag():  # default_display_window_flag
        for _ in range(4):
            bits.ue()
    return sample_aspect, read_timing(bits) if bits.flag() else None

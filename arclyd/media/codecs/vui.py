"""What H.264 and H.265 have in common at the start of their video usability information."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from arclyd.media.codecs.bits import BitReader

_EXTENDED_SAR: Final = 255
_SAMPLE_ASPECT_RATIOS: Final = (
    *((0, 1), (1, 1), (12, 11), (10, 11), (16, 11), (40, 33), (24, 11), (20, 11), (32, 11)),
    *((80, 33), (18, 11), (15, 11), (64, 33), (160, 99), (4, 3), (3, 2), (2, 1)),
)
"""By aspect_ratio_idc (H.264 and H.265, table E-1); 0 is unspecified."""


def read_picture_vui(bits: BitReader) -> Fraction:
    """Read from aspect_ratio_info_present_flag through chroma_loc_info (E.1.1, E.2.1).

    Returns:
        The sample aspect ratio, width by height; 0 where it is not said.
    """
    sar = _read_sar(bits) if bits.flag() else Fraction(0)
    if bits.flag():  # overscan_info_present_flag
        bits.skip(1)
    if bits.flag():  # video_signal_type_present_flag
        bits.skip(4)  # video_format, video_full_range_flag
        if bits.flag():  # colour_description_present_flag
            bits.skip(24)
    if bits.flag():  # chroma_loc_info_present_flag
        bits.ue()
        bits.ue()
    return sar


def read_timing(bits: BitReader) -> Fraction | None:
    """Read num_units_in_tick and time_scale; ticks a second, or None where either is zero."""
    units, scale = bits.u(32), bits.u(32)
    return Fraction(scale, units) if units and scale else None


def _read_sar(bits: BitReader) -> Fraction:
    idc = bits.u(8)
    if idc == _EXTENDED_SAR:
        width, height = bits.u(16), bits.u(16)
    else:
        # Values above the table are reserved, which a decoder takes for unspecified.
        width, height = _SAMPLE_ASPECT_RATIOS[idc] if idc < len(_SAMPLE_ASPECT_RATIOS) else (0, 1)
    return Fraction(width, height) if height else Fraction(0)

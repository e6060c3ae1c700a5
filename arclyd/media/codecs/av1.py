"""AV1: the configuration record, the sequence header, and the open bitstream units of a temporal unit.

Sections are those of the AV1 Bitstream & Decoding Process Specification (2019-01-08) unless the
AV1 Codec ISO Media File Format Binding ("binding") is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from arclyd.errors import MediaError
from arclyd.media.codecs.annexb import split_annexb
from arclyd.media.codecs.bits import BitReader, BitWriter, unescape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

_RECORD: Final = "av1C"
_SEQUENCE: Final = "AV1 sequence header"
_UNIT: Final = "OBU"

_SELECT: Final = 2
"""SELECT_SCREEN_CONTENT_TOOLS and SELECT_INTEGER_MV (3)."""

_LOST_ZEROS: Final = 64
"""Zero bytes at the end of a unit that are taken for those of the next start code."""

_SRGB: Final = (1, 13, 0)
"""Colour primaries, transfer and matrix that fix the sampling to 4:4:4 (5.5.2)."""


class ObuType(IntEnum):
    """Values of obu_type that matter here (6.2.2)."""

    SEQUENCE_HEADER = 1
    TEMPORAL_DELIMITER = 2
    FRAME_HEADER = 3
    FRAME = 6


class Obu(NamedTuple):
    """One open bitstream unit: its type, as a view what follows its header, and the place behind it."""

    type: int
    payload: memoryview
    end: int


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """What a sequence header says; ``width`` and ``height`` are the largest of the sequence, in pixels."""

    profile: int
    level: int  # seq_level_idx of operating point 0
    high_tier: bool
    width: int
    height: int
    fps: Fraction | None
    bit_depth: int
    monochrome: bool
    subsampling: tuple[int, int]
    chroma_position: int
    reduced: bool  # a still picture with a reduced header


@dataclass(frozen=True, slots=True)
class Av1Config:
    """An AV1CodecConfigurationRecord (binding 2.3.3); ``obus`` normally is the sequence header, framed."""

    profile: int
    level: int
    high_tier: bool
    bit_depth: int
    monochrome: bool
    subsampling: tuple[int, int]
    chroma_position: int
    presentation_delay: int = 0  # frames; 0: not said
    obus: bytes = b""

    @property
    def codec_string(self) -> str:
        """The codecs parameter without its optional tail, as ``av01.0.04M.08`` (binding 5)."""
        return f"av01.{self.profile}.{self.level:02d}{'H' if self.high_tier else 'M'}.{self.bit_depth:02d}"

    @classmethod
    def parse(cls, data: Buffer) -> Av1Config:
        """Read a record.

        Raises:
            MediaError: not such a record.
        """
        bits = BitReader(data, _RECORD)
        if bits.u(8) != 0x81:
            raise bits.error("marker and version are not 1")
        profile, level = bits.u(3), bits.u(5)
        high_tier, high, twelve, monochrome = bits.flag(), bits.flag(), bits.flag(), bits.flag()
        subsampling, position = (bits.u(1), bits.u(1)), bits.u(2)
        bits.skip(3)
        delay = bits.u(5)
        depth = (12 if twelve else 10) if high else 8
        delay = delay - 15 if delay & 16 else 0
        return cls(profile, level, high_tier, depth, monochrome, subsampling, position, delay, bits.rest())

    def serialize(self) -> bytes:
        """The record as bytes."""
        out = BitWriter()
        out.u(8, 0x81)
        out.u(3, self.profile)
        out.u(5, self.level)
        out.u(1, self.high_tier)
        out.u(1, self.bit_depth > 8)
        out.u(1, self.bit_depth == 12)
        out.u(1, self.monochrome)
        out.u(1, self.subsampling[0])
        out.u(1, self.subsampling[1])
        out.u(2, self.chroma_position)
        out.u(3, 0)
        out.u(5, self.presentation_delay + 15 if self.presentation_delay else 0)
        return out.tobytes() + self.obus

    def sequence_header(self) -> SequenceHeader | None:
        """The sequence header carried in the record, if it has one.

        Raises:
            MediaError: OBUs that can't be read.
        """
        return find_sequence_header(self.obus)


def build_config(temporal_unit: Buffer) -> bytes:
    """The configuration record of a stream, from a temporal unit or from OBUs with its sequence header.

    Raises:
        MediaError: no sequence header, or one that can't be read.
    """
    for unit in iter_obus(temporal_unit):
        if unit.type == ObuType.SEQUENCE_HEADER:
            head = parse_sequence_header(unit.payload)
            # The binding wants obu_has_size_field set, whatever the stream itself does (2.3.4).
            obu = b"\x0a" + leb128(len(unit.payload)) + bytes(unit.payload)
            picture = (head.bit_depth, head.monochrome, head.subsampling, head.chroma_position)
            return Av1Config(head.profile, head.level, head.high_tier, *picture, 0, obu).serialize()
    raise MediaError(_RECORD, "no sequence header to make it from")


# ----------------------------------------------------------------------- OBUs


def iter_obus(data: Buffer) -> Iterator[Obu]:
    """The OBUs of a temporal unit in the low-overhead format (5.2); one without a size goes to the end.

    Raises:
        MediaError: a header or a size that can't be.
    """
    view = memoryview(data)
    pos, end = 0, len(view)
    while pos < end:
        header = view[pos]
        if header & 0x80:
            raise MediaError(_UNIT, "the forbidden bit is set")
        pos += 2 if header & 4 else 1  # obu_extension_flag
        size = end - pos
        if header & 2:  # obu_has_size_field
            size, pos = read_leb128(view, pos)
        if size < 0 or size > end - pos:
            raise MediaError(_UNIT, f"a unit of {size} bytes with {end - pos} bytes left")
        yield Obu(header >> 3 & 15, view[pos : pos + size], pos + size)
        pos += size


def from_start_codes(data: Buffer) -> bytes:
    """A temporal unit whose OBUs follow start codes, escaped as NAL units are, in the low-overhead format.

    That is how MPEG-TS carries them (Carriage of AV1 in MPEG-2 TS, 3.6.2). The one that only says that a temporal
    unit begins is left out (binding 2.4).

    Raises:
        MediaError: a unit that can't be.
    """
    return join_obus(unescape(unit) for unit in split_annexb(data))


def join_obus(obus: Iterable[bytes]) -> bytes:
    """OBUs, with their sizes in them or without, as a temporal unit in the low-overhead format.

    The one that only says that a temporal unit begins is left out (binding 2.4).

    Raises:
        MediaError: a unit that can't be.
    """
    return b"".join(_sized(obu) for obu in obus if obu)


def split_obus(data: Buffer) -> list[bytes]:
    """The OBUs of a temporal unit, without their sizes, as RTP carries them (RTP Payload Format for AV1, 4.4).

    Raises:
        MediaError: a header or a size that can't be.
    """
    view = memoryview(data)
    found = []
    start = 0
    for unit in iter_obus(view):
        header = view[start : start + (2 if view[start] & 4 else 1)]
        found.append(bytes((header[0] & ~2,)) + bytes(header[1:]) + bytes(unit.payload))
        start = unit.end
    return found


def _sized(obu: bytes) -> bytes:
    """The OBU with its size in it; empty for a temporal delimiter."""
    at = 2 if obu[0] & 4 else 1
    if obu[0] >> 3 & 15 == ObuType.TEMPORAL_DELIMITER:
        return b""
    size = len(obu) - at
    if size < 0:
        raise MediaError(_UNIT, "a header that is cut off")
    if obu[0] & 2:
        size, at = read_leb128(memoryview(obu), at)
    if obu[0] & 0x80 or not 0 <= size - (len(obu) - at) <= _LOST_ZEROS:
        raise MediaError(_UNIT, f"a unit of {size} bytes with {len(obu) - at} bytes left")
    head = bytes((obu[0] | 2,)) + obu[1 : 2 if obu[0] & 4 else 1]
    return head + leb128(size) + obu[at:].ljust(size, b"\0")


def read_leb128(view: memoryview, pos: int) -> tuple[int, int]:
    """The number at ``pos``, and the place after it (4.10.5)."""
    value = 0
    for index, byte in enumerate(view[pos : pos + 8]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, pos + index + 1
    raise MediaError(_UNIT, "a size that does not end")


def leb128(value: int) -> bytes:
    """A number as it is coded in 7 bits a byte (4.10.5)."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def find_sequence_header(data: Buffer) -> SequenceHeader | None:
    """The first sequence header among the OBUs in ``data``.

    Raises:
        MediaError: OBUs that can't be read.
    """
    for unit in iter_obus(data):
        if unit.type == ObuType.SEQUENCE_HEADER:
            return parse_sequence_header(unit.payload)
    return None


def is_keyframe(temporal_unit: Buffer) -> bool:
    """True if decoding can start at this temporal unit: its first frame is a shown key frame (binding 2.4).

    Raises:
        MediaError: OBUs that can't be read, up to the first frame.
    """
    reduced = False
    for unit in iter_obus(temporal_unit):
        if unit.type == ObuType.SEQUENCE_HEADER:
            reduced = parse_sequence_header(unit.payload).reduced
        elif unit.type in {ObuType.FRAME_HEADER, ObuType.FRAME}:
            # 5.9.2: show_existing_frame, frame_type (0 is KEY_FRAME), show_frame.
            return reduced or (bool(unit.payload) and unit.payload[0] >> 4 == 1)
    return False


# ------------------------------------------------------------ sequence header


def parse_sequence_header(payload: Buffer) -> SequenceHeader:
    """Read the payload of a sequence header OBU (5.5).

    Raises:
        MediaError: not such a header.
    """
    bits = BitReader(payload, _SEQUENCE)
    profile = bits.u(3)
    if profile > 2:
        raise bits.error(f"seq_profile {profile} is reserved")
    bits.skip(1)  # still_picture
    reduced = bits.flag()
    fps, level, high_tier = (None, bits.u(5), False) if reduced else _read_operating_points(bits)
    width_bits, height_bits = bits.u(4) + 1, bits.u(4) + 1
    width, height = bits.u(width_bits) + 1, bits.u(height_bits) + 1
    _skip_tools(bits, reduced=reduced)
    depth, monochrome, subsampling, position = _read_color(bits, profile)
    return SequenceHeader(
        profile, level, high_tier, width, height, fps, depth, monochrome, subsampling, position, reduced
    )


def _read_operating_points(bits: BitReader) -> tuple[Fraction | None, int, bool]:
    """Read from timing_info_present_flag through the operating points: frame rate, level and tier of point 0."""
    fps, delay_bits = None, 0
    if bits.flag():  # timing_info_present_flag
        fps = _read_timing(bits)
        if bits.flag():  # decoder_model_info_present_flag
            delay_bits = bits.u(5) + 1
            bits.skip(42)
    initial_delays = bits.flag()
    points = []
    for _ in range(bits.u(5) + 1):
        bits.skip(12)  # operating_point_idc
        level = bits.u(5)
        points.append((level, level > 7 and bits.flag()))
        if delay_bits and bits.flag():  # decoder_model_present_for_this_op
            bits.skip(2 * delay_bits + 1)
        if initial_delays and bits.flag():
            bits.skip(4)
    return fps, *points[0]


def _read_timing(bits: BitReader) -> Fraction | None:
    """Read timing_info() (5.5.3); the frame rate is known only where pictures are equally far apart."""
    tick, scale = bits.u(32), bits.u(32)
    if not bits.flag():  # equal_picture_interval
        return None
    zeros = 0
    while not bits.flag():  # uvlc() (4.10.3), which unlike ue(v) knows a code without a value
        zeros += 1
    per_picture = (1 << zeros) + bits.u(zeros) if zeros < 32 else 0
    return Fraction(scale, tick * per_picture) if tick and scale and per_picture else None


def _skip_tools(bits: BitReader, *, reduced: bool) -> None:
    """Pass over what lies between the frame size and color_config()."""
    if not reduced and bits.flag():  # frame_id_numbers_present_flag
        bits.skip(7)
    bits.skip(3)  # superblocks, filter intra, intra edge filter
    if not reduced:
        bits.skip(4)  # interintra, masked, warped motion, dual filter
        order_hint = bits.flag()
        bits.skip(2 if order_hint else 0)  # joint compound, reference motion vectors
        screen_content = _SELECT if bits.flag() else bits.u(1)
        if screen_content and not bits.flag():  # seq_choose_integer_mv
            bits.skip(1)
        bits.skip(3 if order_hint else 0)
    bits.skip(3)  # superres, cdef, restoration


def _read_color(bits: BitReader, profile: int) -> tuple[int, bool, tuple[int, int], int]:
    """Read color_config() (5.5.2): bit depth, monochrome, subsampling across and down, chroma position."""
    depth = 10 if bits.flag() else 8
    if profile == 2 and depth == 10:
        depth = 12 if bits.flag() else 10
    monochrome = profile != 1 and bits.flag()
    color = (bits.u(8), bits.u(8), bits.u(8)) if bits.flag() else (2, 2, 2)
    if monochrome:
        bits.skip(1)
        return depth, True, (1, 1), 0
    if color == _SRGB:
        return depth, False, (0, 0), 0
    bits.skip(1)  # color_range
    subsampling = _read_subsampling(bits, profile, depth)
    return depth, False, subsampling, bits.u(2) if subsampling == (1, 1) else 0


def _read_subsampling(bits: BitReader, profile: int, depth: int) -> tuple[int, int]:
    if profile == 2 and depth == 12:
        across = bits.u(1)
        return across, bits.u(1) if across else 0
    return ((1, 1), (0, 0), (1, 0))[profile]

"""AV1 records, sequence headers and temporal units, held against what FFmpeg makes and says of them."""

from __future__ import annotations

import os
from fractions import Fraction

import pytest

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, av1
from arclyd.media.codecs.describe import describe_config


@pytest.fixture(autouse=True)
def _quiet_encoder(monkeypatch):
    monkeypatch.setitem(os.environ, "SVT_LOG", "1")


SVT = {"preset": "12"}


@pytest.mark.parametrize(
    ("width", "height", "pix_fmt"), [(854, 480, "yuv420p"), (1280, 720, "yuv420p10le"), (322, 182, "yuv420p")]
)
def test_facts_are_those_ffprobe_sees(encode_video, dash_codecs, width, height, pix_fmt):
    made = encode_video("libsvtav1", width, height, pix_fmt=pix_fmt, options=SVT)
    facts = describe_config(CodecId.AV1, made.config)
    assert (facts.width, facts.height) == (made.probe["width"], made.probe["height"]) == (width, height)
    assert facts.profile == made.probe["profile"]
    major, minor = facts.level.split(".")
    assert (int(major) - 2) * 4 + int(minor) == made.probe["level"]
    assert dash_codecs(made.data).startswith(facts.codec_string)


def test_records_of_ffmpeg_come_back_byte_for_byte(encode_video):
    made = encode_video("libsvtav1", 320, 180, options=SVT)
    config = av1.Av1Config.parse(made.config)
    assert config.serialize() == made.config
    assert av1.build_config(config.obus) == made.config
    head = config.sequence_header()
    # The encoder refines coding tools after it gave its configuration; what is said of the picture stays.
    assert av1.Av1Config.parse(av1.build_config(made.packets[0])).sequence_header() == head
    assert (head.width, head.height, head.bit_depth, head.subsampling) == (320, 180, 8, (1, 1))
    with pytest.raises(MediaError, match="no sequence header"):
        av1.build_config(made.packets[1])


def test_keyframes_are_those_of_the_encoder(encode_video):
    made = encode_video("libsvtav1", 320, 180, frames=12, options=SVT | {"g": "5"})
    assert tuple(av1.is_keyframe(packet) for packet in made.packets) == made.keyframes
    assert sum(made.keyframes) == 3


@pytest.mark.parametrize(
    ("bits", "starts"),
    [
        ("0001", True),  # a shown key frame
        ("0000", False),  # a key frame to be shown later
        ("0011", False),  # an inter frame
        ("0101", False),  # an intra-only frame
        ("1000", False),  # an old frame shown again
    ],
)
@pytest.mark.parametrize("kind", [av1.ObuType.FRAME, av1.ObuType.FRAME_HEADER])
def test_only_a_shown_key_frame_is_a_start(bits, starts, kind):
    frame = bytes((kind << 3 | 2, 1, int(bits, 2) << 4))
    assert av1.is_keyframe(b"\x12\x00" + frame) is starts


def test_a_still_picture_is_a_start():
    # A reduced header (profile 0, still, 64x64), after which frame headers do not say what they are.
    bits = "00011000010101010111111111111100000000000000"
    payload = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    assert av1.parse_sequence_header(payload).reduced
    still = bytes((0x0A, len(payload))) + payload + b"\x32\x01\x00"
    assert av1.is_keyframe(still)
    assert not av1.is_keyframe(b"\x32\x01\x00")
    assert not av1.is_keyframe(b"")


def test_units_of_a_temporal_unit(encode_video):
    first = encode_video("libsvtav1", 320, 180, options=SVT).packets[0]
    units = list(av1.iter_obus(first))
    kinds = {unit.type for unit in units}
    assert av1.ObuType.SEQUENCE_HEADER in kinds
    assert kinds & {av1.ObuType.FRAME, av1.ObuType.FRAME_HEADER}
    # The same without the last size field: the unit goes to the end.
    bare = b"\x08" + bytes(units[[unit.type for unit in units].index(1)].payload)
    assert av1.find_sequence_header(bare) == av1.find_sequence_header(first)


def test_frame_rate_from_timing_info():
    # Profile 0, timing info with equal intervals at 60 ticks of 1001/30000 apart by 2, one operating point, 64x64.
    bits = f"000001{1001:032b}{30000:032b}10100000000{0:012b}00001"
    bits += "0101010111111111111100000000011000000000"
    payload = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    head = av1.parse_sequence_header(payload)
    assert (head.width, head.height, head.fps) == (64, 64, Fraction(15000, 1001))


@pytest.mark.parametrize(
    ("unit", "problem"),
    [
        (b"\x8a\x00", "forbidden"),
        (b"\x0a\x05\x00", "5 bytes with 1"),
        (b"\x0a\x80\x80", "does not end"),
        (b"\x0a" + b"\x80" * 9, "does not end"),
        (b"\x0e", "does not end"),
        (b"\x0c", "bytes left"),
    ],
)
def test_units_that_are_none(unit, problem):
    with pytest.raises(MediaError, match=problem):
        list(av1.iter_obus(unit))


def test_records_that_are_none():
    with pytest.raises(MediaError, match="marker"):
        av1.Av1Config.parse(b"\x01\x00\x00\x00")
    with pytest.raises(MediaError, match="too early"):
        av1.Av1Config.parse(b"\x81\x00\x0c")


def test_presentation_delay_survives():
    config = av1.Av1Config(0, 8, True, 12, False, (1, 0), 2, presentation_delay=16)
    assert av1.Av1Config.parse(config.serialize()) == config
    assert config.codec_string == "av01.0.08H.12"

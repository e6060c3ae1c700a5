"""H.265 records and parameter sets, held against what FFmpeg makes and says of them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, annexb, h265
from arclyd.media.codecs.describe import describe_config

X265 = {"preset": "ultrafast", "x265-params": "log-level=none:info=0:bframes=0"}


@pytest.mark.parametrize(
    ("width", "height", "rate", "pix_fmt"),
    [
        (1920, 1080, Fraction(30000, 1001), "yuv420p"),
        (854, 480, 25, "yuv420p10le"),
        (322, 182, 60, "yuv422p"),
        (323, 181, 24, "yuv444p"),
    ],
)
def test_facts_are_those_ffprobe_sees(encode_video, width, height, rate, pix_fmt):
    made = encode_video("libx265", width, height, rate=rate, pix_fmt=pix_fmt, frames=2, options=X265)
    facts = describe_config(CodecId.H265, made.config)
    assert (facts.width, facts.height) == (made.probe["width"], made.probe["height"]) == (width, height)
    assert facts.fps == Fraction(made.probe["r_frame_rate"]) == rate
    assert facts.profile == made.probe["profile"]
    assert round(float(facts.level) * 30) == made.probe["level"]


def test_codec_string_of_an_encoder(encode_video):
    made = encode_video("libx265", 320, 180, frames=2, options=X265)
    assert describe_config(CodecId.H265, made.config).codec_string == "hvc1.1.6.L60.90"


@pytest.mark.parametrize(
    ("profile", "codec_string"),
    [
        # As in ISO/IEC 14496-15, E.3: trailing zero bytes are left out, those in between are not.
        (h265.ProfileTierLevel(0, False, 1, 0x60000000, 0xB0_00_00_00_00_00, 93), "hvc1.1.6.L93.B0"),
        (h265.ProfileTierLevel(1, False, 12, 0x20000000, 0xB0_23_00_00_00_00, 93), "hvc1.A12.4.L93.B0.23"),
        (h265.ProfileTierLevel(3, True, 2, 0x20000000, 0xB0_00_00_00_00_01, 153), "hvc1.C2.4.H153.B0.0.0.0.0.1"),
    ],
)
def test_codec_string_of_a_profile(profile, codec_string):
    assert h265.HevcConfig(profile).codec_string == codec_string


def test_records_of_ffmpeg_come_back_byte_for_byte(encode_video):
    made = encode_video("libx265", 320, 180, frames=2, options=X265)
    config = h265.HevcConfig.parse(made.config)
    assert config.serialize() == made.config
    assert [array.type for array in config.arrays][:3] == [h265.NalType.VPS, h265.NalType.SPS, h265.NalType.PPS]


def test_record_is_made_from_annexb_extradata(encode_video):
    boxed = h265.HevcConfig.parse(encode_video("libx265", 854, 480, frames=2, options=X265).config)
    bare = encode_video("libx265", 854, 480, frames=2, suffix="hevc", options=X265)
    assert annexb.is_annexb(bare.config)
    record = h265.config_from_annexb(bare.config)
    ours = h265.HevcConfig.parse(record)
    assert ours.profile == boxed.profile
    assert (ours.bit_depth_luma, ours.chroma_format) == (boxed.bit_depth_luma, boxed.chroma_format)
    assert (ours.temporal_layers, ours.temporal_id_nested) == (boxed.temporal_layers, boxed.temporal_id_nested)
    for kind in (h265.NalType.VPS, h265.NalType.SPS, h265.NalType.PPS):
        assert ours.units(kind) == boxed.units(kind)
    assert h265.config_from_annexb(bare.packets[1]) is None


def test_keyframes_are_those_of_the_encoder(encode_video):
    options = X265 | {"x265-params": "log-level=none:keyint=5:min-keyint=5:scenecut=0:bframes=2:open-gop=1"}
    made = encode_video("libx265", 320, 180, frames=12, options=options)
    assert tuple(h265.is_keyframe(packet) for packet in made.packets) == made.keyframes
    assert sum(made.keyframes) == 3


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (b"\x01\x01", "too early"),
        (b"\x02" * 30, "configurationVersion"),
        (b"\x01" + bytes(20) + b"\x02\x00", "3 bytes"),
        (b"\x01" + bytes(20) + b"\x03\x01\x21\x00\x01\x00\x04\x42\x01", "4 bytes with 2"),
        (b"\x01" + bytes(20) + b"\x03\x01\x21\x00\x01\x00\x02\x44\x01", "type 34"),
    ],
)
def test_records_that_are_none(record, problem):
    with pytest.raises(MediaError, match=problem):
        h265.HevcConfig.parse(record)


def test_a_record_needs_all_three_sets():
    with pytest.raises(MediaError, match="needed"):
        h265.build_config([b"\x40\x01"], [], [b"\x44\x01"])

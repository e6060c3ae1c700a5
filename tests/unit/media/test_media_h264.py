"""H.264 records and parameter sets, held against what FFmpeg makes and says of them."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, annexb, h264
from arclyd.media.codecs.describe import describe_config

X264 = {"preset": "veryfast"}


@pytest.mark.parametrize(
    ("width", "height", "rate", "pix_fmt", "options"),
    [
        (1920, 1080, Fraction(30000, 1001), "yuv420p", {"profile": "high"}),
        (854, 480, 25, "yuv420p", {"profile": "main"}),
        (640, 360, 60, "yuv420p", {"profile": "baseline"}),
        (322, 182, 24, "yuv422p", {"profile": "high422"}),
        (323, 181, 15, "yuv444p", {"profile": "high444"}),
        (320, 180, 30, "yuv420p10le", {"profile": "high10"}),
        (320, 176, 30, "gray", {"profile": "high"}),
    ],
)
def test_facts_are_those_ffprobe_sees(encode_video, dash_codecs, width, height, rate, pix_fmt, options):
    made = encode_video("libx264", width, height, rate=rate, pix_fmt=pix_fmt, options=X264 | options)
    facts = describe_config(CodecId.H264, made.config)
    assert (facts.width, facts.height) == (made.probe["width"], made.probe["height"]) == (width, height)
    assert facts.fps == Fraction(made.probe["r_frame_rate"]) == rate
    assert facts.profile == made.probe["profile"]
    assert round(float(facts.level) * 10) == made.probe["level"]
    assert facts.codec_string == dash_codecs(made.data)


def test_records_of_ffmpeg_come_back_byte_for_byte(encode_video):
    for pix_fmt in ("yuv420p", "yuv422p10le"):
        made = encode_video("libx264", 640, 360, pix_fmt=pix_fmt, options=X264)
        config = h264.AvcConfig.parse(made.config)
        assert config.serialize() == made.config
        assert h264.build_config(config.sps, config.pps) == made.config


def test_record_is_made_from_annexb_extradata(encode_video):
    made = encode_video("libx264", 854, 480, suffix="ts", options=X264)
    assert annexb.is_annexb(made.config)
    record = h264.config_from_annexb(made.config)
    assert record == h264.config_from_annexb(made.packets[0])
    facts = describe_config(CodecId.H264, record)
    assert (facts.width, facts.height, facts.fps) == (854, 480, 25)
    assert h264.config_from_annexb(made.packets[1]) is None


def test_interlaced_pictures_are_whole_frames(encode_video):
    made = encode_video("libx264", 720, 572, options=X264 | {"x264-params": "interlaced=1"})
    sps = h264.parse_sps(h264.AvcConfig.parse(made.config).sps[0])
    assert sps.interlaced
    assert (sps.width, sps.height, sps.fps) == (720, 572, 25)


@pytest.mark.parametrize("aspect", [Fraction(16, 11), Fraction(4, 3), Fraction(97, 89)])
def test_sample_aspect_ratio(encode_video, aspect):
    made = encode_video("libx264", 720, 576, options=X264, aspect=aspect)
    assert h264.parse_sps(h264.AvcConfig.parse(made.config).sps[0]).sample_aspect == aspect


def test_keyframes_are_those_of_the_encoder(encode_video):
    made = encode_video("libx264", 320, 180, frames=12, options=X264 | {"g": "5", "bf": "2"})
    assert tuple(h264.is_keyframe(packet) for packet in made.packets) == made.keyframes
    assert sum(made.keyframes) == 3


def test_real_clip(bunny):
    with av.open(str(bunny)) as container:
        stream = container.streams.video[0]
        config = bytes(stream.codec_context.extradata)
        packets = [packet for packet in container.demux(stream) if packet.size]
        facts = describe_config(CodecId.H264, config)
        assert (facts.width, facts.height, facts.fps) == (1280, 720, 25)
        assert (facts.profile, facts.level, facts.codec_string) == ("Main", "3.1", "avc1.4d401f")
        assert h264.AvcConfig.parse(config).serialize() == config
        assert [h264.is_keyframe(bytes(p)) for p in packets] == [p.is_keyframe for p in packets]
        converted = av.BitStreamFilterContext("h264_mp4toannexb", stream)
        for packet in packets:
            raw = bytes(packet)
            framed = annexb.to_annexb(raw)
            assert annexb.to_length_prefixed(framed) == raw
            theirs = [unit for made in converted.filter(packet) for unit in annexb.split_annexb(bytes(made))]
            parameter_sets = {h264.NalType.SPS, h264.NalType.PPS}
            assert [unit for unit in theirs if h264.nal_type(unit) not in parameter_sets] == annexb.split_annexb(framed)


def test_old_record_without_extension_is_read(encode_video):
    made = encode_video("libx264", 320, 180, options=X264 | {"profile": "high"})
    short = h264.AvcConfig.parse(made.config[:-4])
    assert short.chroma_format is None
    assert short.serialize() == made.config[:-4]


def test_level_1b_has_two_spellings():
    constrained = h264.AvcConfig(66, 0x10, 11).serialize()
    high = h264.AvcConfig(100, 0, 9).serialize()
    assert describe_config(CodecId.H264, constrained).level == "1b"
    assert describe_config(CodecId.H264, high).level == "1b"
    assert describe_config(CodecId.H264, h264.AvcConfig(66, 0, 11).serialize()).level == "1.1"


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (b"", "too early"),
        (b"\x00\x64\x00\x1f\xff\xe0\x00", "configurationVersion"),
        (b"\x01\x64\x00\x1f\xfe\xe0\x00", "3 bytes"),
        (b"\x01\x64\x00\x1f\xff\xe1\x00\x00\x00", "empty"),
        (b"\x01\x64\x00\x1f\xff\xe1\x00\x09\x67", "9 bytes with 1"),
        (b"\x01\x64\x00\x1f\xff\xe1\x00\x01\x68\x00", "type 8"),
    ],
)
def test_records_that_are_none(record, problem):
    with pytest.raises(MediaError, match=problem):
        h264.AvcConfig.parse(record)


def test_a_record_needs_parameter_sets():
    with pytest.raises(MediaError, match="needed"):
        h264.build_config([], [b"\x68\xce"])


def test_cropping_away_the_picture_is_an_error():
    # Baseline, one macroblock, cropped by 8 columns of two pixels.
    bits = "0110011101000010000000000000101011111011101"
    bits += "000100111101"
    sps = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    with pytest.raises(MediaError, match="cropping"):
        h264.parse_sps(sps)

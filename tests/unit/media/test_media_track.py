"""Tracks, codec names and frame flags: what they say and what they refuse."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from arclyd.errors import MediaError, UnknownCodec
from arclyd.media.codecs import CodecId, codec_from_name
from arclyd.media.codecs.describe import ConfigFacts, describe_config
from arclyd.media.frame import FrameFlags, flags_text
from arclyd.media.track import Track, TrackKind


def test_ids_are_those_on_the_wire():
    names = ("H264", "H265", "VP8", "VP9", "AV1", "AAC", "OPUS", "G711A", "G711U", "G722", "MP3", "RAW", "VVC", "AC3")
    assert [CodecId[name] for name in names] == list(range(14))
    assert CodecId.UNKNOWN == 255


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_is_a_codec_or_an_error_that_carries_it(byte):
    if byte in set(CodecId):
        assert CodecId.from_byte(byte) == byte
        return
    with pytest.raises(UnknownCodec) as caught:
        CodecId.from_byte(byte)
    assert caught.value.codec == byte


def test_names_come_back():
    for codec in CodecId:
        assert codec_from_name(codec.label) is codec
        if codec is not CodecId.UNKNOWN:
            assert codec_from_name(codec.ffmpeg_name.upper()) is codec


@pytest.mark.parametrize(
    ("name", "codec"),
    [("hevc", 1), ("h265", 1), ("pcm_alaw", 7), ("g711a", 7), ("pcm_mulaw", 8), ("adpcm_g722", 9), ("bin_data", 11)],
)
def test_names_in_use(name, codec):
    assert codec_from_name(name) == codec


def test_names_are_those_ffmpeg_knows():
    known = {av.codec.Codec(name, "r").canonical_name for name in ("h264", "hevc", "vp8", "vp9", "av1", "aac", "opus")}
    known |= {
        av.codec.Codec(name, "r").canonical_name for name in ("pcm_alaw", "pcm_mulaw", "g722", "mp3", "vvc", "ac3")
    }
    ours = {codec.ffmpeg_name for codec in CodecId if codec.kind is not TrackKind.DATA}
    assert ours == known


def test_unknown_name_is_carried():
    with pytest.raises(UnknownCodec, match="theora") as caught:
        Track.video("theora")
    assert caught.value.codec == "theora"


def test_video_takes_its_size_from_the_config(bunny):
    with av.open(str(bunny)) as container:
        config = bytes(container.streams.video[0].codec_context.extradata)
    track = Track.video("h264", config=config)
    assert (track.kind, track.codec, track.width, track.height) == (TrackKind.VIDEO, CodecId.H264, 1280, 720)
    assert track.time_base == Fraction(1, 90_000)
    assert Track.video("h264", config=config, width=64, height=48).width == 64
    assert Track.video(CodecId.VP9).width == 0


def test_video_refuses_a_config_that_is_none():
    with pytest.raises(MediaError):
        Track.video("h264", config=b"garbage")


def test_audio_ticks_in_samples():
    track = Track.audio("aac", config=b"\x11\x90", sample_rate=48000, channels=2)
    assert (track.kind, track.time_base) == (TrackKind.AUDIO, Fraction(1, 48_000))
    assert Track.audio("opus", sample_rate=48000, channels=1, time_base=Fraction(1, 1000)).time_base.denominator == 1000


def test_data_tracks():
    assert Track.data() == Track(TrackKind.DATA, CodecId.RAW, Fraction(1, 90_000))
    assert Track.data("klv", config=b"x", time_base=Fraction(1, 1000)).config == b"x"
    assert TrackKind.DATA.label == "data"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Track.video("aac"),
        lambda: Track.audio("h264", sample_rate=48000, channels=2),
        lambda: Track.data("opus"),
        lambda: Track.video("h264", time_base=Fraction(0)),
        lambda: Track.video("h264", time_base=Fraction(-1, 90000)),
        lambda: Track.video("h264", time_base=Fraction(1, 1 << 32)),
        lambda: Track.video("h264", time_base=Fraction(1 << 32, 1)),
        lambda: Track.video("h264", width=-1, height=1),
        lambda: Track.audio("aac", sample_rate=0, channels=2),
        lambda: Track.audio("aac", sample_rate=48000, channels=0),
        lambda: Track.audio("aac", sample_rate=48000, channels=1 << 32),
    ],
)
def test_tracks_that_can_not_be(make):
    with pytest.raises(ValueError):
        make()


def test_no_config_gives_no_facts():
    for codec in (CodecId.H264, CodecId.H265, CodecId.AV1, CodecId.AAC, CodecId.RAW, CodecId.UNKNOWN, CodecId.VVC):
        assert describe_config(codec, b"") == ConfigFacts()
    assert describe_config(CodecId.MP3, b"").codec_string == "mp4a.6B"
    assert describe_config(CodecId.OPUS, b"").sample_rate == 48000


def test_flags_are_those_of_the_ring():
    ring = pytest.importorskip("arclyd.ring._ring", reason="the C core is not built")
    for flag in FrameFlags:
        assert getattr(ring, flag.name, flag) == flag


def test_flags_as_a_column():
    assert flags_text(0) == "-----"
    assert flags_text(FrameFlags.KEY | FrameFlags.DISCONTINUITY) == "K-D--"
    assert flags_text(0xFFFF) == "KCDdX"

"""The init segment says to FFmpeg what the tracks say."""

from __future__ import annotations

import struct
from fractions import Fraction
from io import BytesIO

import av
import pytest

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId
from arclyd.media.formats.fmp4 import init_segment, supports
from arclyd.media.track import Track

AVCC = bytes.fromhex("014d401fffe10017674d401fda014016ec0440000003004000000c83c60ca801000468ef3c80")
ASC = bytes.fromhex("11b0")
OPUS_HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 312, 48000, 0, 0)


def read(*tracks: Track) -> list[av.stream.Stream]:
    with av.open(BytesIO(init_segment(tracks)), "r", format="mp4") as container:
        return list(container.streams)


def test_video_and_sound_are_read_back() -> None:
    video = Track.video("h264", config=AVCC, width=1280, height=720, time_base=Fraction(1, 12800))
    sound = Track.audio("aac", config=ASC, sample_rate=48000, channels=6)
    first, second = read(video, sound)
    assert (first.codec_context.name, first.codec_context.width, first.codec_context.height) == ("h264", 1280, 720)
    assert (bytes(first.codec_context.extradata), first.time_base) == (AVCC, Fraction(1, 12800))
    assert (second.codec_context.name, second.codec_context.sample_rate, second.codec_context.channels) == (
        "aac",
        48000,
        6,
    )
    assert bytes(second.codec_context.extradata) == ASC


def test_opus_head_survives_the_change_of_byte_order() -> None:
    (stream,) = read(Track.audio("opus", config=OPUS_HEAD, sample_rate=48000, channels=2))
    assert bytes(stream.codec_context.extradata) == OPUS_HEAD


@pytest.mark.parametrize("rate", [44100, 22050])
def test_mp3_of_both_generations(rate: int) -> None:
    (stream,) = read(Track.audio("mp3", sample_rate=rate, channels=2))
    assert stream.codec_context.codec.canonical_name == "mp3"


def test_vp9_needs_no_record() -> None:
    (stream,) = read(Track.video("vp9", width=320, height=240))
    assert stream.codec_context.codec.canonical_name == "vp9"


def test_boxes_add_up() -> None:
    data = init_segment([Track.video("h264", config=AVCC, width=1280, height=720)])
    at, kinds = 0, []
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        kinds.append(kind)
        at += size
    assert (at, kinds) == (len(data), [b"ftyp", b"moov"])


def test_a_missing_configuration_is_an_error() -> None:
    with pytest.raises(MediaError, match="without its decoder configuration"):
        init_segment([Track.audio("aac", sample_rate=48000, channels=2)])


def test_a_codec_without_a_sample_entry_is_an_error() -> None:
    assert not supports(CodecId.G722)
    with pytest.raises(MediaError, match="g722"):
        init_segment([Track.audio("g722", sample_rate=16000, channels=1)])

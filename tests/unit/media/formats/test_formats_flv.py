"""FLV tags, read back by FFmpeg; those of Enhanced RTMP too."""

from __future__ import annotations

import struct
from io import BytesIO

import av
import pytest

from arclyd.errors import MediaError
from arclyd.media.formats import flv
from arclyd.media.track import Track

OPUS_HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 312, 48000, 0, 0)


def test_a_tag_has_its_size_behind_it() -> None:
    tag = flv.tag(flv.VIDEO_TAG, 0x0123_4567, b"body")
    assert tag == bytes.fromhex("09 000004 234567 01 000000") + b"body" + struct.pack(">I", 15)
    with pytest.raises(MediaError):
        flv.tag(flv.VIDEO_TAG, 0, bytes(1 << 24))


def test_the_duration_is_where_it_is_said_to_be() -> None:
    writer = flv.FlvWriter([Track.audio("g711a", sample_rate=8000, channels=1)])
    data = bytearray(writer.start())
    data += writer.frame(0, bytes(160), pts=12_000, dts=12_000, keyframe=True)
    at, value = writer.duration()
    assert data[at - 11 : at] == b"\x00\x08duration\x00"
    assert struct.unpack(">d", value) == (1.5,)


def test_composition_times_are_signed_milliseconds() -> None:
    track = Track.video("h264", width=2, height=2)
    body = flv.frame_body(track, b"nal", composition_ms=-40, keyframe=False)
    assert body == bytes.fromhex("27 01 ffffd8") + b"nal"


def test_a_reordered_picture_keeps_both_its_times() -> None:
    writer = flv.FlvWriter([Track.video("h264", config=b"\x01record", width=2, height=2)])
    data = writer.frame(0, b"nal", pts=10_800, dts=3600, keyframe=True)
    assert data == flv.tag(flv.VIDEO_TAG, 40, bytes.fromhex("17 01 000050") + b"nal")


def test_enhanced_tags_are_read_by_ffmpeg() -> None:
    tracks = [Track.audio("opus", config=OPUS_HEAD, sample_rate=48000, channels=2)]
    writer = flv.FlvWriter(tracks)
    data = writer.start() + b"".join(
        writer.frame(0, bytes((0xFC, 0xFF, 0xFE)), pts=960 * n, dts=960 * n, keyframe=True) for n in range(50)
    )
    with av.open(BytesIO(data), "r", format="flv") as container:
        (stream,) = container.streams
        assert stream.codec_context.codec.canonical_name == "opus"
        assert [(p.pts, bytes(p)) for p in container.demux() if p.size] == [
            (20 * n, bytes((0xFC, 0xFF, 0xFE))) for n in range(50)
        ]

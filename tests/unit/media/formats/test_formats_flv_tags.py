"""Bodies of FLV tags and of Enhanced RTMP, by hand and as the writer makes them; and garbage."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.formats import flv
from arclyd.media.formats.flv_tags import Part, What, audio_parts, video_parts
from arclyd.media.track import Track

VIDEO = [CodecId.H264, CodecId.H265, CodecId.VVC, CodecId.AV1, CodecId.VP9, CodecId.VP8]
AUDIO = [CodecId.AAC, CodecId.OPUS, CodecId.MP3, CodecId.G711A, CodecId.G711U]


def track_of(codec: CodecId, config: bytes = b"") -> Track:
    if codec.kind is TrackKind.VIDEO:
        return Track(codec.kind, codec, flv.MILLISECOND, config, 2, 2)
    rate = 8000 if codec in (CodecId.G711A, CodecId.G711U) else 44_100
    return Track.audio(codec, config=config, sample_rate=rate, channels=2)


def parts(body: bytes, kind: TrackKind) -> list[Part]:
    return video_parts(body) if kind is TrackKind.VIDEO else audio_parts(body)


@given(
    st.sampled_from(VIDEO + AUDIO),
    st.binary(min_size=1, max_size=50),
    st.integers(-(1 << 23), (1 << 23) - 1),
    st.booleans(),
    st.integers(0, 255),
    st.integers(0, 999_999),
)
def test_what_the_writer_makes_comes_back(
    codec: CodecId, payload: bytes, composition: int, key: bool, number: int, nanoseconds: int
) -> None:
    if codec not in flv.FOURCC:
        number = nanoseconds = 0
    body = flv.frame_body(
        track_of(codec), payload, composition_ms=composition, keyframe=key, id=number, nanoseconds=nanoseconds
    )
    (part,) = parts(body, codec.kind)
    assert (part.codec, part.what, bytes(part.payload)) == (codec, What.FRAME, payload)
    assert (part.id, part.nanoseconds) == (number, nanoseconds)
    assert part.keyframe is (key or codec.kind is TrackKind.AUDIO)
    assert part.composition_ms == (composition if codec in flv.REORDERED else 0)


@given(st.sampled_from([CodecId.H264, CodecId.H265, CodecId.AV1, CodecId.AAC, CodecId.OPUS]), st.integers(0, 255))
def test_configurations_come_back(codec: CodecId, id: int) -> None:
    (part,) = parts(flv.sequence_header(track_of(codec, b"config"), id), codec.kind)
    assert (part.codec, part.what, bytes(part.payload), part.id) == (codec, What.CONFIG, b"config", id)


def test_many_tracks_in_one_tag() -> None:
    one = b"\x01" + (3 + 2).to_bytes(3, "big") + bytes(3) + b"v1"
    other = b"\x02" + (3 + 4).to_bytes(3, "big") + b"\xff\xff\xd8" + b"v2v2"
    found = video_parts(b"\x96" + b"\x11" + b"hvc1" + one + other)
    assert [(p.id, p.codec, p.composition_ms, bytes(p.payload)) for p in found] == [
        (1, CodecId.H265, 0, b"v1"),
        (2, CodecId.H265, -40, b"v2v2"),
    ]
    mixed = b"\x95" + b"\x21" + b"mp4a\x00\x00\x00\x01a" + b"Opus\x01\x00\x00\x02bb"
    assert [(p.id, p.codec, bytes(p.payload)) for p in audio_parts(mixed)] == [
        (0, CodecId.AAC, b"a"),
        (1, CodecId.OPUS, b"bb"),
    ]


def test_modifiers_are_read_in_a_row_and_long_ones_skipped() -> None:
    unknown = b"\xff\x01\x00" + bytes(257) + b"\x17"  # 256 + 1 bytes of modifier type 1, then another modifier
    found = video_parts(b"\x97" + unknown + b"\x02\x00\x00\x2a" + b"\x01" + b"av01" + b"obu")
    assert [(p.codec, p.nanoseconds, bytes(p.payload)) for p in found] == [(CodecId.AV1, 42, b"obu")]


def test_coded_frames_without_composition_time_and_colours() -> None:
    (part,) = video_parts(b"\xa3hvc1nal")
    assert (part.composition_ms, bytes(part.payload), part.keyframe) == (0, b"nal", False)
    (part,) = video_parts(flv.picture_metadata(track_of(CodecId.AV1), b"amf"))
    assert (part.what, bytes(part.payload)) == (What.METADATA, b"amf")


def test_what_is_no_frame_is_nothing() -> None:
    assert video_parts(b"") == audio_parts(b"") == []
    assert video_parts(b"\x57\x00") == []  # a command
    assert video_parts(bytes.fromhex("17 02 000000")) == []  # the end of the sequence
    assert video_parts(b"\x92hvc1") == audio_parts(b"\x92Opus") == []
    assert audio_parts(b"\x94Opus\x00\x02") == []  # the order of channels


def test_codecs_that_are_not_carried_are_named_by_none() -> None:
    assert [part.codec for part in video_parts(b"\x14vp6")] == [None]
    assert [part.codec for part in video_parts(b"\x91xyz1data")] == [None]
    assert [part.codec for part in audio_parts(b"\xb2speex")] == [None]
    assert [part.codec for part in audio_parts(b"\x91ec-3data")] == [None]


@pytest.mark.parametrize(
    "body", [b"\x17\x01\x00", b"\x97\xff", b"\x96", b"\x91hvc1\x00", b"\x91hv", b"\x96\x11hvc1\x01\x00\x00\x09x"]
)
def test_what_is_cut_off_is_refused(body: bytes) -> None:
    with pytest.raises(MediaError):
        video_parts(body)


@given(st.binary(max_size=64))
def test_garbage_is_read_or_refused(body: bytes) -> None:
    for read in (video_parts, audio_parts):
        with suppress(MediaError):
            assert sum(len(part.payload) for part in read(body)) <= len(body)

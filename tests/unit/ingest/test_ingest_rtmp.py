"""Tags to frames and back: which tracks are declared when, times, gates, bounds; with a publisher in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.errors import WireError
from arclyd.ingest.flv import about
from arclyd.ingest.flv.intake import HELD, Intake
from arclyd.ingest.limits import Bucket, Census, Limits
from arclyd.ingest.rtmp.outflow import Outflow
from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.codecs.ac3 import Ac3Header
from arclyd.media.formats import flv
from arclyd.media.formats.flv_tags import What, audio_parts, video_parts
from arclyd.media.track import Track
from arclyd.protocols.rtmp import amf0, enhanced
from arclyd.protocols.rtmp.messages import Type
from tests.ingesting import Published

if TYPE_CHECKING:
    from collections.abc import Iterable

VIDEO, AUDIO = TrackKind.VIDEO, TrackKind.AUDIO
AVCC = bytes.fromhex("014d401fffe10017674d401fda014016ec0440000003004000000c83c60ca801000468ef3c80")
OTHER_AVCC = AVCC.replace(bytes.fromhex("68ef3c80"), bytes.fromhex("68ef3c81"))
ASC = b"\x11\x90"
BOTH = {"videocodecid": 7.0, "audiocodecid": 10.0}
PICTURE = Track(VIDEO, CodecId.H264, flv.MILLISECOND, AVCC, 1280, 720)
SOUND = Track.audio("aac", config=ASC, sample_rate=48000, channels=2, time_base=flv.MILLISECOND)


@dataclass
class Read:
    """A frame as a reader has it."""

    track: int
    data: bytes
    pts: int
    dts: int
    keyframe: bool = True
    is_config: bool = False


def claimed(intake: Intake) -> Published:
    assert intake.wants_claim
    published = Published(intake.tracks())
    intake.begin(published)  # type: ignore[arg-type]
    assert not intake.wants_claim
    return published


def picture(payload: bytes, *, key: bool = True, track: Track = PICTURE, **more: int) -> bytes:
    return flv.frame_body(track, payload, composition_ms=more.pop("composition", 0), keyframe=key, **more)


def sound(payload: bytes, **more: int) -> bytes:
    return flv.frame_body(SOUND, payload, composition_ms=0, keyframe=True, **more)


def configured(said: dict[str, Any] | None = BOTH) -> Intake:
    intake = Intake()
    if said:
        intake.data(["onMetaData", said])
    intake.receive(VIDEO, 0, flv.sequence_header(PICTURE))
    intake.receive(AUDIO, 0, flv.sequence_header(SOUND))
    return intake


def test_the_stream_is_claimed_with_its_first_keyframe() -> None:
    intake = configured()
    intake.receive(AUDIO, 0, sound(b"early"))
    assert not intake.wants_claim
    intake.receive(VIDEO, 5, picture(b"first", composition=80))
    published = claimed(intake)
    assert published.tracks == [PICTURE, SOUND]
    intake.receive(VIDEO, 45, picture(b"second", key=False))
    # The sound that came a little before the keyframe is behind it: nothing is before that.
    assert published.payloads == [(0, b"first"), (1, b"early"), (0, b"second")]
    facts = [(f["pts"], f["dts"], f["keyframe"]) for track, _, f in published.frames if track == 0]
    assert facts == [(85, 5, True), (45, 45, False)]


def test_a_stream_without_sound_does_not_wait_for_any_where_it_says_so() -> None:
    intake = Intake()
    intake.data(["onMetaData", {"videocodecid": 7.0}])
    intake.receive(VIDEO, 0, flv.sequence_header(PICTURE))
    intake.receive(VIDEO, 0, picture(b"p"))
    assert claimed(intake).tracks == [PICTURE]


def test_what_is_not_announced_is_waited_for_a_second() -> None:
    intake = Intake()
    intake.receive(VIDEO, 0, flv.sequence_header(PICTURE))
    for time in range(0, 1000, 40):
        intake.receive(VIDEO, time, picture(b"p"))
        assert not intake.wants_claim
    intake.receive(VIDEO, 1000, picture(b"p"))
    assert len(claimed(intake).frames) == 26


def test_a_track_that_comes_late_has_the_stream_claimed_anew() -> None:
    intake = configured({"videocodecid": 7.0})
    intake.receive(VIDEO, 0, picture(b"p"))
    first = claimed(intake)
    intake.receive(AUDIO, 10, sound(b"s"))
    assert first.tracks == [PICTURE, SOUND]
    extra = flv.sequence_header(SOUND, 1)
    intake.receive(AUDIO, 20, extra)
    assert not intake.wants_claim
    intake.receive(AUDIO, 20, sound(b"s1", id=1))
    second = claimed(intake)
    assert first.interrupted
    assert second.tracks == [PICTURE, SOUND, SOUND]
    intake.receive(VIDEO, 40, picture(b"delta", key=False))
    intake.receive(VIDEO, 80, picture(b"key"))
    intake.receive(AUDIO, 80, sound(b"s2", id=1))
    assert second.payloads == [(0, b"key"), (2, b"s2")]


def test_a_new_configuration_goes_on_and_another_codec_begins_anew() -> None:
    intake = configured()
    intake.receive(VIDEO, 0, picture(b"p"))
    published = claimed(intake)
    intake.receive(VIDEO, 40, flv.sequence_header(PICTURE))
    assert published.configs == []
    intake.receive(VIDEO, 40, flv.sequence_header(Track(VIDEO, CodecId.H264, flv.MILLISECOND, OTHER_AVCC)))
    assert published.configs == [(0, OTHER_AVCC)]
    other = Track(VIDEO, CodecId.VP8, flv.MILLISECOND)
    intake.receive(VIDEO, 80, picture(b"vp8", track=other))
    assert [track.codec for track in claimed(intake).tracks] == [CodecId.VP8, CodecId.AAC]


def test_tracks_that_change_for_ever_are_an_end() -> None:
    intake = configured()
    with pytest.raises(WireError, match="changed"):
        for number in range(100):
            codec = (CodecId.VP8, CodecId.VP9)[number % 2]
            intake.receive(VIDEO, 0, picture(b"p", track=Track(VIDEO, codec, flv.MILLISECOND)))
            if intake.wants_claim:
                claimed(intake)


def test_nanoseconds_make_the_time_base_exact() -> None:
    intake = configured()
    intake.receive(VIDEO, 10, picture(b"p", composition=20, nanoseconds=333_333))
    published = claimed(intake)
    assert {track.time_base for track in published.tracks} == {Fraction(1, 1_000_000_000)}
    ((_, _, facts),) = published.frames
    assert (facts["dts"], facts["pts"]) == (10_333_333, 30_333_333)


def test_what_is_held_is_bounded() -> None:
    intake = Intake()
    intake.receive(VIDEO, 0, flv.sequence_header(PICTURE))
    for _ in range(HELD.frames):
        intake.receive(VIDEO, 0, picture(b"p"))
    assert intake.wants_claim
    intake = Intake()
    intake.receive(VIDEO, 0, flv.sequence_header(PICTURE))
    for _ in range(5):
        intake.receive(VIDEO, 0, picture(bytes(1 << 20)))
    assert intake.wants_claim


def test_frames_that_do_not_fit_or_make_no_sense_are_counted() -> None:
    intake = configured()
    intake.receive(VIDEO, 0, picture(b"p"))
    published = claimed(intake)
    published.limit = 10
    intake.receive(VIDEO, 40, picture(bytes(11)))
    intake.receive(VIDEO, 40, b"\x97\xff")
    intake.receive(VIDEO, 40, picture(b"x", track=Track(VIDEO, CodecId.H265, flv.MILLISECOND)))
    assert (intake.counts.too_large, intake.counts.damaged, intake.counts.dropped) == (1, 2, 3)
    intake.receive(AUDIO, 40, b"\xb2speex")
    assert intake.left_out == {AUDIO}
    assert intake.news()["tags"]["left_out"] == "audio"


def test_times_wrap_and_jump() -> None:
    intake = configured()
    intake.receive(VIDEO, 0xFFFF_FFF0, picture(b"0"))
    published = claimed(intake)
    for number, time in enumerate((0x18, 0x40, 100_000, 100_040, 20, 60), 1):
        intake.receive(VIDEO, time, picture(str(number).encode()))
    dts = [facts["dts"] for _, _, facts in published.frames]
    assert [after - before for before, after in pairwise(dts)][:2] == [40, 40]
    assert dts == sorted(set(dts))
    assert [facts["discontinuity"] for _, _, facts in published.frames] == [
        False, False, False, True, False, True, False,
    ]  # fmt: skip


def test_mp3_and_g711_say_of_themselves_what_they_are() -> None:
    for codec, payload, wanted in (
        (CodecId.MP3, b"\xff\xfb\x94\x00" + bytes(100), (48_000, 2)),
        (CodecId.MP3, b"\xff\xf3\x80\xc0" + bytes(100), (22_050, 1)),
        (CodecId.G711U, bytes(160), (8_000, 1)),
    ):
        intake = Intake()
        intake.data(["onMetaData", {"audiocodecid": 2.0}])
        track = Track.audio(codec, sample_rate=8000, channels=1)
        intake.receive(AUDIO, 0, flv.frame_body(track, payload, composition_ms=0, keyframe=True))
        (found,) = claimed(intake).tracks
        assert (found.codec, found.sample_rate, found.channels) == (codec, *wanted)


AC3 = bytes.fromhex("0b77 0000 14 40 43 e1") + bytes(632)
"""A frame's head: 48 kHz, 192 kbit/s, two channels."""


def test_ac3_says_of_itself_what_it_is_and_has_no_tag_for_it() -> None:
    track = Track.audio("ac3", config=b"\x10\x11\x40", sample_rate=48_000, channels=2)
    assert flv.sequence_header(track) == b""
    body = flv.frame_body(track, AC3, composition_ms=0, keyframe=True)
    assert body[:5] == b"\x91ac-3"
    intake = Intake()
    intake.data(["onMetaData", {"audiosamplerate": 48_000.0}])
    intake.receive(AUDIO, 0, flv.frame_body(track, b"no frame", composition_ms=0, keyframe=True))
    assert not intake.wants_claim
    intake.receive(AUDIO, 32, body)
    published = claimed(intake)
    (found,) = published.tracks
    assert (found.codec, found.sample_rate, found.channels) == (CodecId.AC3, 48_000, 2)
    assert found.config == Ac3Header.parse(AC3).config
    assert published.payloads == [(0, AC3)]
    assert intake.counts.damaged == 1


def test_sound_that_becomes_another_is_declared_anew_and_damage_is_not_that() -> None:
    intake = Intake()
    intake.data(["onMetaData", {"audiocodecid": 2.0}])
    stereo, mono = b"\xff\xfb\x94\x00" + bytes(100), b"\xff\xfb\x94\xc0" + bytes(100)
    track = Track.audio("mp3", sample_rate=8000, channels=2)

    def receive(time: int, payload: bytes) -> None:
        intake.receive(AUDIO, time, flv.frame_body(track, payload, composition_ms=0, keyframe=True))

    receive(0, stereo)
    claimed(intake)
    receive(24, b"damaged" * 10)
    assert not intake.wants_claim
    receive(48, mono)
    (found,) = claimed(intake).tracks
    assert (found.sample_rate, found.channels) == (48_000, 1)


def test_colours_go_through_to_who_knows_them() -> None:
    said = {"colorConfig": {"bitDepth": 10.0, "transferCharacteristics": 16.0}, "hdrMdcv": {"maxLuminance": 1000.5}}
    intake = configured()
    intake.receive(VIDEO, 0, flv.picture_metadata(PICTURE, amf0.encode("colorInfo", said)))
    assert intake.color is not None
    tag = about.color_tag(intake.color)
    assert json.loads(tag) == said
    known = frozenset(enhanced.VIDEO)
    (sent,) = Outflow([PICTURE], known).colors(about.color_packet(tag))
    (part,) = video_parts(sent.body)
    assert part.what is What.METADATA
    assert amf0.decode(bytes(part.payload)) == ["colorInfo", said]
    assert list(Outflow([PICTURE], frozenset()).colors(about.color_packet(tag))) == []
    assert about.color_tag(b"garbage") == about.color_tag(amf0.encode("other", {})) == ""
    assert about.color_packet("garbage") == b""


@pytest.mark.parametrize("side", [float("nan"), float("inf"), -5.0, 0.5, 1e300])
def test_a_picture_has_a_size_or_none(side: float) -> None:
    for said in ({"width": 5.0, "height": side}, {"width": side, "height": 5.0}):
        intake = configured({**BOTH, **said})
        intake.receive(VIDEO, 0, flv.frame_body(PICTURE, b"key", composition_ms=0, keyframe=True))
        assert claimed(intake).tracks[0].width == 1280  # what the configuration says


def test_metadata_says_no_more_than_the_daemon_takes() -> None:
    said = {"width": 1280.0, "height": -1.0, "framerate": 25.0, "videodatarate": 2500.0, "encoder": "x" * 5000}
    fields = about.metadata(said)
    assert fields.pop("tags") == {"encoder": "x" * about.MAX_TAG}
    assert fields == {"width": 1280, "fps": 25.0, "video_bitrate_bps": 2_500_000}


def sent(tags: Iterable[Any]) -> list[tuple[Type, int, int, int, bytes]]:
    """Type, time, track, nanoseconds and payload of tags."""
    return [
        (tag.type, tag.timestamp, part.id, part.nanoseconds, bytes(part.payload))
        for tag in tags
        for part in (video_parts if tag.type is Type.VIDEO else audio_parts)(tag.body)
    ]


def test_tracks_of_one_kind_are_sent_to_who_knows_them() -> None:
    tracks = [PICTURE, SOUND, SOUND, Track.data()]
    old, new = Outflow(tracks, frozenset()), Outflow(tracks, frozenset(enhanced.AUDIO))
    assert [payload for *_, payload in sent(old.start())] == [AVCC, ASC]
    assert [(number, payload) for _, _, number, _, payload in sent(new.start())] == [(0, AVCC), (0, ASC), (1, ASC)]
    assert (len(old.left_out), len(new.left_out)) == (2, 1)
    frame = Read(2, b"second", 500, 500)
    assert sent(old.frame(2, frame)) == []  # type: ignore[arg-type]
    assert sent(new.frame(2, frame)) == [(Type.AUDIO, 0, 1, 0, b"second")]  # type: ignore[arg-type]


def test_a_streams_time_goes_on_where_its_publisher_begins_anew() -> None:
    outflow = Outflow([PICTURE], frozenset())
    times = []
    for dts in (7000, 7040, 7080, 0, 40):
        times += [tag.timestamp for tag in outflow.frame(0, Read(0, b"p", dts, dts))]  # type: ignore[arg-type]
    outflow.retrack([PICTURE])
    times += [tag.timestamp for tag in outflow.frame(0, Read(0, b"p", 99, 99))]  # type: ignore[arg-type]
    assert times[:3] == [0, 40, 80]
    assert times == sorted(times)
    assert times[-1] < 1000


def test_exact_times_are_sent_exactly() -> None:
    exact = Track(VIDEO, CodecId.H264, Fraction(1, 1_000_000_000), AVCC)
    frame = Read(0, b"p", 30_333_333, 10_333_333)
    (tag,) = Outflow([exact], frozenset(enhanced.VIDEO)).frame(0, frame)  # type: ignore[arg-type]
    (part,) = video_parts(tag.body)
    assert (part.composition_ms, part.nanoseconds) == (20, 333_333)


def test_connections_and_bytes_are_counted() -> None:
    census = Census(Limits(connections=3, per_address=2))
    assert [bool(census.enter(host)) for host in ("a", "a", "a", "b", "c")] == [False, False, True, False, True]
    census.leave("a")
    assert census.enter("a") == ""
    bucket = Bucket(1000, 0.0)
    assert bucket.take(2000, 0.0) == 0
    assert bucket.take(500, 0.0) == 0.5
    assert bucket.take(0, 10.0) == 0
    assert Bucket(0, 0.0).take(1 << 40, 0.0) == 0

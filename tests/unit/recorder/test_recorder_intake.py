"""What happens in a stream as items of a recording: new headers, losses, breaks; and no byte that was overwritten."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from arclyd.media.codecs import CodecId
from arclyd.media.track import Track
from arclyd.recorder.intake import Break, Header, Intake, Item, Lost
from arclyd.recorder.order import Unit
from tests.unit.recorder.frames import Sent

AVCC = bytes.fromhex("0164001fffe1001b6764001facd9405005bb016a02020280000003008000001e078c18cb01000468efbcb0")
VIDEO = Track.video("h264", config=AVCC, width=1280, height=720)
AUDIO = Track.audio("aac", config=b"\x11\x90", sample_rate=48000, channels=2)
CODECS = frozenset({CodecId.H264, CodecId.AAC})


def intake(*tracks: Track, split: bool = False) -> Intake:
    return Intake(tracks or (VIDEO,), CODECS, split=split, wall_ns=lambda frame: frame.seq)


def through(taker: Intake, *frames: Sent) -> list[Item]:
    items = [item for frame in frames for item in taker.frame(frame)]
    return [*items, *taker.drain()]


def words(items: list[Item]) -> list[str]:
    return [
        item.reason if isinstance(item, Break) else f"lost {item.missed}" if isinstance(item, Lost)
        else "header" if isinstance(item, Header) else f"{item.seq}{'*' if item.starts else ''}"
        for item in items
    ]  # fmt: skip


def test_units_follow_a_header_and_a_file_begins_with_pictures_only() -> None:
    taker = intake(VIDEO, AUDIO)
    items = through(
        taker,
        Sent(1, 1, 1024, keyframe=True),
        Sent(2, 0, 3600, keyframe=True),
        Sent(3, 0, 7200),
        Sent(4, 1, 4096, keyframe=True),
    )
    assert words(items) == ["header", "1", "2*", "3", "4"]
    assert isinstance(items[0], Header)
    assert items[0].tracks == {0: VIDEO, 1: AUDIO}
    picture = items[2]
    assert isinstance(picture, Unit)
    assert (picture.at, picture.pts, picture.wall_ns) == (Fraction(1, 25), 3600, 2)


def test_in_sound_alone_every_frame_is_a_beginning() -> None:
    assert words(through(intake(AUDIO), Sent(1, 0, 0, keyframe=True), Sent(2, 0, 1024, keyframe=True))) == [
        "header", "1*", "2*",
    ]  # fmt: skip


def test_another_configuration_ends_the_file_and_the_same_one_does_not() -> None:
    other = AVCC[:-1] + b"\xb1"
    taker = intake()
    items = through(
        taker,
        Sent(1, payload=AVCC, is_config=True),
        Sent(2, pts=0, keyframe=True),
        Sent(3, payload=AVCC, is_config=True),
        Sent(4, pts=3600),
        Sent(5, payload=other, is_config=True),
        Sent(6, pts=7200, keyframe=True),
    )
    assert words(items) == ["header", "2*", "4", "configuration", "header", "6*"]
    assert isinstance(items[4], Header)
    assert items[4].tracks[0].config == other


def test_tracks_that_can_not_be_held_are_left_out() -> None:
    unheard = replace(AUDIO, config=b"")
    items = through(intake(VIDEO, unheard, Track.data("raw")), Sent(1, 2), Sent(2, 1), Sent(3, 0, keyframe=True))
    assert words(items) == ["header", "3*"]
    assert isinstance(items[0], Header)
    assert items[0].left_out == (unheard, Track.data("raw"))


def test_a_track_is_held_as_soon_as_it_has_its_configuration() -> None:
    taker = intake(VIDEO, replace(AUDIO, config=b""))
    items = through(taker, Sent(1, 0, keyframe=True), Sent(2, 1, payload=b"\x11\x90", is_config=True))
    items += through(taker, Sent(3, 0, 3600, keyframe=True), Sent(4, 1, 1920, keyframe=True))
    assert words(items) == ["header", "1*", "configuration", "header", "3*", "4"]


def test_a_frame_overwritten_while_it_was_taken_is_a_loss() -> None:
    frames = (Sent(1, keyframe=True), Sent(2, pts=3600, gone=True), Sent(3, pts=7200))
    assert words(through(intake(), *frames)) == ["header", "1*", "lost 1", "3"]
    assert words(through(intake(split=True), *frames)) == ["header", "1*", "lost 1", "gap", "3"]


@pytest.mark.parametrize(("split", "last"), [(False, []), (True, ["gap"])])
def test_what_came_before_a_gap_stays_before_it(split: bool, last: list[str]) -> None:
    taker = intake(VIDEO, AUDIO, split=split)
    items = list(taker.frame(Sent(1, 0, keyframe=True)))
    items += taker.gap(17)
    assert words(items) == ["header", "1*", "lost 17", *last]


@pytest.mark.parametrize(("split", "between"), [(False, []), (True, ["publisher"])])
def test_another_publisher_of_the_same_tracks(split: bool, between: list[str]) -> None:
    taker = intake(split=split)
    items = list(taker.frame(Sent(1, pts=90_000_000, keyframe=True)))
    again = Sent(2, pts=0, keyframe=True, epoch=2)
    assert taker.is_new_epoch(again)
    items += taker.tracks_are([VIDEO])
    items += through(taker, again)
    assert not taker.is_new_epoch(again)
    words_ = [word for word in words(items) if word != "discontinuity"]  # its times jump, too
    assert words_ == ["header", "1*", *between, "2*"]
    first, second = (item for item in items if isinstance(item, Unit))
    assert 0 < second.at - first.at < 1, "the line of time goes on evenly"


def test_another_publisher_of_other_tracks() -> None:
    taker = intake(VIDEO, AUDIO)
    items = list(taker.frame(Sent(1, 0, keyframe=True)))
    items += taker.tracks_are([AUDIO])
    items += through(taker, Sent(2, 0, keyframe=True, epoch=2))
    assert words(items) == ["header", "1*", "configuration", "header", "2*"]


def test_a_jump_in_time_breaks_once_where_asked() -> None:
    frames = (
        Sent(1, 0, 0, keyframe=True, duration=3600),
        Sent(2, 1, 0, keyframe=True, duration=1920),
        Sent(3, 0, 900_000_000, keyframe=True, discontinuity=True),
        Sent(4, 1, 480_000_000, keyframe=True, discontinuity=True),
    )
    assert words(through(intake(VIDEO, AUDIO), *frames)) == ["header", "1*", "2", "3*", "4"]
    split = words(through(intake(VIDEO, AUDIO, split=True), *frames))
    assert split == ["header", "1*", "2", "discontinuity", "3*", "4"]


def test_a_frame_that_says_no_duration_lasts_as_the_one_before() -> None:
    times = (0, 3600, 7200, 900_000, 903_600)  # with ten seconds lost
    items = through(intake(), *(Sent(n, pts=pts, keyframe=True) for n, pts in enumerate(times)))
    assert [item.duration for item in items if isinstance(item, Unit)] == [None, 3600, 3600, 3600, 3600]
    (said,) = (item for item in through(intake(), Sent(1, keyframe=True, duration=1800)) if isinstance(item, Unit))
    assert (said.duration, said.end) == (1800, Fraction(1, 50))

"""The segmenter: what goes in comes out, cut where it should be, and never torn."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from arclyd.packagers.segmenter import Cutting, Segmenter
from arclyd.packagers.window import Window
from tests.packaging import KINDS, FakeFrame, closed, cut, files, later, packets_of, parts_of, published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from arclyd.media.track import Track
    from arclyd.packagers.pieces import Part
    from arclyd.packagers.segmenter import Event, Resume

    Clip = tuple[list[Track], list[FakeFrame]]

SECOND = Fraction(1)


def by_segment(parts: Iterable[Part]) -> dict[int, list[Part]]:
    return {number: list(group) for number, group in itertools.groupby(parts, lambda part: part.segment)}


@pytest.mark.parametrize("name", KINDS)
def test_every_access_unit_comes_out_as_it_went_in_and_when(clip: Callable[[str], Clip], name: str) -> None:
    tracks, frames = clip(name)
    parts = parts_of(cut(Segmenter(Cutting(SECOND)), tracks, frames))
    period = parts[0].period
    assert all(part.period is period for part in parts)
    made = files(parts)
    assert len(made) == len(tracks)
    origin = period.origin
    for (_, number), (_, data) in made.items():
        base = tracks[number].time_base
        wanted = published(frames, number, base, period.shift)
        found = packets_of(data)
        # What was sounded whole before the first picture is left out; the frame that reaches into it is not.
        assert found == wanted[len(wanted) - len(found) :]
        missing = wanted[: len(wanted) - len(found)]
        assert all(after.dts <= origin or left.dts < 0 for left, after in zip(missing, wanted[1:], strict=False))


@pytest.mark.parametrize("name", KINDS)
def test_chunks_follow_one_another_without_gap_or_overlap(clip: Callable[[str], Clip], name: str) -> None:
    tracks, frames = clip(name)
    parts = parts_of(cut(Segmenter(Cutting(SECOND)), tracks, frames))
    for number in parts[0].period.lanes:
        chunks = [part.chunks[number] for part in parts if number in part.chunks]
        assert all(before.end == after.start for before, after in itertools.pairwise(chunks))


@pytest.mark.parametrize("name", ["h264_bframes_aac.mp4", "vp9_opus.mkv"])
def test_segments_start_with_keyframes_and_parts_keep_to_their_length(clip: Callable[[str], Clip], name: str) -> None:
    tracks, frames = clip(name)
    cutting = Cutting(2 * SECOND)
    events = cut(Segmenter(cutting), tracks, frames)
    segments = by_segment(parts_of(events))
    assert closed(events) == list(segments)
    assert list(segments) == list(range(min(segments), min(segments) + 3))
    for parts in segments.values():
        lead, lane = parts[0].chunks[parts[0].period.lead], parts[0].period.lanes[parts[0].period.lead]
        assert lead.independent
        total = sum(Fraction(part.chunks[lane.id].duration, lane.scale) for part in parts if lane.id in part.chunks)
        assert total == pytest.approx(2, abs=0.05)
        for part in parts:
            for number, chunk in part.chunks.items():
                assert Fraction(chunk.duration, part.period.lanes[number].scale) <= cutting.longest_part
        for part in parts[:-1]:
            seconds = Fraction(part.chunks[lane.id].duration, lane.scale)
            assert seconds >= cutting.longest_part * 85 / 100


def test_sound_alone_is_cut_by_time(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("sound.m4a")
    segments = by_segment(parts_of(cut(Segmenter(Cutting(SECOND)), tracks, frames)))
    assert 6 <= len(segments) <= 7
    lane = next(iter(segments.values()))[0].period.lanes[0]
    for parts in list(segments.values())[:-1]:
        total = sum(Fraction(part.chunks[0].duration, lane.scale) for part in parts)
        assert 1 <= total < Fraction(11, 10)


def test_a_keyframe_too_late_is_not_waited_for(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    keys = [frame for frame in frames if frame.track == 0 and frame.keyframe and not frame.is_config]
    sparse = [replace(frame, keyframe=frame.keyframe and (frame.track == 1 or frame is keys[0])) for frame in frames]
    segmenter = Segmenter(Cutting(SECOND))
    segmenter.longest = Fraction(3, 2)
    segments = by_segment(parts_of(cut(segmenter, tracks, sparse)))
    lead = [parts[0].chunks[0] for parts in segments.values()]
    assert [chunk.independent for chunk in lead] == [True] + [False] * (len(lead) - 1)
    scale = next(iter(segments.values()))[0].period.lanes[0].scale
    for parts in segments.values():
        assert sum(Fraction(part.chunks[0].duration, scale) for part in parts) <= Fraction(3, 2)


# --------------------------------------------------------------------- breaks


def test_a_gap_is_a_new_period_that_starts_with_a_keyframe(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_bframes_aac.mp4")
    segmenter = Segmenter(Cutting(SECOND))
    events = segmenter.receive_tracks(tracks)
    for frame in frames[:200]:
        events += segmenter.receive_frame(frame)
    events += segmenter.receive_gap()
    for frame in frames[230:]:
        events += segmenter.receive_frame(frame)
    parts = parts_of(events + segmenter.receive_end())
    first, second = sorted({part.period.number for part in parts})
    assert second == first + 1
    segments = by_segment(parts)
    assert list(segments) == list(range(min(segments), min(segments) + len(segments)))
    made = files(parts)
    assert next(part for part in parts if part.period.number == second).chunks[0].independent
    for number, track in enumerate(tracks):
        wanted = set(published(frames, number, track.time_base, parts[0].period.shift))
        later_wanted = set(published(frames, number, track.time_base, parts[-1].period.shift))
        assert set(packets_of(made[first, number][1])) <= wanted
        assert set(packets_of(made[second, number][1])) <= later_wanted


@pytest.mark.parametrize("number", range(3, 200, 23))
def test_a_frame_overwritten_before_it_was_copied_never_comes_out(clip: Callable[[str], Clip], number: int) -> None:
    tracks, frames = clip("h264_aac.mp4")
    torn = replace(frames[number], payload=b"\xee" * len(frames[number].payload), lapped=True)
    segmenter = Segmenter(Cutting(SECOND))
    parts = parts_of(cut(segmenter, tracks, [*frames[:number], torn, *frames[number + 1 :]]))
    assert segmenter.lost == 1
    assert len({part.period.number for part in parts}) == (2 if number > 10 else 1)
    good = {digest.digest for track in (0, 1) for digest in published(frames, track, SECOND)}
    for _, data in files(parts).values():
        assert {packet.digest for packet in packets_of(data)} <= good


def test_a_new_configuration_is_a_new_period_and_init_segment(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    other_tracks, other = clip("h264_bframes_aac.mp4")
    moved = later(other, other_tracks, 6 * SECOND, frames[-1].seq + 1)
    parts = parts_of(cut(Segmenter(Cutting(SECOND)), tracks, [*frames, *moved]))
    first, second = parts[0].period, parts[-1].period
    assert second.number == first.number + 1
    assert first.lanes[0].name != second.lanes[0].name
    assert first.lanes[1].name == second.lanes[1].name  # the sound's did not change


def test_the_same_configuration_again_changes_nothing(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    again = [*frames[:100], replace(frames[0], seq=100), *frames[100:]]
    assert parts_of(cut(Segmenter(Cutting()), tracks, again)) == parts_of(cut(Segmenter(Cutting()), tracks, frames))


@pytest.mark.parametrize("seconds", [-4, 3600])
def test_timestamps_that_jump_are_a_new_period(clip: Callable[[str], Clip], seconds: int) -> None:
    tracks, frames = clip("h264_aac.mp4")
    media = [frame for frame in frames if not frame.is_config]
    moved = later(media, tracks, Fraction(6 + seconds), frames[-1].seq + 1)
    parts = parts_of(cut(Segmenter(Cutting(SECOND)), tracks, [*frames, *moved]))
    assert len({part.period.number for part in parts}) == 2
    assert [part.period.wall_ns for part in parts] == sorted(part.period.wall_ns for part in parts) or seconds > 0


def test_a_track_without_its_configuration_joins_when_it_comes(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    late = [frames[0], *frames[2:120], replace(frames[1], seq=frames[120].seq), *frames[120:]]
    parts = parts_of(cut(Segmenter(Cutting(SECOND)), tracks, late))
    assert [set(part.period.lanes) for part in (parts[0], parts[-1])] == [{0}, {0, 1}]


def test_times_below_zero_are_moved_by_whole_seconds_all_alike(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_bframes_aac.mp4")
    below = later(frames, tracks, Fraction(-3), 0)
    parts = parts_of(cut(Segmenter(Cutting(SECOND)), tracks, below))
    assert parts[0].period.shift in {3, 4}
    for (_, number), (_, data) in files(parts).items():
        assert set(packets_of(data)) <= set(published(below, number, tracks[number].time_base, parts[0].period.shift))


# --------------------------------------------------------------- starting again


def resume_after(
    parts: int, tracks: list[Track], frames: list[FakeFrame], cutting: Cutting
) -> tuple[list[Event], Resume]:
    """What a packager has given when it is killed, and what its bookmark says."""
    window = Window("x", cutting, Fraction(4))
    segmenter = Segmenter(cutting)
    events: list[Event] = []
    for event in cut(segmenter, tracks, frames):
        events.append(event)
        window.apply(event)
        window.settle()
        if len(events) >= parts and (resume := window.resume()):
            return events, resume
    raise AssertionError("no segment was complete")


@pytest.mark.parametrize("name", ["h264_bframes_aac.mp4", "av1_opus.mkv", "sound.mp3", "two_sounds.mp4"])
@pytest.mark.parametrize("missing", [0, 40])
def test_a_packager_that_starts_again_gives_the_same_bytes_the_same_numbers(
    clip: Callable[[str], Clip], name: str, missing: int
) -> None:
    tracks, frames = clip(name)
    cutting = Cutting(SECOND)
    before = parts_of(cut(Segmenter(cutting), tracks, frames))
    _, resume = resume_after(14, tracks, frames, cutting)
    configs = [frame for frame in frames if frame.is_config]
    held = frames[len(configs) + missing :]
    again = parts_of(cut(Segmenter(cutting, resume), tracks, [*configs, *held]))
    assert again[0].first_seq in resume.marks
    assert again == [part for part in before if part.segment >= again[0].segment]


def test_numbers_go_on_higher_where_the_ring_no_longer_holds_a_mark(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    cutting = Cutting(SECOND)
    before = parts_of(cut(Segmenter(cutting), tracks, frames))
    _, resume = resume_after(14, tracks, frames, cutting)
    configs = [frame for frame in frames if frame.is_config]
    held = [frame for frame in frames if frame.seq > max(resume.marks) + 10]
    again = parts_of(cut(Segmenter(cutting, resume), tracks, [*configs, *held]))
    assert again[0].segment > before[-1].segment
    assert again[0].period.number > before[-1].period.number


def test_a_stream_without_keyframes_is_cut_all_the_same(clip: Callable[[str], Clip]) -> None:
    """Also at first, when it is not known how long a segment may last."""
    tracks, frames = clip("h264_aac.mp4")
    first = next(frame for frame in frames if frame.track == 0 and frame.keyframe)
    longer = [*frames, *(each for n in range(1, 8) for each in later(frames, tracks, Fraction(6 * n), 1000 * n))]
    endless = [replace(frame, keyframe=frame.track == 1 or frame is first) for frame in longer]
    events = cut(Segmenter(Cutting()), tracks, endless, end=False)
    assert len(closed(events)) == 2


def test_a_broken_configuration_is_told_once(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    broken = [replace(frame, payload=frame.payload[:9]) if frame.is_config else frame for frame in frames]
    segmenter = Segmenter(Cutting())
    assert not parts_of(cut(segmenter, tracks, broken[:300]))
    (problem,) = [each for each in segmenter.take_problems() if "H.264" in each or "h264" in each]
    assert "avcC" in problem
    assert not segmenter.take_problems()

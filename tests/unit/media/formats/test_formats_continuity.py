"""Timestamps stay continuous over loops, splices and wraps, and tracks stay in step."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from arclyd.media.formats.continuity import Timeline

VIDEO, AUDIO = Fraction(1, 90_000), Fraction(1, 48_000)


def test_timestamps_that_rise_pass_unchanged() -> None:
    timeline = Timeline([VIDEO, AUDIO])
    video = [timeline.place(0, pts=7200 + 3600 * n, dts=3600 * n, duration=3600) for n in range(5)]
    audio = [timeline.place(1, pts=1024 * n, dts=1024 * n, duration=1024) for n in range(5)]
    assert [(placed.pts, placed.dts) for placed in video] == [(7200 + 3600 * n, 3600 * n) for n in range(5)]
    assert [placed.dts for placed in audio] == [1024 * n for n in range(5)]
    assert not any(placed.jumped for placed in video + audio)


def test_a_loop_starts_at_the_end_of_the_longest_track() -> None:
    timeline = Timeline([VIDEO, AUDIO])
    for _ in range(3):
        base = round(timeline.end / VIDEO)
        first = timeline.place(0, pts=0, dts=0, duration=3600)
        assert first.dts == base
        assert not first.jumped
        for n in range(1, 25):
            timeline.place(0, pts=3600 * n, dts=3600 * n, duration=3600)
        for n in range(48):  # 1.024 s, longer than the picture's 1 s
            timeline.place(1, pts=1024 * n, dts=1024 * n, duration=1024)
        timeline.restart()
    assert timeline.end == 3 * Fraction(48 * 1024, 48_000)


def test_a_loop_of_a_source_that_starts_late_leaves_no_hole() -> None:
    timeline = Timeline([VIDEO])
    timeline.place(0, pts=900_000, dts=900_000, duration=3600)
    timeline.restart()
    assert timeline.place(0, pts=900_000, dts=900_000, duration=3600).dts == 903_600


def test_both_tracks_take_one_shift_at_a_splice() -> None:
    timeline = Timeline([VIDEO, AUDIO])
    timeline.place(0, pts=90_000_000, dts=90_000_000, duration=3600)
    timeline.place(1, pts=48_000_000, dts=48_000_000, duration=1024)
    video = timeline.place(0, pts=0, dts=0, duration=3600)
    late_sound = timeline.place(1, pts=48_001_024, dts=48_001_024, duration=1024)
    sound = timeline.place(1, pts=1600, dts=1600, duration=1024)
    assert (video.jumped, late_sound.jumped, sound.jumped) == (True, False, True)
    assert video.dts == 90_003_600
    assert late_sound.dts == 48_001_024
    # 1600 samples are a 30th of a second after the picture at zero, before and after the splice.
    assert sound.dts * AUDIO - video.dts * VIDEO == 1600 * AUDIO


def test_a_far_jump_ahead_is_a_splice_but_a_slow_track_is_not() -> None:
    timeline = Timeline([VIDEO, AUDIO])
    timeline.place(0, pts=0, dts=0, duration=3600)
    timeline.place(1, pts=0, dts=0, duration=None)
    assert timeline.place(0, pts=9_000_000_000, dts=9_000_000_000, duration=3600).jumped
    for second in range(1, 60):
        assert not timeline.place(0, pts=9_000_000_000 + 90_000 * second, dts=None, duration=90_000).jumped
    # 59 s without a word on the other track, which then goes on where the first one is.
    assert not timeline.place(1, pts=48_000 * 59, dts=48_000 * 59, duration=None).jumped


def test_missing_times_are_filled_in() -> None:
    timeline = Timeline([VIDEO])
    placed = [
        timeline.place(0, pts=pts, dts=dts, duration=3600) for pts, dts in [(None, 0), (7200, None), (None, None)]
    ]
    assert [(one.pts, one.dts) for one in placed] == [(0, 0), (7200, 3600), (7200, 7200)]


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-(1 << 33), 1 << 33)), max_size=60))
def test_dts_rises_strictly_whatever_comes(frames: list[tuple[int, int]]) -> None:
    timeline = Timeline([VIDEO, AUDIO])
    last: dict[int, int] = {}
    for track, dts in frames:
        placed = timeline.place(track, pts=dts, dts=dts, duration=None)
        assert placed.pts >= placed.dts
        assert placed.dts > last.get(track, placed.dts - 1)
        last[track] = placed.dts

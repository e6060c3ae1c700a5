"""When frames are due; time is passed in."""

from __future__ import annotations

from arclyd.ingest.file.pacing import Pacer

SECOND = 1_000_000_000


def test_the_first_frame_is_the_origin() -> None:
    pacer = Pacer()
    assert pacer.wait_ns(500 * SECOND, 7) == 0
    assert pacer.wait_ns(501 * SECOND, 7) == SECOND
    assert pacer.wait_ns(501 * SECOND, 7 + SECOND) == 0


def test_a_little_late_is_caught_up_with() -> None:
    pacer = Pacer()
    pacer.wait_ns(0, 0)
    assert pacer.wait_ns(SECOND // 25, SECOND) == 0
    assert pacer.slips == 0
    assert pacer.wait_ns(2 * SECOND, SECOND) == SECOND


def test_very_late_goes_on_from_now_without_a_burst() -> None:
    pacer = Pacer()
    pacer.wait_ns(0, 0)
    assert pacer.wait_ns(SECOND, 6 * SECOND) == 0
    assert (pacer.slips, pacer.slipped_ns) == (1, 5 * SECOND)
    assert pacer.wait_ns(2 * SECOND, 6 * SECOND) == SECOND


def test_a_track_that_lags_another_waits_for_nothing_and_gives_nothing_up() -> None:
    pacer = Pacer()
    pacer.wait_ns(0, 0)
    pacer.wait_ns(3 * SECOND, 3 * SECOND)
    assert pacer.wait_ns(SECOND, 3 * SECOND) == 0
    assert pacer.slips == 0
    assert pacer.wait_ns(4 * SECOND, 3 * SECOND) == SECOND

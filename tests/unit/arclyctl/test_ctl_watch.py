"""Evenly spaced looks."""

from __future__ import annotations

import pytest

from arclyctl.watch import ticks


def test_the_first_look_is_at_once_and_the_last_is_not_waited_after():
    waits: list[float] = []
    assert list(ticks(5.0, 3, wait=waits.append)) == [0, 1, 2]
    assert len(waits) == 2


def test_the_pauses_make_up_for_the_time_the_work_takes(monkeypatch):
    now = [100.0]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for _ in ticks(1.0, 4, wait=wait):
        now[0] += 0.25
    assert waits == pytest.approx([0.75, 0.75, 0.75])


def test_a_look_that_took_too_long_is_not_caught_up_with(monkeypatch):
    now = [0.0]
    waits: list[float] = []
    seen: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for number in ticks(1.0, 3, wait=wait):
        seen.append(now[0])
        now[0] += 3.5 if number == 0 else 0.0
    assert seen == pytest.approx([0.0, 3.5, 4.0])

"""Frames of several tracks leave in the order of their decoding times, and none is lost or held for ever."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from arclyd.recorder.order import MAX_HELD, MAX_SPAN, DecodingOrder, Unit

if TYPE_CHECKING:
    from collections.abc import Iterable


def unit(track: int, at: Fraction | float, *, starts: bool = False, seq: int = 0) -> Unit:
    when = Fraction(at)
    return Unit(track, 0, 0, None, starts, b"", when, when, starts, seq, 1, 0)


def through(order: DecodingOrder, units: Iterable[Unit]) -> list[Unit]:
    return [out for one in units for out in order.put(one)]


@given(st.integers(1, 3), st.integers(0, 2**32))
def test_all_come_out_sorted_however_they_were_interleaved(tracks: int, seed: int) -> None:
    chance = random.Random(seed)
    queues = {n: [unit(n, Fraction(at, 7 + n)) for at in range(chance.randrange(1, 12))] for n in range(tracks)}
    given_ = []
    while any(queues.values()):
        given_.append(queues[chance.choice([n for n, queue in queues.items() if queue])].pop(0))
    order = DecodingOrder(range(tracks))
    out = through(order, given_)
    out += order.drain()
    assert sorted(map(id, out)) == sorted(map(id, given_))
    if max(one.at for one in given_) <= MAX_SPAN:
        assert [one.at for one in out] == sorted(one.at for one in given_)


def test_at_one_time_the_picture_a_file_begins_with_goes_before_the_sound() -> None:
    order = DecodingOrder([0, 1])
    sound, picture = unit(0, 1), unit(1, 1, starts=True)
    assert through(order, [sound, picture]) == [replace(picture, beside=frozenset({0}))]
    assert list(order.drain()) == [sound]


def test_a_silent_track_holds_the_others_for_a_second_only() -> None:
    order = DecodingOrder([0, 1])
    pictures = [unit(0, Fraction(n, 25)) for n in range(100)]
    out = through(order, pictures)
    assert out == pictures[: len(out)]
    assert pictures[-1].at - out[-1].at <= MAX_SPAN + Fraction(1, 25)
    assert list(order.drain()) == pictures[len(out) :]


def test_times_that_stand_still_fill_no_memory() -> None:
    order = DecodingOrder([0, 1])
    assert len(through(order, [unit(0, 0) for _ in range(MAX_HELD + 10)])) == 10

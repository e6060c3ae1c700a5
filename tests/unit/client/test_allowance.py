"""A reader's allowance of lost frames: spent, refilled, the stricter of two."""

from __future__ import annotations

import pytest

from arclyd.client.allowance import REFILL, Allowance
from arclyd.errors import RequestRefused


def test_the_bound_itself_is_allowed_and_one_more_is_not() -> None:
    allowance = Allowance(10, now=0.0)
    assert allowance.spend(4, now=0.0)
    assert allowance.spend(6, now=0.0)
    assert not allowance.spend(1, now=0.0)


def test_it_refills_evenly_and_never_above_the_bound() -> None:
    allowance = Allowance(100, now=0.0)
    assert allowance.spend(100, now=0.0)
    assert not Allowance(0, now=0.0).spend(1, now=1e9), "nothing refills to nothing"
    assert allowance.spend(50, now=REFILL / 2)
    assert not allowance.spend(1, now=REFILL / 2)
    late = Allowance(100, now=0.0)
    assert late.spend(100, now=10 * REFILL)
    assert not late.spend(1, now=10 * REFILL)


def test_a_hiccup_a_day_never_adds_up() -> None:
    allowance = Allowance(5, now=0.0)
    assert all(allowance.spend(5, now=day * 86_400.0) for day in range(1, 1000))


@pytest.mark.parametrize(("own", "granted", "bound"), [(3, None, 3), (None, 4, 4), (3, 4, 3), (9, 4, 4), (0, None, 0)])
def test_the_stricter_bound_holds(own: int | None, granted: int | None, bound: int) -> None:
    allowance = Allowance.of(own, granted)
    assert allowance is not None
    assert allowance.spend(bound)
    assert not allowance.spend(1)


def test_without_a_bound_there_is_no_allowance() -> None:
    assert Allowance.of(None, None) is None
    with pytest.raises(RequestRefused):
        Allowance.of(-1, None)

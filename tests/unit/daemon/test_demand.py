"""Streams that are wanted and not there: offered, asked for, forgotten."""

from __future__ import annotations

from arclyd.daemon.demand import MOST, OFFERED_SECONDS, WANTED_SECONDS, Demand
from arclyd.daemon.stream import SECOND


def test_what_is_offered_and_asked_for_is_wanted_for_a_while() -> None:
    demand = Demand()
    assert not demand.offer("a/b", 0)
    demand.ask("a/b", SECOND)
    assert demand.offer("a/b", 2 * SECOND)
    assert not demand.offer("a/c", 2 * SECOND)
    assert demand.offer("a/b", (1 + WANTED_SECONDS) * SECOND)
    assert not demand.offer("a/b", (1 + WANTED_SECONDS) * SECOND + 1)


def test_what_nobody_offers_is_not_kept() -> None:
    demand = Demand()
    demand.ask("a/b", 0)
    assert not demand.offer("a/b", 1)
    demand.ask("a/b", 2)
    demand.offer("a/c", (OFFERED_SECONDS + 1) * SECOND)  # the offer of a/b is too old by now
    demand.ask("a/b", (OFFERED_SECONDS + 1) * SECOND)
    assert not demand.offer("a/b", (OFFERED_SECONDS + 1) * SECOND)


def test_however_many_offer_it_keeps_the_newest() -> None:
    demand = Demand()
    for number in range(MOST + 2):
        demand.offer(f"a/{number}", 0)
    for number in (1, 2):
        demand.ask(f"a/{number}", 0)
    assert demand.offer("a/2", 0)
    assert not demand.offer("a/1", 0)

"""The checker against litmus tests whose outcome under RC11 is known.

Names and verdicts: Lahav et al. (PLDI 2017) and the herd model `rc11.cat`
(J. Alglave, L. Maranget, M. Tautschnig: Herding Cats, TOPLAS 36(2), 2014).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.litmus.rc11 import ACQ, ACQ_REL, REL, RLX, Thread, executions, fence, fetch_add, load, store


@dataclass(frozen=True)
class Case:
    """Threads, an outcome to look for, and whether RC11 allows it."""

    name: str
    threads: tuple[Thread, ...]
    outcome: Mapping[str, int]
    allowed: bool
    allowed_cxx20: bool | None = None
    initial: Mapping[str, int] = field(default_factory=dict)


def mp(first: int, second: int, *, release: bool = False, acquire: bool = False) -> tuple[Thread, ...]:
    """Message passing, by orders of the flag's store and load, or by fences."""
    writer = [store("x", 1), *([fence(REL)] if release else []), store("y", 1, first)]
    reader = [load("y", "a", second), *([fence(ACQ)] if acquire else []), load("x", "b")]
    return writer, reader


STALE = {"a": 1, "b": 0}
CASES = (
    Case("MP", mp(RLX, RLX), STALE, allowed=True),
    Case("MP+rel+acq", mp(REL, ACQ), STALE, allowed=False),
    Case("MP+rel+acq sees all", mp(REL, ACQ), {"a": 1, "b": 1}, allowed=True),
    Case("MP+rel", mp(REL, RLX), STALE, allowed=True),
    Case("MP+acq", mp(RLX, ACQ), STALE, allowed=True),
    Case("MP+fences", mp(RLX, RLX, release=True, acquire=True), STALE, allowed=False),
    Case("MP+fence+acq", mp(RLX, ACQ, release=True), STALE, allowed=False),
    Case("MP+rel+fence", mp(REL, RLX, acquire=True), STALE, allowed=False),
    Case("MP+fence+rlx", mp(RLX, RLX, release=True), STALE, allowed=True),
    Case("MP+rlx+fence", mp(RLX, RLX, acquire=True), STALE, allowed=True),
    Case(
        "SB",
        ([store("x", 1, REL), load("y", "a", ACQ)], [store("y", 1, REL), load("x", "b", ACQ)]),
        {"a": 0, "b": 0},
        allowed=True,
    ),
    Case(
        "LB",
        ([load("x", "a"), store("y", 1)], [load("y", "b"), store("x", 1)]),
        {"a": 1, "b": 1},
        allowed=False,
    ),
    Case(
        "IRIW+acq",
        (
            [store("x", 1, REL)],
            [store("y", 1, REL)],
            [load("x", "a", ACQ), load("y", "b", ACQ)],
            [load("y", "c", ACQ), load("x", "d", ACQ)],
        ),
        {"a": 1, "b": 0, "c": 1, "d": 0},
        allowed=True,
    ),
    Case(
        "WRC+rel+acq",
        (
            [store("x", 1)],
            [load("x", "a"), store("y", 1, REL)],
            [load("y", "b", ACQ), load("x", "c")],
        ),
        {"a": 1, "b": 1, "c": 0},
        allowed=False,
    ),
    Case(
        "WRC",
        (
            [store("x", 1)],
            [load("x", "a"), store("y", 1)],
            [load("y", "b"), load("x", "c")],
        ),
        {"a": 1, "b": 1, "c": 0},
        allowed=True,
    ),
    Case(
        "ISA2",
        (
            [store("x", 1), store("y", 1, REL)],
            [load("y", "a", ACQ), store("z", 1, REL)],
            [load("z", "b", ACQ), load("x", "c")],
        ),
        {"a": 1, "b": 1, "c": 0},
        allowed=False,
    ),
    Case("CoRR", ([store("x", 1), store("x", 2)], [load("x", "a"), load("x", "b")]), {"a": 2, "b": 1}, allowed=False),
    Case(
        "CoRR2",
        (
            [store("x", 1)],
            [store("x", 2)],
            [load("x", "a"), load("x", "b")],
            [load("x", "c"), load("x", "d")],
        ),
        {"a": 1, "b": 2, "c": 2, "d": 1},
        allowed=False,
    ),
    Case("CoWR", ([store("x", 1), load("x", "a")], [store("x", 2)]), {"a": 0}, allowed=False),
    Case("CoRW", ([load("x", "a"), store("x", 1)],), {"a": 1}, allowed=False),
    Case(
        "2+2W",
        (
            [store("x", 1), store("y", 2)],
            [store("y", 1), store("x", 2)],
            [load("x", "a"), load("x", "b"), load("y", "c"), load("y", "d")],
        ),
        {"a": 2, "b": 1, "c": 2, "d": 1},
        allowed=True,
    ),
    Case(
        "S+rel+acq",
        ([store("x", 2), store("y", 1, REL)], [load("y", "a", ACQ), store("x", 1)], [load("x", "b"), load("x", "c")]),
        {"a": 1, "b": 1, "c": 2},
        allowed=False,
    ),
    Case(
        "release sequence through an RMW",
        (
            [store("x", 1), store("y", 1, REL)],
            [fetch_add("y", 1, RLX, "r")],
            [load("y", "a", ACQ), load("x", "b")],
        ),
        {"r": 1, "a": 2, "b": 0},
        allowed=False,
    ),
    Case(
        "release sequence cut by a store of another thread",
        (
            [store("x", 1), store("y", 1, REL)],
            [load("y", "r"), store("y", 2)],
            [load("y", "a", ACQ), load("x", "b")],
        ),
        {"r": 1, "a": 2, "b": 0},
        allowed=True,
    ),
    Case(
        "release sequence through a store of the same thread",
        ([store("x", 1), store("y", 1, REL), store("y", 2)], [load("y", "a", ACQ), load("x", "b")]),
        {"a": 2, "b": 0},
        allowed=False,
        allowed_cxx20=True,
    ),
    Case(
        "atomicity: two additions do not read the same",
        ([fetch_add("x", 1, RLX, "a")], [fetch_add("x", 1, RLX, "b")]),
        {"a": 0, "b": 0},
        allowed=False,
    ),
    Case(
        "atomicity: nothing between an addition and what it read",
        ([fetch_add("x", 10, ACQ_REL, "a"), load("x", "b")], [store("x", 1)]),
        {"a": 0, "b": 11},
        allowed=False,
    ),
    Case(
        "initial values",
        ([load("x", "a")],),
        {"a": 7},
        allowed=True,
        initial={"x": 7},
    ),
)


def observed(case: Case, *, cxx20: bool) -> bool:
    results = executions(*case.threads, initial=case.initial, cxx20=cxx20)
    return any(case.outcome.items() <= result.items() for result in results)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case: Case) -> None:
    assert observed(case, cxx20=False) is case.allowed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict_with_the_shorter_release_sequence(case: Case) -> None:
    expected = case.allowed if case.allowed_cxx20 is None else case.allowed_cxx20
    assert observed(case, cxx20=True) is expected


def test_sequential_program_has_one_outcome() -> None:
    results = list(executions([store("x", 1), load("x", "a"), store("x", 2), load("x", "b")]))
    assert results == [{"a": 1, "b": 2}]


def test_every_case_has_an_execution() -> None:
    assert all(any(True for _ in executions(*case.threads, initial=case.initial)) for case in CASES)

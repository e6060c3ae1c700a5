"""The C core without Python: built with and without sanitizers, and with rules left out to see a test fail."""

from __future__ import annotations

import os

import pytest

from tests.native.building import (
    ADDRESS,
    COMPILERS,
    PLAIN,
    STOPPING,
    THREAD,
    Flavour,
    Workshop,
    mutant,
    run,
)

SEQUENTIAL = ("test_ring", "test_stream", "test_lap", "test_hostile")
SCALE = float(os.environ.get("ARCLYD_STRESS", "1"))
MILLION = 1_000_000


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("native"))


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("flavour", [PLAIN, ADDRESS], ids=str)
@pytest.mark.parametrize("test", SEQUENTIAL)
def test_one_process(workshop: Workshop, test: str, flavour: Flavour, compiler: str) -> None:
    done = run(*workshop.program(test, compiler, flavour))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) >= 5


@pytest.mark.parametrize("compiler", COMPILERS)
def test_killed_between_any_two_stores(workshop: Workshop, compiler: str) -> None:
    done = run(*workshop.program("test_kill", compiler, STOPPING))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("flavour", "share"), [(PLAIN, 1.0), (ADDRESS, 0.1), (THREAD, 0.05)], ids=str)
def test_threads(workshop: Workshop, flavour: Flavour, share: float, compiler: str) -> None:
    frames = int(MILLION * share * SCALE)
    done = run(*workshop.program("test_threads", compiler, flavour), str(frames), timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"frames {frames}," in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("flavour", "share"), [(PLAIN, 1.0), (ADDRESS, 0.3), (THREAD, 0.1)], ids=str)
def test_nobody_sleeps_through_a_frame(workshop: Workshop, flavour: Flavour, share: float, compiler: str) -> None:
    bursts = int(5000 * share * SCALE)
    # Without the longer nap that would hide what the rule itself does not give.
    done = run(*workshop.program("test_wake", compiler, mutant(flavour, "no_doze")), str(bursts), timeout=280)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"bursts {bursts}," in done.stdout


def test_who_sleeps_too_long_is_noticed(workshop: Workshop) -> None:
    done = run(
        *workshop.program("test_wake", COMPILERS[0], mutant(mutant(PLAIN, "no_doze"), "no_nap")), "100000", timeout=280
    )
    assert done.returncode == 1
    assert "sleeps through frame" in done.stderr


# Each of these tests passes above; it must not pass without the rule.
@pytest.mark.parametrize(
    ("test", "case", "flavour", "rule", "noticed"),
    [
        ("test_ring", "announced_before_overwritten", PLAIN, "announce_late", "describes(bytes, "),
        ("test_kill", "readers_find_order_between_any_two_stores", STOPPING, "announce_late", "describes(bytes, "),
        ("test_kill", "readers_find_order_between_any_two_stores", STOPPING, "head_first", "everything_holds: "),
        ("test_kill", "a_writer_killed_between_any_two_stores", STOPPING, "head_first", "everything_holds: "),
    ],
    ids=str,
)
def test_a_broken_rule_is_noticed(
    workshop: Workshop, test: str, case: str, flavour: Flavour, rule: str, noticed: str
) -> None:
    done = run(*workshop.program(test, COMPILERS[0], mutant(flavour, rule)), case)
    assert done.returncode == 1, done.stderr
    assert noticed in done.stderr

"""The ring's protocol has no bad execution under RC11, and every mutant of it has one."""

from __future__ import annotations

import pytest

from tests.litmus.ring_model import MUTANTS, PROGRAMS, Program, run

MODELS = pytest.mark.parametrize("cxx20", [False, True], ids=["C11", "C++20"])


@MODELS
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_no_execution_is_bad(program: Program, cxx20: bool) -> None:
    total, bad, good = run(program, cxx20=cxx20)
    assert bad == 0
    assert good > 0, f"none of {total} executions does what the program is about"


@MODELS
@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_found(name: str, cxx20: bool) -> None:
    change, programs = MUTANTS[name]
    assert any(run(change(program), cxx20=cxx20)[1] for program in programs)

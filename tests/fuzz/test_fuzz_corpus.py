"""What fuzzing found, and what covers the code, run again; then a few seconds of search."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arclyd.daemon import config
from tests.fuzz import engine, native
from tests.fuzz.targets import TARGETS
from tests.native.building import COMPILERS, unavailable

if TYPE_CHECKING:
    from pathlib import Path

SCALE = float(os.environ.get("ARCLYD_STRESS", "1"))
MILLION = 1_000_000

every_target = pytest.mark.parametrize("name", TARGETS)


@every_target
def test_the_corpus_passes(name: str) -> None:
    assert engine.replay(name) >= 10


@every_target
@pytest.mark.timeout(60 + 120 * SCALE)
def test_mutated_inputs_pass(name: str) -> None:
    outcome = engine.run(name, seconds=1 * SCALE, seed=int(SCALE))
    assert outcome.crashes == ()
    assert outcome.executions > 20


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_regions_corpus_passes_under_sanitizers(tmp_path: Path, compiler: str) -> None:
    try:
        program = native.build_replay(tmp_path, compiler)
    except RuntimeError as error:
        unavailable(f"{compiler} can't build with sanitizers: {error}")
    done = native.replay(program)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout.split()[-1]) > 50


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"[a-z./~]{0,70}/[a-z.~/]{0,70}", fullmatch=True)))
def test_any_text_is_a_key_or_invalid(text: str) -> None:
    assert TARGETS["key"](text.encode("utf-8", "surrogatepass")) == 1


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(config._App.__struct_fields__)),
        st.one_of(
            st.integers(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.booleans(),
            st.from_regex(r"[0-9]{1,30}(\.[0-9]{1,5})?( ?[KMGkmg]?i?[Bb]?)", fullmatch=True),
            st.just("[]"), st.just("{}"),
        ),
        max_size=4,
    )
)  # fmt: skip
def test_any_settings_are_settings_or_an_error(values: dict[str, object]) -> None:
    lines = [f"{key} = {toml(value)}" for key, value in values.items()]
    assert TARGETS["config_file"]("\n".join(["[apps.live]", *lines]).encode()) == 1


def toml(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value not in ("[]", "{}"):
        return f'"{value}"'
    return repr(value) if isinstance(value, int | float) else str(value)

"""`import arclyd` is the public API: exactly these names, each importable, and cheap to import."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

import arclyd
from arclyd import errors

PARTS = {
    "AsyncControl",
    "AsyncSubscriber",
    "CodecId",
    "Control",
    "Frame",
    "Gap",
    "Lag",
    "Observer",
    "Publisher",
    "Span",
    "Subscriber",
    "Track",
    "__version__",
    "connect",
}


def test_the_names_are_exactly_these() -> None:
    assert set(arclyd.__all__) == PARTS | set(errors.__all__)
    assert list(arclyd.__all__) == sorted(arclyd.__all__)


@pytest.mark.parametrize("name", arclyd.__all__)
def test_each_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(arclyd, name)
    assert name in dir(arclyd)
    if name != "__version__":
        assert value.__doc__


def test_the_errors_are_those_of_the_tree() -> None:
    for name in errors.__all__:
        assert getattr(arclyd, name) is getattr(errors, name)


def test_the_version_is_the_installed_one() -> None:
    assert arclyd.__version__ == metadata.version("arclyd")


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        arclyd.Nonsense  # noqa: B018 - the access is the test


def test_importing_it_costs_next_to_nothing() -> None:
    program = "import sys; before = set(sys.modules); import arclyd; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "socket", "threading", "msgpack", "msgspec", "arclyd.ring._ring"} & set(loaded)

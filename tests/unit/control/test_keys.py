"""The one rule for stream keys."""

from __future__ import annotations

import pytest

from arclyd.control.keys import parse_key
from arclyd.errors import InvalidKey


@pytest.mark.parametrize("key", ["live/cam1", "a/b", "A.b-c_9/x~y", "a" * 64 + "/" + "b" * 64, "live/cam~720p.low"])
def test_keys(key: str) -> None:
    assert "/".join(parse_key(key)) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a",
        "/",
        "a/",
        "/b",
        "a/b/c",
        "../x",
        "a/ b",
        "a/b\n",
        "a/.b",
        ".a/b",
        "a/b~",
        "a/~b",
        "a/b~.c",
        "a/b~c~d",
        "a~b/c",
        "a/é",
        "a/b\0",
        "a/" + "b" * 65,
        "a" * 65 + "/b",
        "x" * 300,
        "a/" + "b" * 40 + "~" + "c" * 40,
    ],
)
def test_no_keys(key: str) -> None:
    with pytest.raises(InvalidKey) as refused:
        parse_key(key)
    assert refused.value.key == key
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("key", [None, 5, b"live/a"])
def test_what_is_no_text(key: object) -> None:
    with pytest.raises(InvalidKey):
        parse_key(key)  # type: ignore[arg-type]

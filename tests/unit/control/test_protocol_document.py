"""docs/reference/control_protocol.md against the code: every request, field, error, limit, and the worked example."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from arclyd import errors
from arclyd.control import connection, reports, wire
from arclyd.control import messages as m

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "control_protocol.md"
TYPES = [
    cls
    for cls in vars(m).values()
    if dataclasses.is_dataclass(cls) and isinstance(cls, type) and not issubclass(cls, m.Request)
]


@pytest.fixture(scope="module")
def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    start = text.index(f"\n{heading}\n")
    level = heading.split(" ", maxsplit=1)[0]
    after = re.search(rf"\n#{{1,{len(level)}}} ", text[start + 2 :])
    return text[start : start + 2 + after.start()] if after else text[start:]


def documented_fields(part: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]* \| [^|]* \|$", part, re.MULTILINE)


@pytest.mark.parametrize("cls", m.REQUESTS.values(), ids=lambda cls: cls.op)
def test_every_request_is_specified_with_its_fields(text: str, cls: type[m.Request]) -> None:
    part = section(text, f"#### `{cls.op}` → {cls.reply.__name__}")
    assert documented_fields(part) == [field.name for field in dataclasses.fields(cls)]


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
def test_every_type_is_specified_with_its_fields(text: str, cls: type) -> None:
    part = section(text, f"### {cls.__name__}")
    assert documented_fields(part) == [field.name for field in dataclasses.fields(cls)]


def test_every_error_code_is_listed(text: str) -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", section(text, "## Errors"), re.MULTILINE))

    def codes(cls: type[errors.ArclydError]) -> set[str]:
        return {cls.code}.union(*(codes(sub) for sub in cls.__subclasses__()))

    assert listed == codes(errors.ArclydError)


def test_every_kind_of_event_is_listed(text: str) -> None:
    listed = set(
        re.findall(r"`(\w+)`", " ".join(re.findall(r"^\|([^|]*)\|", section(text, "## Events"), re.MULTILINE)))
    )
    said = re.search(r"Kinds: (.*?)\.\n", reports.Event.__doc__ or "", re.DOTALL)
    assert said
    assert listed == set(re.findall(r"\w+", said[1]))


def test_the_limits_are_those_of_the_code(text: str) -> None:
    for number, line in (
        (wire.MAX_REQUEST == 1 << 20, "1 MiB (16 KiB before the hello)"),
        (wire.MAX_HELLO == 16 << 10, "1 MiB (16 KiB before the hello)"),
        (wire.MAX_REPLY == 16 << 20, "| 16 MiB |"),
        (wire.MAX_DEPTH == 12, "| nesting | 12 |"),
        (wire.MAX_ITEMS == 65_536, "| 65,536 |"),
        (wire.MAX_OFFERED == 1, "| descriptors with one request | 1 |"),
        (connection.MAX_OUTSTANDING == 64, "| unanswered requests of a connection | 64 |"),
    ):
        assert number
        assert line in text


def test_the_worked_example_is_what_the_code_sends(text: str) -> None:
    dumps = re.findall(r"```\n((?:[0-9a-f]{4}  .*\n)+)```", text)
    told = [bytes.fromhex("".join(line[6:53] for line in dump.splitlines())) for dump in dumps]
    assert told == [
        wire.encode_request(1, m.Hello(1, client="example")),
        wire.encode_reply(1, m.HelloReply(1, "0.1.0", "9fcdd8f0")),
        wire.encode_request(2, m.Subscribe("live/cam1")),
        wire.encode_reply(2, m.SubscribeGrant(7, "f5b1582cb39352d2fd062fa33c2de507"), 1),
    ]

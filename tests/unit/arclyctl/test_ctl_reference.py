"""The reference of the commands says what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import pytest

from arclyctl.cli import VERBS, cli
from arclyctl.commands.tail import FrameLine, GapLine
from arclyd import cli as daemon_command
from arclyd import command_line, errors
from arclyd.control import reports

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text()
CODES = re.compile(r"^\| (\d+) \| (`.*`.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`(\w+)` \(`(\w+)`\)")


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    assert f"\n{heading}\n" in TEXT, f"the reference has no {heading!r}"
    return re.split(r"\n#{2,3} ", TEXT.partition(f"\n{heading}\n")[2])[0]


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    told = {
        (name, word, int(code))
        for code, names in CODES.findall(section("## Exit codes"))
        for name, word in NAMED.findall(names)
    }
    real = {
        (name, error.code, error.exit_code)
        for name, error in vars(errors).items()
        if isinstance(error, type) and issubclass(error, errors.ArclydError)
    }
    assert told == real


def test_the_other_exit_codes_are_told() -> None:
    text = section("## Exit codes")
    for code in (command_line.EXIT_USAGE, command_line.EXIT_INTERRUPTED, command_line.EXIT_BROKEN_PIPE):
        assert f"\n| {code} | " in text


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_every_verb_of_arclyctl_is_described_with_its_own_options(verb: str) -> None:
    text = section(f"### arclyctl {verb}")
    with click.Context(cli) as ctx:
        command = cli.get_command(ctx, verb)
    assert command is not None
    shared = {"--socket", "--json", "--no-color", "--help"}
    for param in command.params:
        long = [name for name in param.opts if name.startswith("--") and name not in shared]
        # -o has a long name as well: either is enough
        assert not long or any(f"{name}" in text for name in param.opts), f"{verb}: {long} is not described"


@pytest.mark.parametrize("verb", [verb.name for verb in daemon_command.VERBS])
def test_every_verb_of_arclyd_is_described(verb: str) -> None:
    assert f"arclyd {verb}" in section(f"### arclyd {verb}")


def test_no_verb_is_described_that_is_not_there() -> None:
    told = set(re.findall(r"^### (\w+ \S+)$", TEXT, re.MULTILINE))
    real = {f"arclyctl {verb.name}" for verb in VERBS} | {f"arclyd {verb.name}" for verb in daemon_command.VERBS}
    assert told == real


@pytest.mark.parametrize(
    "cls",
    [
        reports.StreamInfo,
        reports.PublisherInfo,
        reports.Metadata,
        reports.Qos,
        reports.TrackQos,
        reports.GopEntry,
        reports.SubscriberInfo,
        reports.Event,
        reports.Version,
    ],
)
def test_the_objects_of_json_have_the_fields_told(cls: type) -> None:
    row = re.search(rf"^\| `{cls.__name__}` \| (.*) \|$", section("## JSON objects"), re.MULTILINE)
    assert row is not None
    assert re.findall(r"`(\w+)`", row[1]) == [item.name for item in dataclasses.fields(cls)]


@pytest.mark.parametrize(("word", "cls"), [("frame", FrameLine), ("gap", GapLine)])
def test_the_lines_of_tail_have_the_fields_told(word: str, cls: type) -> None:
    row = re.search(rf"^\| `{word}` \| (.*) \|$", section("### arclyctl tail"), re.MULTILINE)
    assert row is not None
    told = re.findall(r"`(\w+)`", row[1])
    for item in dataclasses.fields(cls):
        assert item.name == "type" or item.name in told, f"{item.name} is not described"

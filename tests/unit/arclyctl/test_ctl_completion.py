"""Completion from the live daemon, and silence where there is none."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.shell_completion import ShellComplete

from arclyctl.cli import VERBS, cli


@pytest.fixture
def complete(context):
    """What a shell is offered behind those words."""

    def completions(words: list[str], incomplete: str = "", obj: object = context) -> list[str]:
        completer = ShellComplete(cli, {"obj": obj}, "arclyctl", "_ARCLYCTL_COMPLETE")
        return [item.value for item in completer.get_completions(words, incomplete)]

    return completions


def test_verbs_and_global_options(complete):
    assert complete([]) == [verb.name for verb in VERBS]
    assert complete([], "s") == ["stats", "subscribers", "snapshot"]
    assert "--json" in complete([], "--")


def test_options_of_a_verb(complete):
    assert set(complete(["stats"], "--")) >= {"--watch", "--interval", "--count", "--json", "--socket"}


def test_live_keys(complete):
    assert complete(["info"]) == ["live/cam1", "live/cam2"]
    assert complete(["tail"], "live/cam2") == ["live/cam2"]
    assert complete(["gop"], "lab") == []


def test_applications(complete, control, stream):
    control.streams.append(stream("lab/x"))
    assert complete(["ls"]) == ["lab", "live"]


def test_subscribers_and_the_publisher(complete, control, reader):
    control.readers.append(reader)
    assert complete(["kick", "live/cam1"]) == ["0", "3"]
    assert complete(["kick", "live/cam2"]) == ["0"]


def test_no_daemon_offers_nothing_and_says_nothing(complete, silent, capsys):
    assert complete(["info"], obj=silent) == []
    assert complete(["kick", "live/cam1"], obj=silent) == []
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--socket", "/tmp/a.sock", "info"], "/tmp/a.sock"),
        (["info", "--socket", "/tmp/b.sock"], "/tmp/b.sock"),
        (["info"], "/tmp/env.sock"),
    ],
)
def test_the_socket_named_on_the_line_is_asked(complete, context, control, monkeypatch, words, expected):
    asked: list[str | None] = []

    def opener(socket: str | None, _timeout: float) -> object:
        asked.append(socket)
        return control

    monkeypatch.setenv("ARCLYD_SOCKET", "/tmp/env.sock")
    assert complete(words, obj=type(context)(opener=opener)) == ["live/cam1", "live/cam2"]
    assert asked == [expected]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_asks_by_the_variable_the_command_answers(ask, shell):
    script = ask("completion", shell).stdout
    assert "_ARCLYCTL_COMPLETE" in script
    assert "arclyctl" in script


def test_the_command_answers_a_shell(tmp_path):
    env = {**os.environ, "_ARCLYCTL_COMPLETE": "bash_complete", "COMP_WORDS": "arclyctl sub", "COMP_CWORD": "1"}
    env["ARCLYD_SOCKET"] = str(tmp_path / "none.sock")
    command = [sys.executable, "-m", "arclyctl"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("plain,subscribers\n", "")
    env |= {"COMP_WORDS": "arclyctl info ", "COMP_CWORD": "2"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_verb_that_is_not_there_does_not_break_completion(complete):
    assert complete(["nonsense"]) == complete([])


def test_the_group_has_no_duplicate_options(context):
    with click.Context(cli, obj=context) as ctx:
        for _ in range(2):
            command = cli.get_command(ctx, "ls")
            assert command is not None
            names = [param.name for param in command.params]
            assert len(names) == len(set(names))

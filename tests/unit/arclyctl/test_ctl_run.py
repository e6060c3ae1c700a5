"""Errors as one line and an exit code, for people and as JSON; verbs imported when used."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from arclyctl.cli import wants_json
from arclyd.command_line import (
    EXIT_BROKEN_PIPE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    LazyGroup,
    Verb,
    clean,
    run,
    version_option,
)
from arclyd.errors import NoSpace, StreamNotFound


def failing(error: BaseException) -> click.Command:
    def callback() -> None:
        raise error

    return click.Command("fail", callback=callback)


def test_an_error_is_one_sentence_and_its_exit_code(capsys):
    assert run(failing(NoSpace(100, 10)), "arclyd", []) == NoSpace.exit_code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("arclyd: error: no room in /dev/shm")
    assert err.count("\n") == 1


def test_a_note_on_an_error_ends_its_sentence(capsys):
    error = StreamNotFound("live/x")
    error.add_note("did you mean live/y?")
    run(failing(error), "arclyctl", [])
    assert capsys.readouterr().err.endswith("what there is); did you mean live/y?\n")


def test_an_error_as_json_carries_its_facts(capsys):
    assert run(failing(StreamNotFound("live/x")), "arclyctl", [], as_json=True) == StreamNotFound.exit_code
    error = json.loads(capsys.readouterr().err)["error"]
    assert (error["code"], error["facts"]) == ("stream_not_found", {"key": "live/x"})
    assert "live/x" in error["message"]


def test_a_wrong_command_line_is_2_and_shows_its_use(capsys):
    assert run(failing(click.UsageError("no")), "arclyd", []) == EXIT_USAGE
    assert "Usage: arclyd" in capsys.readouterr().err
    assert run(failing(click.UsageError("no")), "arclyd", [], as_json=True) == EXIT_USAGE
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "usage"


def test_ctrl_c_is_130_and_says_nothing(capsys):
    assert run(failing(KeyboardInterrupt()), "arclyd", []) == EXIT_INTERRUPTED
    assert "rror" not in capsys.readouterr().err


def test_an_error_of_the_system_names_the_file(capsys):
    assert run(failing(PermissionError(13, "Permission denied", "/etc/x")), "arclyd", []) == 1
    assert capsys.readouterr().err == "arclyd: error: /etc/x: Permission denied\n"


def test_an_error_shows_no_control_characters(capsys):
    run(failing(click.ClickException("a\x1b[2Jb")), "arclyd", [])
    assert capsys.readouterr().err == "arclyd: error: a\\x1b[2Jb\n"


def test_a_broken_pipe_is_quiet():
    code = "\n".join(
        [
            "import sys, click",
            "from arclyd.command_line import run",
            "def write():",
            "    while True: click.echo('x' * 1000)",
            "sys.exit(run(click.Command('w', callback=write), 'w', []))",
        ]
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "x" * 1000 + "\n"
    child.stdout.close()
    assert child.stderr is not None
    with child.stderr:
        assert child.stderr.read() == ""
    assert child.wait() == EXIT_BROKEN_PIPE


def test_a_verb_is_imported_only_when_used(capsys):
    group = LazyGroup("x", verbs=(Verb("absent", "arclyd.no_such_module:x", "Not there."),))
    assert run(group, "x", ["--help"]) == 0
    assert "Not there." in capsys.readouterr().out
    with pytest.raises(ModuleNotFoundError):
        run(group, "x", ["absent"])


def test_a_missing_library_is_an_error_of_one_line(capsys, tmp_path, monkeypatch):
    (tmp_path / "needs_it.py").write_text("import a_library_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    group = LazyGroup("x", verbs=(Verb("go", "needs_it:go", "Go."),))
    assert run(group, "x", ["go"]) == 1
    assert capsys.readouterr().err == (
        "x: error: go needs the Python package 'a_library_nobody_has': install it, or arclyd with its extras\n"
    )


def test_a_misspelt_verb_names_the_nearest(capsys):
    group = LazyGroup("x", verbs=(Verb("serve", "a:b", "Serve."),))
    assert run(group, "x", ["serv"]) == EXIT_USAGE
    assert "Did you mean 'serve'?" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    group = LazyGroup("x", params=[version_option("x")])
    assert run(group, "x", ["--version"]) == 0
    assert capsys.readouterr().out.startswith("x ")


def test_json_is_seen_anywhere_but_behind_the_double_dash():
    assert wants_json(["ls", "--json"])
    assert wants_json(["--json", "nonsense"])
    assert not wants_json(["tail", "--", "--json"])


def test_clean_keeps_what_can_be_printed():
    assert clean("Köln 東京 ✓") == "Köln 東京 ✓"
    assert clean("a\tb\u202ec") == "a\\tb\\u202ec"


@pytest.mark.parametrize("module", ["arclyd", "arclyctl"])
def test_help_needs_neither_the_core_nor_a_library_of_the_verbs(module):
    code = f"import sys, {module}.cli as c; c.cli.main(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert not any(f"'{name}'" in loaded for name in ("av", "arclyd.ring._ring", "arclyd.daemon", "msgspec"))

"""The full screen without a terminal: what is on it, and what it makes of a daemon that is away."""

from __future__ import annotations

import io
import os
import pty
import select

import pytest
from rich.console import Console

from arclyctl.commands.top import View, look, screen
from arclyctl.keyboard import Keyboard


def painted(view: View, order: str = "key", height: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=200, height=height, force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(screen(console, view, order))
    return captured.get().splitlines()


def rows(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines if line.lstrip().startswith(("live/", "lab/"))]


@pytest.mark.parametrize(
    ("order", "keys"),
    [
        ("key", ["lab/x", "live/a", "live/b"]),
        ("fps", ["live/b", "live/a", "lab/x"]),
        ("subs", ["lab/x", "live/a", "live/b"]),
    ],
)
def test_the_streams_are_ordered_as_asked(stream, order, keys):
    streams = (stream("live/a", fps=25.0), stream("lab/x", fps=0.0), stream("live/b", fps=50.0))
    assert rows(painted(View(streams=streams), order)) == keys


def test_the_head_sums_up(control):
    view = View(control.version(), control.list_streams())
    head = painted(view)[0]
    assert "arclyd 0.1.0 (process 99) · 2 streams · 4.75 Mb/s · 4 subscribers · 66 MiB in regions" in head


def test_what_does_not_fit_is_counted(stream):
    lines = painted(View(streams=[stream(f"live/{n:02d}") for n in range(30)]), height=17)
    assert len(rows(lines)) == 10
    assert any("and 20 more" in line for line in lines)


def test_a_daemon_that_went_away_leaves_the_last_look_on_the_screen(context, silent):
    before = look(context, None, View())
    assert [one.key for one in before.streams] == ["live/cam1", "live/cam2"]
    after = look(silent, None, before)
    assert after.streams == before.streams
    assert any("nobody listens" in line for line in painted(after))
    assert look(context, None, after).problem == ""


def test_a_key_pressed_ends_the_wait_at_once():
    controller, terminal = pty.openpty()
    try:
        os.write(controller, b"q\n")
        select.select([terminal], [], [], 10)
        assert Keyboard(terminal).wait(60.0) == "q"
    finally:
        os.close(controller)
        os.close(terminal)


def test_without_a_terminal_no_key_is_pressed():
    assert Keyboard(None).wait(0.0) == ""

"""What every verb of `arclyctl` gets: which daemon to ask, and how to answer.

A command takes it with ``@click.pass_obj`` as its first argument.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.client import Control

PLAIN_WIDTH = 4096
"""Columns of output that is no terminal: wide enough that no table is folded or cut."""


class PipeConsole(Console):
    """A rich console that leaves a broken pipe to `arclyd.command_line.run` (rich would exit with 1)."""

    def on_broken_pipe(self) -> None:
        """Raise it on."""
        raise BrokenPipeError


CONNECT_TIMEOUT = 5.0
"""Seconds the daemon has to answer: it does in milliseconds, or hangs."""


def open_control(socket: str | None, timeout: float) -> Control:
    """The library's own `connect`, imported when the first command needs it."""
    import arclyd  # noqa: PLC0415 - completion and --help must not pay for the library

    return arclyd.connect(socket, timeout, name="arclyctl")


@dataclass(frozen=True, slots=True)
class Context:
    """The global options, as ``ctx.obj``. ``socket`` None means the default places."""

    socket: str | None = None
    json: bool = False
    color: bool = True
    opener: Callable[[str | None, float], Control] = open_control

    def connect(self, timeout: float = CONNECT_TIMEOUT) -> Control:
        """Connect to the daemon, within ``timeout`` seconds; a context manager. Raises `DaemonUnavailable`."""
        return self.opener(self.socket, timeout)

    def console(self, *, stderr: bool = False) -> Console:
        """A rich console on standard output (or error): tables with colour on a terminal, plain in a pipe."""
        stream = sys.stderr if stderr else sys.stdout
        # NO_COLOR is rich's to honour: None leaves the decision to it.
        console = PipeConsole(file=stream, no_color=None if self.color else True, highlight=False, soft_wrap=False)
        if not console.is_terminal:
            console.width = PLAIN_WIDTH
        return console

    def emit(self, value: object) -> None:
        """Print one value as one line of JSON: a dataclass becomes an object of its fields, a tuple an array."""
        from arclyctl.render import to_plain  # noqa: PLC0415 - render imports rich's tables

        click.echo(json.dumps(to_plain(value), default=str))

"""What the commands `arclyd` and `arclyctl` have in common: verbs imported when used, errors as one line.

A verb is one line of a table and its module is imported only when it runs, so that `--help` and shell
completion never pay for (nor fail over) what another verb needs. `run` is the only place where an
exception becomes text and an exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

import arclyd
from arclyd.error_maps import to_wire
from arclyd.errors import ArclydError

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_USAGE: Final = 2
"""A command line that makes no sense; click's own choice."""
EXIT_INTERRUPTED: Final = 130
"""Ctrl-C: 128 + SIGINT, as a shell reports it."""
EXIT_BROKEN_PIPE: Final = 141
"""The reader of our output went away: 128 + SIGPIPE, as for any command in a pipe."""

SIZE_UNITS: Final = MappingProxyType({"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40})
TIME_UNITS: Final = MappingProxyType({"": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800})
_SECONDS: Final = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[a-z]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Verb:
    """A subcommand: its name, where it lives (``package.module:attribute``) and one sentence of help."""

    name: str
    target: str
    summary: str


class LazyGroup(click.Group):
    """A click group whose subcommands come from a table and are imported when they are used."""

    def __init__(self, *args: Any, verbs: Sequence[Verb] = (), **attrs: Any) -> None:  # click's own signature
        super().__init__(*args, **attrs)
        self.verbs = {verb.name: verb for verb in verbs}

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The verbs in the order of the table: it goes from looking to steering."""
        return list(self.verbs)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb; a library it needs and that is not installed is an error of one line."""
        verb = self.verbs.get(cmd_name)
        if verb is None:
            return None
        module_name, _, attribute = verb.target.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] in {"arclyd", "arclyctl"}:
                raise
            raise click.ClickException(
                f"{cmd_name} needs the Python package {error.name!r}: install it, or arclyd with its extras"
            ) from error
        command = getattr(module, attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{verb.target} is not a click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest verb named for one that is not."""
        if args and args[0] not in self.verbs and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(args[0], self.verbs, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb.name, verb.summary) for verb in self.verbs.values()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete verbs from the table, importing none, and the group's options."""
        verbs = [
            CompletionItem(verb.name, help=verb.summary)
            for verb in self.verbs.values()
            if verb.name.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)


def size(text: str) -> int:
    """Bytes from ``33554432`` or ``32MiB``.

    Raises:
        BadParameter: no size.
    """
    digits = text.strip().rstrip("bBiIkKmMgGtT")
    unit = SIZE_UNITS.get(text.strip()[len(digits) :].lower())
    if not digits.isdecimal() or unit is None:
        raise click.BadParameter(f"{text!r} is no size (bytes, or as 32MiB)")
    return int(digits) * unit


def seconds(text: str) -> Fraction:
    """Seconds, more than none, from ``90``, ``2.5s``, ``10min``, ``1h`` or ``7d``.

    Raises:
        BadParameter: no length of time.
    """
    match = _SECONDS.fullmatch(text.strip().lower())
    unit = TIME_UNITS.get(match["unit"]) if match else None
    if match is None or unit is None or not Fraction(match["number"]):
        raise click.BadParameter(f"{text!r} is no length of time (seconds, or as 10min, 1h, 7d)")
    return Fraction(match["number"]) * unit


def version_option(prog: str) -> click.Option:
    """``--version``; the version is looked up when it is asked for."""

    def tell(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's own signature
        if value and not ctx.resilient_parsing:
            click.echo(f"{prog} {arclyd.__version__}")
            ctx.exit()

    return click.Option(
        ["--version"], is_flag=True, is_eager=True, expose_value=False, callback=tell, help="Show the version and exit."
    )


def run(command: click.Command, prog: str, args: Sequence[str] | None = None, *, as_json: bool = False) -> int:
    """Run a command line and return its exit code; whatever goes wrong becomes one line on standard error.

    ``as_json``: that line is ``{"error": {"code", "message", "facts"}}``.
    """
    words = list(sys.argv[1:] if args is None else args)
    fail = _report_json if as_json else _report_text
    try:
        code = _invoke(command, prog, words)
        sys.stdout.flush()
    except (click.Abort, KeyboardInterrupt):
        if sys.stderr.isatty():
            click.echo(err=True)  # the terminal has written ^C into the line
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return _broken_pipe()
    except ArclydError as error:
        fail(prog, error)
        return error.exit_code
    except (click.ClickException, OSError) as error:
        fail(prog, error)
        return error.exit_code if isinstance(error, click.ClickException) else ArclydError.exit_code
    return code


def _invoke(command: click.Command, prog: str, words: list[str]) -> int:
    """As `click.Command.main`, which would turn a broken pipe into an exit with 1."""
    if f"_{prog}_COMPLETE".upper() in os.environ:
        command.main(words, prog)  # answers the shell and exits
    try:
        with command.make_context(prog, words) as ctx:
            command.invoke(ctx)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    return 0


def error_report(error: Exception) -> dict[str, object]:
    """The error as ``{"code", "message", "facts"}``; notes on it (``add_note``) end the message."""
    if isinstance(error, ArclydError):
        report = to_wire(error)
    elif isinstance(error, click.ClickException):
        report = {"code": "usage", "message": error.format_message(), "facts": {}}
    elif isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        report = {"code": "os_error", "message": f"{where}{error.strerror}", "facts": {"errno": error.errno}}
    else:
        report = {"code": "error", "message": str(error), "facts": {}}
    notes: list[str] = getattr(error, "__notes__", [])
    return {**report, "message": "; ".join([str(report["message"]), *notes])}


def clean(text: str) -> str:
    """``text`` with every character a terminal could take for a command shown as an escape.

    Names, tags and facts come from whoever publishes or subscribes, and go to an operator's terminal.
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _report_text(prog: str, error: Exception) -> None:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(error.ctx.get_usage(), err=True)
        click.echo(f"Try '{error.ctx.command_path} --help' for help.", err=True)
    click.echo(f"{prog}: error: {clean(str(error_report(error)['message']))}", err=True)


def _report_json(_prog: str, error: Exception) -> None:
    click.echo(json.dumps({"error": error_report(error)}, default=str), err=True)


def _broken_pipe() -> int:
    """Point standard output at nothing: the interpreter flushes it once more at exit, into the broken pipe."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
    return EXIT_BROKEN_PIPE

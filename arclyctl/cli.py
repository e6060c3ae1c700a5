"""The `arclyctl` command: its table of verbs and the options that hold for all of them.

The global options are accepted before and after the verb. A verb is one line in `VERBS` and a module in
``commands/``; it gets an `arclyctl.context.Context` as ``ctx.obj``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from arclyctl.context import Context
from arclyctl.suggest import suggest_keys
from arclyd.command_line import LazyGroup, Verb, run, version_option
from arclyd.errors import StreamNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS: Final = (
    Verb("ls", "arclyctl.commands.ls:ls", "List the streams."),
    Verb("info", "arclyctl.commands.info:info", "Show all that is known of one stream."),
    Verb("stats", "arclyctl.commands.stats:stats", "Show live rates and totals, once or again and again."),
    Verb("top", "arclyctl.commands.top:top", "Watch all streams on the full screen."),
    Verb("gop", "arclyctl.commands.gop:gop", "Show the join points a late reader can start at."),
    Verb("subscribers", "arclyctl.commands.subscribers:subscribers", "Show who reads, and how far behind."),
    Verb("tail", "arclyctl.commands.tail:tail", "Print one line for each frame of a stream."),
    Verb("events", "arclyctl.commands.events:events", "Print what happened, and what happens."),
    Verb("dump", "arclyctl.commands.dump:dump", "Write a stream to a media file, as it is."),
    Verb("snapshot", "arclyctl.commands.snapshot:snapshot", "Write a stream's last keyframe as a picture."),
    Verb("play", "arclyctl.commands.play:play", "Watch a stream in mpv, ffplay or another player."),
    Verb("kick", "arclyctl.commands.kick:kick", "End one subscriber of a stream, or its publisher (0)."),
    Verb("end", "arclyctl.commands.end:end", "End a stream for everybody."),
    Verb("token", "arclyctl.commands.token:token", "Make a token that lets who has it play or publish a stream."),
    Verb("doctor", "arclyctl.commands.doctor:doctor", "Look for what is wrong on this machine, with the remedy."),
    Verb("version", "arclyctl.commands.version:version", "Show the versions of this command and of the daemon."),
    Verb("completion", "arclyctl.commands.completion:completion", "Print the shell completion script."),
)
"""Every verb of `arclyctl`."""


class ArclyctlGroup(LazyGroup):
    """The verbs, each with the global options added, and a hint for a key that is not there."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb and let it take the global options too."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            taken = {param.name for param in command.params}
            command.params.extend(option for option in global_options() if option.name not in taken)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # click's own signature
        """Run the verb; a `StreamNotFound` leaves with the nearest living keys noted on it."""
        try:
            return super().invoke(ctx)
        except StreamNotFound as error:
            suggest_keys(ctx.obj, error)
            raise


def global_options() -> list[click.Option]:
    """The options of every verb, made anew: each sets its field of the `Context`."""
    return [
        click.Option(
            ["--socket"],
            metavar="PATH",
            type=click.Path(),
            expose_value=False,
            callback=_set_field,
            help="Control socket of the daemon (environment: ARCLYD_SOCKET; else the default places).",
        ),
        click.Option(
            ["--json"], is_flag=True, expose_value=False, callback=_set_field, help="Answer, and fail, in JSON."
        ),
        click.Option(
            ["--no-color", "color"],
            flag_value=False,
            default=True,
            type=bool,
            expose_value=False,
            callback=_set_field,
            help="No colours (environment: NO_COLOR).",
        ),
    ]


def _set_field(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Put a given option into the `Context`, for this verb and for what is done after it failed."""
    root = ctx.find_root()
    if param.name is None or ctx.get_parameter_source(param.name) is click.core.ParameterSource.DEFAULT:
        return
    root.obj = ctx.obj = replace(root.obj or Context(), **{param.name: value})


def _keep_context(ctx: click.Context) -> None:
    ctx.obj = ctx.obj or Context()


cli: Final = ArclyctlGroup(
    "arclyctl",
    verbs=VERBS,
    callback=click.pass_context(_keep_context),
    params=[*global_options(), version_option("arclyctl")],
    help="Look at a running arclyd and steer it.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
"""The command."""


def wants_json(words: Sequence[str]) -> bool:
    """Is ``--json`` among the words? Errors need it even where the command line could not be parsed."""
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options


def main() -> int:
    """Run the command line of this process; returns the exit code."""
    words = sys.argv[1:]
    return run(cli, "arclyctl", words, as_json=wants_json(words))

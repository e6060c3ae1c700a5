"""`arclyctl events`: what happened, and what happens."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click
from rich.text import Text

from arclyctl import units
from arclyctl.render import facts_text
from arclyd.command_line import clean

if TYPE_CHECKING:
    from rich.console import Console

    from arclyctl.context import Context
    from arclyd.control.reports import Event

KIND_STYLES: Final = MappingProxyType(
    {
        "publish_started": "green",
        "publish_resumed": "green",
        "publish_interrupted": "yellow",
        "publish_replaced": "yellow",
        "gap": "yellow",
        "gop_not_joinable": "yellow",
        "evicted": "bold red",
        "kicked": "bold red",
        "reaped": "bold red",
        "refused": "bold red",
    }
)


@click.command
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens from now, until Ctrl-C.")
@click.option("--since", type=click.IntRange(min=0), metavar="N", help="From event number N on.")
@click.pass_obj
def events(context: Context, *, follow: bool, since: int | None) -> None:
    """Print the events the daemon still keeps, oldest first, one a line; with --follow those to come.

    --follow alone begins with the next event; --follow --since 0 with all there are. With --json each event is
    an object on a line of its own.
    """
    begin = since if since is not None else None if follow else 0
    console = context.console()
    with context.connect() as control:
        for event in control.events(since=begin, follow=follow):
            if context.json:
                context.emit(event)
            else:
                print_event(console, event)


def print_event(console: Console, event: Event) -> None:
    """One line for the event; one more before it where events were missed."""
    if event.missed:
        console.print(Text(f"… {event.missed} events before this one were missed", style="yellow"), soft_wrap=True)
    line = Text(f"{units.clock(event.time_ms)}  {event.seq:>6}  ")
    line.append(f"{clean(event.kind):<19}", style=KIND_STYLES.get(event.kind, ""))
    line.append("  ".join(["", *filter(None, (clean(event.key), clean(facts_text(event.facts))))]))
    console.print(line, soft_wrap=True)

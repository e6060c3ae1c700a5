"""`arclyctl gop`: the join points of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arclyctl.render import show
from arclyctl.tables import gop_table
from arclyctl.types import StreamKey
from arclyd.control.messages import GopIndex

if TYPE_CHECKING:
    from arclyctl.context import Context


@click.command
@click.argument("key", type=StreamKey())
@click.pass_obj
def gop(context: Context, key: str) -> None:
    """Show the join points of the stream KEY that are in its index, oldest first, and which can be joined at."""
    with context.connect() as control:
        entries = tuple(control.gop_index(key))
    if context.json:
        context.emit(GopIndex(key, entries))
    elif entries:
        console = context.console()
        show(console, gop_table(console, entries))
    else:
        click.echo(f"{key} has no join point yet: no keyframe was published", err=True)

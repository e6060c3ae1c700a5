"""`arclyctl subscribers`: who reads, and how far behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arclyctl.render import show
from arclyctl.tables import subscribers_table
from arclyctl.types import StreamKey
from arclyd.control.messages import SubscriberList

if TYPE_CHECKING:
    from arclyctl.context import Context


@click.command
@click.argument("key", type=StreamKey(), required=False)
@click.pass_obj
def subscribers(context: Context, key: str | None) -> None:
    """Show the subscribers of the stream KEY, or of all streams.

    The lag is measured against the stream's head at this moment, also of a subscriber that is frozen.
    """
    with context.connect() as control:
        found = tuple(control.subscribers(key))
    if context.json:
        context.emit(SubscriberList(found))
    elif found:
        console = context.console()
        show(console, subscribers_table(console, found))
    else:
        click.echo(f"no subscribers{f' on {key}' if key else ''}", err=True)

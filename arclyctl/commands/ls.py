"""`arclyctl ls`: the streams there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arclyctl.render import show
from arclyctl.tables import streams_table
from arclyctl.types import AppName
from arclyd.control.messages import StreamList

if TYPE_CHECKING:
    from arclyctl.context import Context


@click.command
@click.argument("app", type=AppName(), required=False)
@click.pass_obj
def ls(context: Context, app: str | None) -> None:
    """List the streams, all of them or those of one application APP."""
    with context.connect() as control:
        streams = tuple(control.list_streams(app))
    if context.json:
        context.emit(StreamList(streams))
    elif streams:
        console = context.console()
        show(console, streams_table(console, streams))
    else:
        where = f" in application {app!r}" if app else ""
        click.echo(f"no streams{where}", err=True)

"""`arclyctl end`: end a stream for everybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arclyctl.types import StreamKey

if TYPE_CHECKING:
    from arclyctl.context import Context


@click.command
@click.argument("key", type=StreamKey())
@click.pass_obj
def end(context: Context, key: str) -> None:
    """End the stream KEY for everybody, its publisher included.

    Readers still get the frames that are in the ring, then the end.
    """
    with context.connect() as control:
        control.end(key)
    if context.json:
        context.emit({"key": key})
    else:
        click.echo(f"ended {key}")

"""`arclyctl kick`: end one party of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arclyctl.types import StreamKey, SubscriberId

if TYPE_CHECKING:
    from arclyctl.context import Context


@click.command
@click.argument("key", type=StreamKey())
@click.argument("id", type=SubscriberId())
@click.pass_obj
def kick(context: Context, key: str, id: int) -> None:
    """End the subscriber ID of the stream KEY; ID 0 is its publisher.

    The ids are those `arclyctl subscribers` shows. The one kicked is told so and may come back.
    """
    with context.connect() as control:
        control.kick(key, id)
    if context.json:
        context.emit({"key": key, "id": id})
    else:
        click.echo(f"kicked {f'subscriber {id}' if id else 'the publisher'} of {key}")

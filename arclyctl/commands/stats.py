"""`arclyctl stats`: live figures, once or again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live

from arclyctl.render import show, to_plain
from arclyctl.tables import stats_table, tracks_table
from arclyctl.types import StreamKey
from arclyctl.watch import ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyctl.context import Context
    from arclyd.client import Control
    from arclyd.control.reports import StreamInfo


@click.command
@click.argument("key", type=StreamKey(), required=False)
@click.option("--watch", "-w", is_flag=True, help="Look again and again until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="Look N times, then stop (implies --watch).")
@click.pass_obj
def stats(context: Context, key: str | None, *, watch: bool, interval: float, count: int | None) -> None:
    """Show live rates and totals of the stream KEY, or of all streams.

    With --json one object is printed for each look, on a line of its own.
    """
    looks = count if count is not None else None if watch else 1
    with context.connect() as control:
        if context.json:
            for _ in ticks(interval, looks):
                context.emit(stats_json(key, sample(control, key)))
        else:
            _show(context, control, key, interval, looks)


def sample(control: Control, key: str | None) -> Sequence[StreamInfo]:
    """The stream of that key, or all."""
    return (control.info(key),) if key else tuple(control.list_streams())


def stats_json(key: str | None, streams: Sequence[StreamInfo]) -> object:
    """One stream's figures where one was asked for, else ``{"streams": […]}``."""
    figures = [_figures(stream) for stream in streams]
    return figures[0] if key else {"streams": figures}


def _figures(stream: StreamInfo) -> dict[str, object]:
    """The fields of `Qos`, with the state and the picture's size beside them."""
    qos = to_plain(stream.qos)
    assert isinstance(qos, dict)
    said = stream.metadata
    return {**qos, "state": list(stream.state), "width": said.width, "height": said.height}


def _show(context: Context, control: Control, key: str | None, interval: float, looks: int | None) -> None:
    console = context.console()
    if looks == 1 or not console.is_terminal:
        for number in ticks(interval, looks):
            if number:
                console.print()
            show(console, *_tables(console, key, sample(control, key)))
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        for _ in ticks(interval, looks):
            live.update(Group(*_tables(console, key, sample(control, key))), refresh=True)


def _tables(console: Console, key: str | None, streams: Sequence[StreamInfo]) -> list[RenderableType]:
    tables: list[RenderableType] = [stats_table(console, streams)]
    if key:
        tables.append(tracks_table(console, streams[0].qos.tracks))
    return tables

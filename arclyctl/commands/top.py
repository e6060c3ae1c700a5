"""`arclyctl top`: all streams on the full screen, live."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from arclyctl import units
from arclyctl.keyboard import single_keys
from arclyctl.tables import stats_table
from arclyctl.types import AppName
from arclyd.command_line import clean
from arclyd.errors import ArclydError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from arclyctl.context import Context
    from arclyd.control.reports import StreamInfo, Version

ORDERS: Final[Mapping[str, Callable[[StreamInfo], tuple[float, str]]]] = MappingProxyType(
    {
        "key": lambda stream: (0.0, stream.key),
        "bitrate": lambda stream: (-(stream.qos.video_bitrate_bps + stream.qos.audio_bitrate_bps), stream.key),
        "fps": lambda stream: (-stream.qos.fps, stream.key),
        "subs": lambda stream: (-stream.subscribers, stream.key),
        "idle": lambda stream: (-stream.qos.idle_seconds, stream.key),
    }
)
"""What `--sort`, and the first letter of each as a key press, orders the streams by."""

PATIENCE: Final = 2.0
"""Seconds one look may take before the screen says that the daemon is silent."""


@dataclass(frozen=True, slots=True)
class View:
    """What is on the screen; ``problem`` is why there is nothing newer."""

    version: Version | None = None
    streams: Sequence[StreamInfo] = ()
    problem: str = ""


@click.command
@click.argument("app", type=AppName(), required=False)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks.",
)
@click.option("--sort", type=click.Choice(list(ORDERS)), default="key", show_default=True, help="Order of the lines.")
@click.pass_obj
def top(context: Context, app: str | None, interval: float, sort: str) -> None:
    """Watch all streams, or those of APP, on the full screen.

    \b
    q or Ctrl-C   quit
    k b f s i     order by key, bitrate, fps, subscribers, idle time
    """
    console = context.console()
    if context.json or not console.is_terminal:
        raise click.UsageError("top needs a terminal; in a script: arclyctl stats --watch --json")
    try:
        _run(context, console, app, interval, sort)
    except (KeyboardInterrupt, click.Abort):
        return  # one of the two ways to leave


def _run(context: Context, console: Console, app: str | None, interval: float, sort: str) -> None:
    order = sort
    letters = {name[0]: name for name in ORDERS}
    view = View()
    with single_keys() as keyboard, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            view = look(context, app, view)
            live.update(screen(console, view, order), refresh=True)
            key = keyboard.wait(interval)
            if key in {"q", "Q"}:
                return
            order = letters.get(key.lower(), order)


def look(context: Context, app: str | None, before: View) -> View:
    """The daemon's answer now; where it does not answer, what it said before and why there is no more.

    A new connection each time: a daemon that was restarted is found again.
    """
    try:
        with context.connect(timeout=PATIENCE) as control:
            return View(control.version(), tuple(control.list_streams(app)))
    except ArclydError as error:
        return View(before.version, before.streams, str(error))


def screen(console: Console, view: View, order: str) -> RenderableType:
    """Head line, table and key help."""
    streams = sorted(view.streams, key=ORDERS[order])
    shown = streams[: max(1, console.height - 7)]
    parts: list[RenderableType] = [_head(view), stats_table(console, shown)]
    if len(shown) < len(streams):
        parts.append(Text(f"… and {len(streams) - len(shown)} more", style="dim"))
    if view.problem:
        parts.append(Text(clean(view.problem), style="bold red"))
    parts.append(Text(f"ordered by {order} · k b f s i order · q quit", style="dim"))
    return Group(*parts)


def _head(view: View) -> Text:
    rates = sum(stream.qos.video_bitrate_bps + stream.qos.audio_bitrate_bps for stream in view.streams)
    readers = sum(stream.subscribers for stream in view.streams)
    memory = sum(stream.region_bytes for stream in view.streams)
    who = f"arclyd {clean(view.version.version)} (process {view.version.pid})" if view.version else "arclyd"
    return Text(
        f"{who} · {len(view.streams)} streams · {units.rate(rates)} · {readers} subscribers · "
        f"{units.size(memory)} in regions",
        style="bold",
    )

"""`arclyd package hls|dash KEY...`: the shell around the roster and what it is served by."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from arclyd.control.keys import parse_key
from arclyd.packagers.channel import Settings
from arclyd.packagers.http.plane import Plane
from arclyd.packagers.http.server import serving
from arclyd.packagers.roster import Roster, Wanted
from arclyd.packagers.segmenter import Cutting

if TYPE_CHECKING:
    from collections.abc import Iterator


def address(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[str | None, int]:
    """Host and port of ``HOST:PORT``, ``:PORT`` or ``[V6]:PORT``; no host: all addresses."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is no HOST:PORT")
    return host.strip("[]") or None, int(port)


@click.command
@click.argument("kind", type=click.Choice(("hls", "dash")))
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--app", "apps", multiple=True, metavar="NAME", help="All streams of that application; may be repeated.")
@click.option(
    "--bind", default=":8888", show_default=True, callback=address, metavar="HOST:PORT", help="Where to serve."
)
@click.option("--segment", type=click.FloatRange(0.5, 60), default=2, show_default=True, help="Seconds of a segment.")
@click.option(
    "--part", type=click.FloatRange(0.1, 5), default=0.2, show_default=True, help="Seconds of an LL-HLS part."
)
@click.option("--window", type=click.FloatRange(4, 3600), default=30, show_default=True, help="Seconds listed.")
@click.option("--low-latency/--no-low-latency", default=True, show_default=True, help="Parts in HLS, chunks in DASH.")
@click.option("--name", default="package", show_default=True, help="Tells packagers of one stream apart.")
@click.option("--socket", type=click.Path(), help="Control socket of the daemon (environment: ARCLYD_SOCKET).")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def package(
    kind: str,
    keys: tuple[str, ...],
    *,
    apps: tuple[str, ...],
    bind: tuple[str | None, int],
    segment: float,
    part: float,
    window: float,
    low_latency: bool,
    name: str,
    socket: str | None,
    quiet: bool,
) -> None:
    """Package the streams KEY with their renditions KEY~VARIANT, those of applications, or all, as they come.

    They are served over HTTP from memory: /APP/NAME/index.m3u8 and /APP/NAME/manifest.mpd, whichever was asked for.
    """
    del kind
    for key in keys:
        parse_key(key)
    logging.basicConfig(level=logging.ERROR if quiet else logging.INFO, format="arclyd: %(message)s")
    cutting = Cutting(Fraction(str(segment)), Fraction(str(part)))
    settings = Settings(cutting, Fraction(str(window)), low_latency=low_latency, name=name)
    roster = Roster(Wanted(frozenset(keys), frozenset(apps)), settings, socket)
    asyncio.run(_serve(roster, bind))


async def _serve(roster: Roster, bind: tuple[str | None, int]) -> None:
    with _stopped() as stop:
        async with serving(Plane(roster), *bind) as (host, port):
            click.echo(f"arclyd: serving on http://{host}:{port}", err=True)
            packaging = asyncio.create_task(roster.run())
            waiting = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({packaging, waiting}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
                packaging.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await packaging


@contextlib.contextmanager
def _stopped() -> Iterator[asyncio.Event]:
    """Set by the first SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

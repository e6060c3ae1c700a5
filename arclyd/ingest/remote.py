"""`arclyd pull URL KEY` and `arclyd push KEY URL`: a line of the table a scheme, and what all have in common."""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from arclyd.client.publisher import POLICIES
from arclyd.control.keys import parse_key
from arclyd.ingest import on_demand as demand
from arclyd.ingest.again import again_and_again
from arclyd.ingest.listening import process_options

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMES: Final = {
    "rtmp": "arclyd.ingest.rtmp.remote",
    "rtmps": "arclyd.ingest.rtmp.remote",
    "rtsp": "arclyd.ingest.rtsp.remote",
    "rtsps": "arclyd.ingest.rtsp.remote",
    "srt": "arclyd.ingest.srt.remote",
    "udp": "arclyd.ingest.mpegts.remote",
}
"""Which module pulls and pushes what."""


def _room(url: str, verb: str) -> Callable[..., None]:
    """The function that does ``verb`` with that URL."""
    module = SCHEMES.get(url.partition("://")[0])
    if module is None:
        raise click.BadParameter(f"a URL starts with {', '.join(f'{name}://' for name in SCHEMES)}", param_hint="URL")
    function: Callable[..., None] = getattr(importlib.import_module(module), verb)
    return function


@click.command
@click.argument("url")
@click.argument("key")
@click.option(
    "--on-taken", type=click.Choice(POLICIES[:2]), help="If the key has a publisher (else: the application's)."
)
@click.option("--no-verify", is_flag=True, help="Take any TLS certificate.")
@click.option("--on-demand", is_flag=True, help="Only while somebody wants the stream.")
@click.option(
    "--linger",
    type=click.FloatRange(1, 3600),
    default=10,
    show_default=True,
    help="Seconds without a subscriber after which it is not wanted.",
)
@process_options
def pull(
    url: str, key: str, *, on_taken: str | None, no_verify: bool, on_demand: bool, linger: float, socket: str | None
) -> None:
    """Fetch the stream at URL and publish it as KEY, again and again until told to stop.

    A connection that can't be made, or breaks, is tried again after 1 s, and after twice as long each time up to 30 s;
    the stream is interrupted meanwhile.

    With --on-demand the first who asks for the stream has it fetched; a packager of all streams, or a recorder, is
    one of its subscribers.
    """
    parse_key(key)
    work = _room(url, "pull")
    wanted = partial(demand.on_demand, key=key, socket=socket, linger=linger)
    repeat = wanted if on_demand else again_and_again
    work(url, key, repeat=repeat, on_taken=on_taken, verify=not no_verify, socket=socket)


@click.command
@click.argument("key")
@click.argument("url")
@click.option("--no-verify", is_flag=True, help="Take any TLS certificate.")
@process_options
def push(key: str, url: str, *, no_verify: bool, socket: str | None) -> None:
    """Send the stream KEY to the server at URL, whenever there is one, until told to stop.

    A connection that can't be made, or breaks, is tried again after 1 s, and after twice as long each time up to 30 s;
    each begins with the newest keyframe.
    """
    parse_key(key)
    work = _room(url, "push")
    work(key, url, verify=not no_verify, socket=socket)

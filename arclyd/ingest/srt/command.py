"""`arclyd listen srt`: the shell around the SRT gateway."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from arclyd.ingest.listening import bind_option, limit_options, process_options, serve
from arclyd.ingest.srt import passphrases
from arclyd.ingest.srt.server import listening
from arclyd.protocols.srt.address import LATENCY_MS, MAX_LATENCY_MS

if TYPE_CHECKING:
    from arclyd.ingest.limits import Limits


@click.command
@bind_option(":8890")
@click.option(
    "--latency",
    type=click.IntRange(0, MAX_LATENCY_MS),
    default=LATENCY_MS,
    show_default=True,
    help="Milliseconds for lost packets to be sent again; a caller may want more.",
)
@click.option(
    "--passphrase-file",
    "secrets",
    multiple=True,
    metavar="[APP=]PATH",
    callback=passphrases.from_options,
    help="Encrypt an application's connections, or all others', with the passphrase in a file. Repeatable.",
)
@limit_options("start_seconds")
@process_options
def srt(
    bind: tuple[str | None, int], *, latency: int, secrets: passphrases.Passphrases, limits: Limits, socket: str | None
) -> None:
    """Take what encoders publish as the stream APP/NAME, and play streams, in MPEG-TS over SRT.

    The stream id says which: "#!::r=APP/NAME,m=publish,u=USER,s=PASSWORD" or "publish:APP/NAME:USER:PASSWORD", with
    m=request or read: for a player. Who may publish and play is the daemon's configuration.
    """
    serve(
        "srt",
        partial(listening, host=bind[0], port=bind[1], latency=latency, passphrases=secrets),
        limits=limits,
        socket=socket,
    )

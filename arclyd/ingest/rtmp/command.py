"""`arclyd listen rtmp`: the shell around the RTMP gateway."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arclyd import AsyncControl
from arclyd.command_line import size
from arclyd.ingest.rtmp.gateway import Gateway
from arclyd.ingest.rtmp.limits import Limits
from arclyd.ingest.rtmp.server import serving
from arclyd.protocols.rtmp.chunks import MessageLimits
from arclyd.serving import address, loop_factory, stopped, tell_address, tls_context

if TYPE_CHECKING:
    import ssl

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command
@click.option(
    "--bind", default=":1935", show_default=True, callback=address, metavar="HOST:PORT", help="Where to listen."
)
@click.option("--tls-cert", type=FILE, help="Certificate chain (PEM): speak RTMPS.")
@click.option("--tls-key", type=FILE, help="Its private key (PEM), if it is in another file.")
@click.option("--max-connections", type=click.IntRange(min=1), default=1024, show_default=True, help="At once.")
@click.option("--max-per-address", type=click.IntRange(min=0), default=0, help="Of one address (0: no bound).")
@click.option("--max-rate", type=size, default="24MiB", show_default=True, help="Bytes a second of one (0: no bound).")
@click.option("--max-video", type=size, default="8MiB", show_default=True, help="Largest picture.")
@click.option("--max-audio", type=size, default="1MiB", show_default=True, help="Largest frame of sound.")
@click.option(
    "--start", type=click.FloatRange(1, 600), default=10, show_default=True, help="Seconds to publish or play."
)
@click.option(
    "--idle", type=click.FloatRange(1, 3600), default=10, show_default=True, help="Seconds an encoder may be silent."
)
@click.option(
    "--stalled", type=click.FloatRange(1, 600), default=10, show_default=True, help="Seconds a player may take nothing."
)
@click.option("--socket", type=click.Path(), help="Control socket of the daemon (environment: ARCLYD_SOCKET).")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def rtmp(
    bind: tuple[str | None, int],
    *,
    tls_cert: Path | None,
    tls_key: Path | None,
    max_connections: int,
    max_per_address: int,
    max_rate: int,
    max_video: int,
    max_audio: int,
    start: float,
    idle: float,
    stalled: float,
    socket: str | None,
    quiet: bool,
) -> None:
    """Take what encoders publish to rtmp://HOST/APP/NAME as the stream APP/NAME, and play streams from there.

    H.264, AAC and MP3 as RTMP always had them; H.265, AV1, VP9, Opus and several tracks by Enhanced RTMP. Who may
    publish and play is the daemon's configuration; credentials come in the URL: ?user=NAME&pass=PASSWORD,
    ?secret=SECRET or ?token=TOKEN.
    """
    if tls_key is not None and tls_cert is None:
        raise click.UsageError("--tls-key needs --tls-cert")
    logging.basicConfig(level=logging.ERROR if quiet else logging.INFO, format="arclyd: %(message)s")
    limits = Limits(
        start_seconds=start,
        idle_seconds=idle,
        stalled_seconds=stalled,
        connections=max_connections,
        per_address=max_per_address,
        rate=max_rate,
        messages=MessageLimits(max_video, max_audio),
    )
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(bind, tls_context(tls_cert, tls_key), limits, socket))


async def _run(bind: tuple[str | None, int], tls: ssl.SSLContext | None, limits: Limits, socket: str | None) -> None:
    scheme = "rtmps" if tls else "rtmp"
    async with AsyncControl(socket, name=f"listen {scheme}") as control:
        await control.version()  # a daemon that is not there is told now
        gateway = Gateway(control, limits, scheme)
        with stopped() as stop:
            async with serving(gateway, *bind, tls) as (host, port):
                tell_address(scheme, host, port)
                await stop.wait()

"""`arclyd listen mpegts`: the shell around the gateway for transport streams."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import click

from arclyd import AsyncControl
from arclyd.command_line import size
from arclyd.control.keys import parse_key
from arclyd.ingest.gateway import Gateway
from arclyd.ingest.limits import Limits
from arclyd.ingest.mpegts import byte_stream, datagrams
from arclyd.ingest.mpegts.address import Address
from arclyd.serving import loop_factory, stopped, tell_address

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager


@click.command
@click.argument("url")
@click.argument("key", required=False)
@click.option("--max-connections", type=click.IntRange(min=1), default=1024, show_default=True, help="At once.")
@click.option("--max-per-address", type=click.IntRange(min=0), default=0, help="Of one address (0: no bound).")
@click.option("--max-rate", type=size, default="24MiB", show_default=True, help="Bytes a second of one (0: no bound).")
@click.option("--max-video", type=size, default="8MiB", show_default=True, help="Largest picture.")
@click.option("--max-audio", type=size, default="1MiB", show_default=True, help="Largest packet of sound.")
@click.option(
    "--idle", type=click.FloatRange(1, 3600), default=10, show_default=True, help="Seconds a sender may be silent."
)
@click.option("--socket", type=click.Path(), help="Control socket of the daemon (environment: ARCLYD_SOCKET).")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def mpegts(
    url: str,
    key: str | None,
    *,
    max_connections: int,
    max_per_address: int,
    max_rate: int,
    max_video: int,
    max_audio: int,
    idle: float,
    socket: str | None,
    quiet: bool,
) -> None:
    """Take the transport stream that comes to URL as the stream KEY.

    URL is udp://HOST:PORT (a group: multicast), tcp://HOST:PORT, or http://HOST:PORT. By HTTP any number of senders
    PUT or POST to /APP/NAME, which is the key then. Behind a "?": program=N for one of several programs; for
    multicast interface=NAME and source=ADDRESS, joined by "&".

    Who may publish is the daemon's configuration.
    """
    address = Address.parse(url)
    if (key is None) != (address.scheme == "http"):
        raise click.UsageError("KEY is needed, but with http://, where senders name it")
    if key is not None:
        parse_key(key)
    logging.basicConfig(level=logging.ERROR if quiet else logging.INFO, format="arclyd: %(message)s")
    limits = Limits(
        idle_seconds=idle,
        connections=max_connections,
        per_address=max_per_address,
        rate=max_rate,
        video=max_video,
        audio=max_audio,
    )
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(address, key or "", limits, socket))


def _listening(gateway: Gateway, key: str, address: Address) -> AbstractAsyncContextManager[tuple[str, int]]:
    if address.scheme == "udp":
        return datagrams.listening(gateway, key, address)
    if address.scheme == "tcp":
        return byte_stream.listening(gateway, key, address)
    from arclyd.ingest.mpegts import http  # noqa: PLC0415 - aiohttp comes with an extra that the others do without

    return http.listening(gateway, address)


async def _run(address: Address, key: str, limits: Limits, socket: str | None) -> None:
    async with AsyncControl(socket, name=f"listen mpegts {address}") as control:
        await control.version()  # a daemon that is not there is told now
        gateway = Gateway(control, limits, f"mpegts+{address.scheme}")
        with stopped() as stop:
            async with gateway.attended(), _listening(gateway, key, address) as (host, port):
                tell_address(address.scheme, host, port)
                await stop.wait()

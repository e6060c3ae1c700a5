"""`arclyd listen mpegts`: the shell around the gateway for transport streams."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from arclyd.control.keys import parse_key
from arclyd.ingest.listening import limit_options, process_options, serve
from arclyd.ingest.mpegts import byte_stream, datagrams
from arclyd.ingest.mpegts.address import Address

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.limits import Limits


@click.command
@click.argument("url")
@click.argument("key", required=False)
@limit_options("stalled_seconds")
@process_options
def mpegts(url: str, key: str | None, *, limits: Limits, socket: str | None) -> None:
    """Take the transport stream that comes to URL as the stream KEY.

    URL is udp://HOST:PORT (a group: multicast), tcp://HOST:PORT, or http://HOST:PORT. By HTTP any number of senders
    PUT or POST to /APP/NAME, which is the key then, and FLV is taken as well. Behind a "?": program=N for one of
    several programs; for multicast interface=NAME and source=ADDRESS, joined by "&".

    Who may publish is the daemon's configuration.
    """
    address = Address.parse(url)
    if (key is None) != (address.scheme == "http"):
        raise click.UsageError("KEY is needed, but with http://, where senders name it")
    if key is not None:
        parse_key(key)
    serve(
        f"mpegts+{address.scheme}",
        partial(_listening, key=key or "", address=address),
        limits=limits,
        socket=socket,
        name=f"listen mpegts {address}",
        scheme=address.scheme,
    )


def _listening(gateway: Gateway, key: str, address: Address) -> AbstractAsyncContextManager[tuple[str, int]]:
    if address.scheme == "udp":
        return datagrams.listening(gateway, key, address)
    if address.scheme == "tcp":
        return byte_stream.listening(gateway, key, address)
    from arclyd.ingest.mpegts import http  # noqa: PLC0415 - aiohttp comes with an extra that the others do without

    return http.listening(gateway, address)

"""The listening socket of the RTSP gateway."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from arclyd.ingest.rtsp.connection import Connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from arclyd.ingest.gateway import Gateway

BACKLOG: Final = 512
TLS_SECONDS: Final = 10.0


@asynccontextmanager
async def listening(
    gateway: Gateway, host: str | None, port: int, tls: ssl.SSLContext | None, ports: range | None
) -> AsyncIterator[tuple[str, int]]:
    """Listen while entered; gives the address in use. ``ports``: for datagrams, None: those the system chooses."""
    tunnels: dict[str, Connection] = {}
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(gateway, ports, tunnels),
        host,
        port,
        ssl=tls,
        backlog=BACKLOG,
        ssl_handshake_timeout=TLS_SECONDS if tls else None,
    )
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()

"""The listening socket of the RTMP gateway, and its second hand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from arclyd.ingest.rtmp.connection import Connection

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from arclyd.ingest.rtmp.gateway import Gateway

BACKLOG: Final = 512
TICK_SECONDS: Final = 1.0
TLS_SECONDS: Final = 10.0


@asynccontextmanager
async def serving(
    gateway: Gateway, host: str | None, port: int, tls: ssl.SSLContext | None
) -> AsyncIterator[tuple[str, int]]:
    """Serve while entered; gives the address in use. At the end streams are interrupted: their encoders come back."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        lambda: Connection(gateway),
        host,
        port,
        ssl=tls,
        backlog=BACKLOG,
        ssl_handshake_timeout=TLS_SECONDS if tls else None,
    )
    ticking = asyncio.create_task(_tick(gateway))
    try:
        yield listening.sockets[0].getsockname()[:2]
    finally:
        listening.close()
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
        for connection in list(gateway.connections):
            connection.close("the gateway ends", abort=True)
        await asyncio.sleep(0)  # for them to be told so
        with contextlib.suppress(TimeoutError):
            await gateway.aclose()


async def _tick(gateway: Gateway) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        now = time.monotonic()
        for connection in list(gateway.connections):
            connection.tick(now)

"""The server's socket and what holds for every request."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from arclyd.packagers.http.plane import Plane


@asynccontextmanager
async def serving(
    plane: Plane, host: str | None, port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, int]]:
    """Serve ``plane`` while entered; gives the address in use."""
    app = web.Application()
    app.router.add_get("/{app}/{name}/{file}", plane.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        yield runner.addresses[0][:2]
    finally:
        await runner.cleanup()

"""The server's socket and what holds for every request: limits, tokens, who may read the answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import web

from arclyd.control import tokens
from arclyd.http_guard import Expected, Guard, Limits
from arclyd.packagers.http import answers
from arclyd.packagers.http.admission import admits

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable

    from aiohttp.typedefs import Handler, Middleware

BACKLOG: Final = 1024
AT_ONCE: Final = 16
"""Connections that are accepted before others get their turn again: each takes about half a millisecond."""
SEND_BUFFER: Final = 256 << 10
"""Bytes the kernel keeps of what a client has yet to take: 20 Mb/s over 100 ms. Without a bound it goes to megabytes,
which are copied for nothing where the client never reads."""

KEEPALIVE_SECONDS: Final = 20.0
FAREWELL_SECONDS: Final = 1.0
"""At the end, for answers that are on their way; endless ones have none."""


@dataclass(frozen=True, slots=True)
class Front:
    """Where and how it is served. No ``host``: all addresses. ``secret``: requests need a token made with it."""

    host: str | None = None
    port: int = 8888
    tls: ssl.SSLContext | None = None
    secret: bytes | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)


@asynccontextmanager
async def serving(routes: Iterable[web.RouteDef], front: Front) -> AsyncIterator[tuple[str, int]]:
    """Serve ``routes`` while entered; gives the address in use. What has a ``file`` of a stream may need a token."""
    app = web.Application(client_max_size=0)
    app.router.add_routes(routes)
    app.on_response_prepare.append(_common_headers)
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,  # a viewer that left waits for nothing any more
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=FAREWELL_SECONDS,
    )
    logging.getLogger("aiohttp.server").addFilter(Expected())
    guard = Guard(front.limits)
    app.middlewares.extend((_guarded(guard), _authorized(front.secret)))
    await runner.setup()
    assert runner.server is not None
    guard.watch(runner.server)
    watching = asyncio.create_task(guard.run())
    try:
        listening = await asyncio.get_running_loop().create_server(
            guard.protocol,
            front.host,
            front.port,
            ssl=front.tls,
            ssl_handshake_timeout=front.limits.idle_seconds if front.tls else None,
            backlog=AT_ONCE,
        )
        for each in listening.sockets:  # what they accept inherits it
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            with socket.socket(fileno=os.dup(each.fileno())) as same:  # the event loop's own can't be told
                same.listen(BACKLOG)
        try:
            yield listening.sockets[0].getsockname()[:2]
        finally:
            listening.close()
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await runner.cleanup()


def _guarded(guard: Guard) -> Middleware:
    """Tell the guard which connections wait for an answer."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        guard.begin(request.protocol)
        try:
            return await handler(request)
        finally:
            guard.done(request.protocol)

    return guarded


def _authorized(secret: bytes | None) -> Middleware:
    """Refuse who has no token, where one is needed. A browser's question whether it may ask has none (Fetch, 3.2.2)."""

    @web.middleware
    async def authorized(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "OPTIONS":
            return web.Response(status=204)
        part = request.match_info
        token = request.query.get(tokens.PARAMETER, "")
        if "file" in part and not admits(secret, f"{part['app']}/{part['name']}", token):
            raise web.HTTPForbidden
        return await handler(request)

    return authorized


async def _common_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(answers.COMMON)

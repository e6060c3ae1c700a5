"""The server's socket and what holds for every request: limits, tokens, who may read the answer."""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import web

from arclyd.control import tokens
from arclyd.http_guard import Guard, Limits
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
    guard = Guard(front.limits)
    app.middlewares.extend((guard.middleware, _authorized(front.secret)))
    async with guard.serving(app, front.host, front.port, tls=front.tls, backlog=AT_ONCE) as server:
        for each in server.sockets:  # what they accept inherits it
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            with socket.socket(fileno=os.dup(each.fileno())) as same:  # the event loop's own can't be told
                same.listen(BACKLOG)
        yield server.sockets[0].getsockname()[:2]


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

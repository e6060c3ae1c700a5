"""Streams in the body of an HTTP request: ``PUT /APP/NAME`` or ``POST``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from arclyd import http_guard
from arclyd.control.keys import parse_key
from arclyd.errors import AlreadyPublishing, ArclydError, InvalidKey, MediaError, Unauthorized, WireError
from arclyd.ingest.mpegts.upload import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.mpegts.address import Address

_STATUS: Final = {AlreadyPublishing: 409, MediaError: 400, WireError: 400}
"""What is answered to a stream that can't be published; to others: 503."""


async def _handle(gateway: Gateway, guard: http_guard.Guard, request: web.Request) -> web.StreamResponse:
    key = f"{request.match_info['app']}/{request.match_info['name']}"
    try:
        parse_key(key)
    except InvalidKey as error:
        return web.Response(status=404, text=f"{error}\n")
    upload = Upload(gateway, key, request)
    if problem := gateway.census.enter(upload.host):
        return _refusal(503, problem)
    gateway.connections.add(upload)
    guard.begin(request.protocol)  # whose body is a stream is looked after by the gateway from here on
    try:
        await upload.run()
    except Unauthorized:
        return _refusal(401 if not upload.owner[1] else 403, "not allowed")
    except ArclydError as error:
        return _refusal(next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 503), str(error))
    finally:
        guard.done(request.protocol)
        gateway.connections.discard(upload)
        gateway.census.leave(upload.host)
    return web.Response(status=201)


def _refusal(status: int, reason: str) -> web.Response:
    headers = {"Connection": "close"}
    if status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="arclyd", charset="UTF-8"'
    return web.Response(status=status, text=f"{reason}\n", headers=headers)


@asynccontextmanager
async def listening(gateway: Gateway, address: Address) -> AsyncIterator[tuple[str, int]]:
    """Listen while entered; gives the address in use."""
    limits = gateway.limits
    bounds = http_guard.Limits(
        limits.connections, idle_seconds=limits.start_seconds, stalled_seconds=limits.stalled_seconds
    )
    guard = http_guard.Guard(bounds)
    handle = partial(_handle, gateway, guard)
    app = web.Application()
    app.router.add_put("/{app}/{name}", handle)
    app.router.add_post("/{app}/{name}", handle)
    async with guard.serving(app, address.host or None, address.port) as server:
        try:
            yield server.sockets[0].getsockname()[:2]
        finally:
            for connection in list(gateway.connections):
                connection.close("the gateway ends", abort=True)

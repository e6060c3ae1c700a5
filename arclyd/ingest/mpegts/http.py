"""Transport streams in the body of an HTTP request: ``PUT /APP/NAME`` or ``POST``, as long as the stream lasts."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from arclyd.control.keys import parse_key
from arclyd.errors import AlreadyPublishing, ArclydError, InvalidKey, Unauthorized
from arclyd.ingest.credentials import shown_in_header, shown_in_query
from arclyd.ingest.limits import Bucket
from arclyd.ingest.ts.reception import Reception
from arclyd.serving import host_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.mpegts.address import Address

log: Final = logging.getLogger(__name__)


class Upload:
    """One request whose body is a stream."""

    def __init__(self, gateway: Gateway, key: str, request: web.Request) -> None:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.host, port = (str(peer[0]), peer[1]) if peer else ("", 0)
        self.address = host_port(self.host, port)
        self._gateway = gateway
        self._request = request
        self.key = key
        self.heard_at = time.monotonic()
        self._bucket = Bucket(gateway.limits.rate, self.heard_at)
        self._shown = shown_in_header(request.headers.get("Authorization", "")) | shown_in_query(request.query)
        self._closing = ""
        program = request.query.get("program", "")
        self._reception = Reception(
            gateway,
            key,
            self.address,
            self,
            shown=self._shown,
            program=int(program) if program.isascii() and program.isdigit() else None,
        )

    @property
    def owner(self) -> tuple[str, Mapping[str, str]]:
        """Its address, and what it showed."""
        return self.host, self._shown

    def give_way(self) -> None:
        """The same sender came back by another connection."""
        self.close("its sender came back by another connection", abort=True)

    def tick(self, now: float) -> None:
        """About once a second."""
        if now - self.heard_at > self._gateway.limits.idle_seconds:
            self.close(f"nothing came for {self._gateway.limits.idle_seconds:g} s", abort=True)
        else:
            self._reception.tell(now)

    def close(self, reason: str, *, abort: bool = False) -> None:
        """End it; the first reason counts."""
        del abort
        self._closing = self._closing or reason
        self._reception.interrupt()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def run(self) -> None:
        """Publish the body. Raises `ArclydError`: it may not be."""
        self._gateway.tell("connected", self.address)
        reason = "lost"
        try:
            await self._reception.admit()
            await self._read()
            reason = "the sender ended the stream"
            await self._reception.settled()
            self._reception.end()
        except ArclydError as error:
            reason = "not allowed" if isinstance(error, Unauthorized) else str(error)
            raise
        finally:
            self._reception.interrupt()
            reason = self._closing or reason
            log.info("%s: %s: %s", self.address, self.key, reason)
            self._gateway.tell("disconnected", self.address, self.key, reason)

    async def _read(self) -> None:
        async for data in self._request.content.iter_any():
            self.heard_at = now = time.monotonic()
            self._reception.receive(data)
            await self._reception.settled()
            if self._reception.refusal is not None:
                raise self._reception.refusal
            if pause := self._bucket.take(len(data), now):
                await asyncio.sleep(pause)


async def _handle(gateway: Gateway, request: web.Request) -> web.StreamResponse:
    key = f"{request.match_info['app']}/{request.match_info['name']}"
    try:
        parse_key(key)
    except InvalidKey as error:
        return web.Response(status=404, text=f"{error}\n")
    upload = Upload(gateway, key, request)
    if problem := gateway.census.enter(upload.host):
        return web.Response(status=503, text=f"{problem}\n", headers={"Connection": "close"})
    gateway.connections.add(upload)
    try:
        await upload.run()
    except Unauthorized:
        return _refusal(401 if not upload.owner[1] else 403, "not allowed")
    except AlreadyPublishing as error:
        return _refusal(409, str(error))
    except ArclydError as error:
        return _refusal(503, str(error))
    finally:
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

    async def handle(request: web.Request) -> web.StreamResponse:
        return await _handle(gateway, request)

    app = web.Application()
    app.router.add_put("/{app}/{name}", handle)
    app.router.add_post("/{app}/{name}", handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host or None, address.port)
        await site.start()
        yield runner.addresses[0][:2]
    finally:
        for connection in list(gateway.connections):
            connection.close("the gateway ends", abort=True)
        await runner.cleanup()

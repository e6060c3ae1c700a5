"""Connections of an HTTP server: how many there may be, and when one is given up. One that stalls holds up no other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

    from aiohttp.typedefs import Handler, Middleware
    from aiohttp.web_protocol import RequestHandler

AT_ONCE: Final = 16
"""Connections that are given up before others get their turn again: what ends with each takes a while."""

BACKLOG: Final = 100
KEEPALIVE_SECONDS: Final = 20.0
FAREWELL_SECONDS: Final = 1.0
"""At the end, for answers that are on their way; endless ones have none."""

REFUSAL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections at once, of all and of one address (0: no bound); seconds one may be idle, or not take what is sent.

    Idle is also who does not get to the end of a request's header.
    """

    connections: int = 4096
    per_address: int = 0
    idle_seconds: float = 20.0
    stalled_seconds: float = 10.0


@dataclass(slots=True)
class _Watched:
    """When a connection last did something, and how much it had yet to take then."""

    at: float
    unsent: int = 0


class Expected(logging.Filter):
    """Keeps requests that are no HTTP out of the log: they are answered with 400, and anybody can send them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """False: not to be logged."""
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


class Guard:
    """Watches the connections of one server, which is named by `watch`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._server: web.Server | None = None
        self._watched: dict[RequestHandler, _Watched] = {}
        self._busy: Counter[RequestHandler] = Counter()

    @property
    def middleware(self) -> Middleware:
        """Tells the guard which connections wait for an answer; for an application that does not tell by itself."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.begin(request.protocol)
            try:
                return await handler(request)
            finally:
                self.done(request.protocol)

        return guarded

    @asynccontextmanager
    async def serving(
        self,
        app: web.Application,
        host: str | None,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        backlog: int = BACKLOG,
    ) -> AsyncIterator[asyncio.Server]:
        """Serve ``app`` while entered, each connection watched. No ``host``: at all addresses."""
        logging.getLogger("aiohttp.server").addFilter(Expected())
        runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,  # a client that left waits for nothing any more
            keepalive_timeout=KEEPALIVE_SECONDS,
            shutdown_timeout=FAREWELL_SECONDS,
        )
        await runner.setup()
        assert runner.server is not None
        self.watch(runner.server)
        watching = asyncio.create_task(self.run())
        patience = self._limits.idle_seconds if tls else None
        try:
            server = await asyncio.get_running_loop().create_server(
                self.protocol, host, port, ssl=tls, ssl_handshake_timeout=patience, backlog=backlog
            )
            try:
                yield server
            finally:
                server.close()
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await runner.cleanup()

    def watch(self, server: web.Server) -> None:
        """``server`` makes the protocol of each connection, and lists them."""
        self._server = server

    def protocol(self) -> asyncio.Protocol:
        """What serves a new connection: a refusal where there are too many."""
        assert self._server is not None
        if len(self._server.connections) >= self._limits.connections:
            return _Refusing()
        return self._server()

    def begin(self, handler: RequestHandler) -> None:
        """A request of that connection is being answered."""
        self._busy[handler] += 1

    def done(self, handler: RequestHandler) -> None:
        """It was answered; what is left is to send."""
        self._busy[handler] -= 1
        if not self._busy[handler]:
            del self._busy[handler]

    async def run(self, every: float = 1.0) -> None:
        """Look at the connections for ever."""
        while True:
            await asyncio.sleep(every)
            for count, transport in enumerate(self.look(time.monotonic()), 1):
                _reset(transport)
                if not count % AT_ONCE:
                    await asyncio.sleep(0)

    def look(self, now: float) -> list[asyncio.WriteTransport]:
        """Those that are over their time, to be given up."""
        assert self._server is not None
        present = [handler for handler in self._server.connections if handler.transport is not None]
        self._watched = {handler: self._watched.get(handler) or _Watched(now) for handler in present}
        addresses: Counter[str] = Counter()
        over: list[asyncio.WriteTransport] = []
        for handler, watched in self._watched.items():
            transport = handler.transport
            assert isinstance(transport, asyncio.WriteTransport)
            address = str((transport.get_extra_info("peername") or ("",))[0])
            addresses[address] += 1
            too_many = 0 < self._limits.per_address < addresses[address]
            if too_many or self._is_over(handler, watched, transport.get_write_buffer_size(), now):
                over.append(transport)
        return over

    def _is_over(self, handler: RequestHandler, watched: _Watched, unsent: int, now: float) -> bool:
        waits_for_us = handler in self._busy and not unsent
        if waits_for_us or unsent < watched.unsent:
            watched.at = now
        watched.unsent = unsent
        return now - watched.at > (self._limits.stalled_seconds if unsent else self._limits.idle_seconds)


def _reset(transport: asyncio.WriteTransport) -> None:
    """End a connection at once, also in the kernel, which would go on sending to who does not take it."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        # Not every event loop's transport lets its socket be set; a copy of the descriptor is the same socket.
        with socket.socket(fileno=os.dup(connection.fileno())) as same:
            same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class _Refusing(asyncio.Protocol):
    """Says that there are too many, and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so."""
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(REFUSAL)
        transport.close()

"""One request whose body is a stream, as long as the stream lasts."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError, Unauthorized
from arclyd.ingest.credentials import shown_in_header, shown_in_query
from arclyd.ingest.limits import Bucket
from arclyd.ingest.mpegts.body import Body
from arclyd.ingest.reception import Reception
from arclyd.serving import host_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from arclyd.ingest.gateway import Gateway

log: Final = logging.getLogger(__name__)


class Upload:
    """A connection of the gateway, with the request that it has now."""

    def __init__(self, gateway: Gateway, key: str, request: web.Request) -> None:
        peer = request.transport.get_extra_info("peername") if request.transport else None
        self.host, port = (str(peer[0]), peer[1]) if peer else ("", 0)
        self.address = host_port(self.host, port)
        self._gateway = gateway
        self._request = request
        self.key = key
        self._began_at = self.heard_at = time.monotonic()
        self._bucket = Bucket(gateway.limits.rate, self.heard_at)
        self._shown = shown_in_header(request.headers.get("Authorization", "")) | shown_in_query(request.query)
        self._closing = ""
        program = request.query.get("program", "")
        body = Body(int(program) if program.isascii() and program.isdigit() else None, gateway.limits)
        self._reception = Reception(gateway, key, self.address, self, shown=self._shown, intake=body)

    @property
    def owner(self) -> tuple[str, Mapping[str, str]]:
        """Its address, and what it showed."""
        return self.host, self._shown

    def give_way(self) -> None:
        """The same sender came back by another connection."""
        self.close("its sender came back by another connection", abort=True)

    def tick(self, now: float) -> None:
        """About once a second."""
        limits = self._gateway.limits
        if now - self.heard_at > limits.idle_seconds:
            self.close(f"nothing came for {limits.idle_seconds:g} s", abort=True)
        elif not self._reception.begun and now - self._began_at > limits.start_seconds:
            self.close(f"no stream began in {limits.start_seconds:g} s", abort=True)
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
            await self._reception.conclude()
            if self._reception.refusal is not None:
                raise self._reception.refusal
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

"""Transport streams over TCP: a connection at a time is one stream."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

from arclyd.errors import Unauthorized
from arclyd.ingest.limits import Bucket, watch_peer
from arclyd.ingest.reception import Reception
from arclyd.ingest.ts.intake import Intake
from arclyd.serving import host_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.mpegts.address import Address

log: Final = logging.getLogger(__name__)


class ByteStream(asyncio.Protocol):
    """One connection; reading pauses while the daemon is asked, and where more comes than may."""

    def __init__(self, gateway: Gateway, key: str, program: int | None) -> None:
        self._gateway = gateway
        self._key = key
        self._program = program
        self._transport: asyncio.Transport
        self._reception: Reception
        self._host = self._address = self._closing = ""
        self._counted = self._ended = False
        self._began_at = self.heard_at = time.monotonic()
        self._bucket = Bucket(gateway.limits.rate, self.heard_at)

    @property
    def owner(self) -> tuple[str, Mapping[str, str]]:
        """Its address."""
        return self._host, {}

    def give_way(self) -> None:
        """The same sender came back by another connection."""
        self._reception.interrupt()
        self.close("its sender came back by another connection", abort=True)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or turn it away."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        self._host = str(peer[0])
        self._address = host_port(self._host, peer[1])
        intake = Intake(self._program, self._gateway.limits)
        self._reception = Reception(self._gateway, self._key, self._address, self, shown={}, intake=intake)
        if problem := self._gateway.census.enter(self._host):
            log.warning("%s: turned away: %s", self._address, problem)
            self._transport.abort()
            return
        self._counted = True
        watch_peer(transport, self._gateway.limits.idle_seconds)
        self._gateway.connections.add(self)
        self._gateway.tell("connected", self._address)

    def data_received(self, data: bytes) -> None:
        """Bytes of the sender."""
        if self._closing:
            return
        self.heard_at = now = time.monotonic()
        self._reception.receive(data)
        if self._reception.claiming:
            self._transport.pause_reading()
            self._gateway.start(self._resume())
        elif pause := self._bucket.take(len(data), now):
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(pause, self._go_on)

    async def _resume(self) -> None:
        await self._reception.settled()
        if not self._refused():
            self._go_on()

    def _go_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _refused(self) -> bool:
        error = self._reception.refusal
        if error is not None:
            self.close("not allowed" if isinstance(error, Unauthorized) else str(error), abort=True)
        return error is not None

    def eof_received(self) -> None:
        """The sender is done."""
        self._ended = True

    def connection_lost(self, error: Exception | None) -> None:
        """The end, whoever wanted it."""
        if not self._counted:
            return
        reason = self._closing or (f"lost: {error}" if error else "the sender ended the stream")
        self._closing = reason
        if self._ended and error is None:
            self._gateway.start(self._finish())
        else:
            self._reception.interrupt()
        self._gateway.connections.discard(self)
        self._gateway.census.leave(self._host)
        log.info("%s: %s: %s", self._address, self._key, reason)
        self._gateway.tell("disconnected", self._address, self._key, reason)

    async def _finish(self) -> None:
        await self._reception.conclude()

    def tick(self, now: float) -> None:
        """About once a second."""
        if self._closing or self._refused():
            return
        limits = self._gateway.limits
        if now - self.heard_at > limits.idle_seconds:
            self.close(f"nothing came for {limits.idle_seconds:g} s", abort=True)
        elif not self._reception.begun and now - self._began_at > limits.start_seconds:
            self.close(f"no program came in {limits.start_seconds:g} s", abort=True)
        else:
            self._reception.tell(now)

    def close(self, reason: str, *, abort: bool = False) -> None:
        """End the connection; the first reason counts."""
        if not self._closing:
            self._closing = reason
            if abort:
                self._transport.abort()
            else:
                self._transport.close()


@asynccontextmanager
async def listening(gateway: Gateway, key: str, address: Address) -> AsyncIterator[tuple[str, int]]:
    """Listen while entered; gives the address in use."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: ByteStream(gateway, key, address.program), address.host or None, address.port
    )
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        server.close()

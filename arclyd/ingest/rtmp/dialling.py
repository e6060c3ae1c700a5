"""A connection to an RTMP server elsewhere: made, greeted, read until it ends; and made again."""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError
from arclyd.ingest.limits import watch_peer
from arclyd.ingest.outgoing import client_tls, translated
from arclyd.protocols.rtmp.client import ClientSession, Over, Started

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arclyd.protocols.rtmp.address import Address

CONNECT_SECONDS: Final = 10.0
"""To be connected, greeted and granted what was asked for."""

IDLE_SECONDS: Final = 15.0
"""A server that sends nothing while we play has lost its stream, or us."""

CHUNK: Final = 1 << 16


class Dialled:
    """A connection that was granted what it asked for: ``started`` says on which message stream."""

    def __init__(self, session: ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.session = session
        self.started = Started(0, frozenset())
        self._reader = reader
        self._writer = writer
        self._early: list[object] = []

    async def start(self) -> None:
        """Until the server has granted it. Raises `WireError`."""
        while not self.started.stream:
            for event in await self._receive():
                if isinstance(event, Started):
                    self.started = event
                else:
                    self._early.append(event)

    async def events(self, idle: float | None) -> AsyncIterator[object]:
        """What comes, until the server ends it; ``idle``: seconds without anything that are an end as well."""
        early, self._early = self._early, []
        for event in early:
            yield event
        while True:
            async with asyncio.timeout(idle):
                events = await self._receive()
            for event in events:
                if isinstance(event, Over):
                    raise WireError("RTMP", f"the server ended it: {event.code}")
                yield event

    async def flush(self) -> None:
        """Send what is queued, no faster than it is taken."""
        self._writer.write(self.session.data_to_send())
        await self._writer.drain()

    async def _receive(self) -> list[object]:
        await self.flush()
        data = await self._reader.read(CHUNK)
        if not data:
            raise WireError("RTMP", "the server closed the connection")
        return list(self.session.receive(data))


@asynccontextmanager
async def dialled(address: Address, *, publishing: bool, verify: bool) -> AsyncIterator[Dialled]:
    """A connection to ``address``, publishing or playing, while entered. ``verify``: the server's certificate.

    Raises:
        WireError: it can't be had, or the server refused.
    """
    tls = client_tls(verify=verify) if address.tls else None
    with translated("RTMP"):
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
        watch_peer(writer.transport, IDLE_SECONDS)
        connection = Dialled(ClientSession(address, publishing=publishing), reader, writer)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.start()
            yield connection
        finally:
            connection.session.finish()
            with contextlib.suppress(OSError):
                async with asyncio.timeout(1):
                    await connection.flush()
            writer.close()

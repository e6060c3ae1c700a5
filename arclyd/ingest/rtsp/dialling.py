"""A connection to an RTSP server elsewhere: made, asked, read until it ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError, WireError
from arclyd.ingest.limits import watch_peer
from arclyd.ingest.outgoing import client_tls, translated
from arclyd.ingest.rtsp.ways import Channels, Ports
from arclyd.protocols.rtsp.client import Answer, ClientSession, problem
from arclyd.protocols.rtsp.messages import Interleaved
from arclyd.protocols.rtsp.transport import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arclyd.ingest.rtsp.ways import Take, Way
    from arclyd.protocols.rtsp.address import Address
    from arclyd.protocols.rtsp.messages import Fields, Response

CONNECT_SECONDS: Final = 10.0
"""To be connected, and for each answer."""

CHUNK: Final = 1 << 16


class Dialled:
    """A connection that is open. What comes in it besides answers goes where the medium's `setup` said."""

    def __init__(
        self, address: Address, session: ClientSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.address = address
        self.session = session
        self.heard_at = time.monotonic()
        """When something came last, in whatever way."""
        self.failure: ArclydError | None = None
        """Why what came in datagrams could not be taken."""
        self.ways: dict[int, Way] = {}
        """Of each medium that is set up."""
        self._reader = reader
        self._writer = writer
        self._takes: dict[int, tuple[Take, bool]] = {}
        self._answers: list[Answer] = []

    async def ask(self, method: str, url: str, fields: Fields = (), body: bytes = b"") -> Response:
        """Ask for something, and wait for the answer.

        Raises:
            WireError: it was refused.
        """
        self.session.ask(method, url, fields, body)
        async with asyncio.timeout(CONNECT_SECONDS):
            while not self._answers:
                await self._receive()
        answer = self._answers.pop(0)
        if not 200 <= answer.response.status < 300:
            raise problem(answer)
        return answer.response

    async def setup(self, medium: int, url: str, mode: str, take: Take, *, datagrams: bool) -> None:
        """Have a medium travel: in datagrams, or in this connection; ``take`` is called with what comes.

        Raises:
            WireError: it is not to be had so.
        """
        tail = f";mode={mode}" if mode else ""
        if datagrams:
            await self._setup_ports(medium, url, tail, take)
            return
        channels = 2 * medium, 2 * medium + 1
        wanted = f"RTP/AVP/TCP;unicast;interleaved={channels[0]}-{channels[1]}{tail}"
        granted = Transport.parse_all((await self.ask("SETUP", url, (("Transport", wanted),))).get("Transport"))
        if granted and not granted[0].tcp:
            raise WireError("RTSP", "the server does not send within the connection")
        pair = (granted[0].interleaved if granted else None) or channels
        self._takes |= {pair[0]: (take, False), pair[1]: (take, True)}
        self.ways[medium] = Channels(*pair, self.session.send_packet)

    async def _setup_ports(self, medium: int, url: str, tail: str, take: Take) -> None:
        local = str(self._writer.get_extra_info("sockname")[0])
        peer = str(self._writer.get_extra_info("peername")[0])
        ports = Ports.bind(local, peer)
        self.ways[medium] = ports

        def heard(data: bytes, *, control: bool) -> None:
            self.heard_at = time.monotonic()
            try:
                take(data, control=control)
            except ArclydError as error:
                self.failure = error

        await ports.open(heard)
        first, second = ports.numbers
        wanted = f"RTP/AVP;unicast;client_port={first}-{second}{tail}"
        granted = Transport.parse_all((await self.ask("SETUP", url, (("Transport", wanted),))).get("Transport"))
        if not granted or granted[0].tcp:
            raise WireError("RTSP", "the server does not send datagrams")
        if granted[0].server_port is not None:
            ports.tell(granted[0].server_port)
            for way in (False, True):  # what is between lets in what answers (RFC 7826, appendix C.1)
                ports.send(_HELLO, control=way)

    async def listen(self) -> None:
        """Take what comes, until the server ends it. Raises `WireError`, and what the takers do."""
        while True:
            await self._receive()

    async def flush(self) -> None:
        """Send what is queued, no faster than it is taken."""
        if data := self.session.data_to_send():
            self._writer.write(data)
        await self._writer.drain()

    async def _receive(self) -> None:
        await self.flush()
        data = await self._reader.read(CHUNK)
        if not data:
            raise WireError("RTSP", "the server closed the connection")
        self.heard_at = time.monotonic()
        for event in self.session.receive(data):
            if isinstance(event, Answer):
                self._answers.append(event)
            elif isinstance(event, Interleaved) and event.channel in self._takes:
                take, control = self._takes[event.channel]
                take(event.payload, control=control)

    async def keep_alive(self, url: str) -> None:
        """Say now and then that we are still there (RFC 2326, 12.37); answers are not looked at."""
        while True:
            await asyncio.sleep(self.session.timeout / 2)
            self.session.ask("OPTIONS", url)
            await self.flush()
            self._answers.clear()

    async def hang_up(self, url: str) -> None:
        """Say that it is over, and give back what was used."""
        for way in self.ways.values():
            way.close()
        if self.session.id:
            with contextlib.suppress(OSError, WireError):
                self.session.ask("TEARDOWN", url)
                async with asyncio.timeout(1):
                    await self.flush()
        self._writer.close()


_HELLO: Final = b"\x80\x00" + bytes(10)
"""A packet of RTP with nothing in it."""


@asynccontextmanager
async def dialled(address: Address, *, verify: bool) -> AsyncIterator[Dialled]:
    """A connection to ``address`` while entered. ``verify``: the server's certificate.

    Raises:
        WireError: it can't be had, or breaks.
    """
    tls = client_tls(verify=verify) if address.tls else None
    with translated("RTSP"):
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
        watch_peer(writer.transport, CONNECT_SECONDS)
        connection = Dialled(address, ClientSession(address), reader, writer)
        try:
            yield connection
        finally:
            await connection.hang_up(address.url)

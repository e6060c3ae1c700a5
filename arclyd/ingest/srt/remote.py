"""`arclyd pull srt://… KEY` and `arclyd push KEY srt://…`: connections that are made here."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from socket import SocketKind
from typing import TYPE_CHECKING, Final

from arclyd import AsyncControl, AsyncSubscriber, Publisher
from arclyd.errors import ArclydError, EndOfStream, WireError
from arclyd.ingest.again import again_and_again, first_of, until_stopped
from arclyd.ingest.srt import passphrases, statistics
from arclyd.ingest.srt.library import Option
from arclyd.ingest.srt.reactor import reacting
from arclyd.ingest.ts.feeding import feed
from arclyd.ingest.ts.intake import Intake
from arclyd.protocols.srt.address import Address
from arclyd.protocols.srt.rejection import in_words

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from arclyd.ingest.again import Once, Repeat
    from arclyd.ingest.srt.library import Library
    from arclyd.ingest.srt.reactor import Endpoint, Reactor

log: Final = logging.getLogger(__name__)

WAIT_SECONDS: Final = 3600.0
"""For a stream to appear before the next look."""

CONNECT_MS: Final = 5000
IDLE_SECONDS: Final = 15.0
"""A server that sends nothing for so long has lost its stream."""

CROWDED: Final = 1 << 20
CROWDED_SECONDS: Final = 0.5
"""Where more bytes than that wait for the daemon to grant a stream, more are taken this late."""

SEND_BUFFER: Final = 4 << 20
"""Bytes that may be under way: what 40 Mb/s need over 0.8 s."""


def pull(url: str, key: str, *, repeat: Repeat, on_taken: str | None, verify: bool, socket: str | None) -> None:
    """Fetch and publish until SIGINT or SIGTERM."""
    del verify  # nothing of TLS here
    address = Address.parse(url)
    once = partial(_pull_once, address=address, key=key, on_taken=on_taken, socket=socket)
    _run(partial(repeat, f"pull {key}"), address, once)


def push(key: str, url: str, *, verify: bool, socket: str | None) -> None:
    """Send until SIGINT or SIGTERM."""
    del verify
    address = Address.parse(url)
    once = partial(_push_once, address=address, key=key, socket=socket)
    _run(partial(again_and_again, f"push {key}"), address, once)


def _run(
    repeat: Callable[[Once], Coroutine[None, None, None]],
    address: Address,
    once: Callable[[Reactor], Coroutine[None, None, str]],
) -> None:
    async def until_told() -> None:
        async with reacting() as reactor:
            await until_stopped(partial(repeat, partial(once, reactor)))

    _settings(address)  # what is wrong with them is told now
    asyncio.run(until_told())


def _settings(address: Address) -> bytes:
    """The passphrase, read anew for each connection. Raises `WireError`."""
    return passphrases.read(Path(address.passphrase_file)) if address.passphrase_file else address.passphrase


class _Call:
    """A connection that is made here; ``fetching``: what comes over it is wanted."""

    def __init__(self, *, fetching: bool) -> None:
        self.ended = asyncio.Event()
        self.over = ""
        self._fetching = fetching
        self._news = asyncio.Event()
        self._data: list[bytes] = []
        self._size = 0

    def received(self, data: bytes) -> float:
        if not self._fetching:
            return 0.0
        self._data.append(data)
        self._size += len(data)
        self._news.set()
        return CROWDED_SECONDS if self._size > CROWDED else 0.0

    def lost(self, reason: str) -> None:
        self.over = reason
        self.ended.set()
        self._news.set()

    async def take(self) -> bytes:
        """What came since; empty: the connection is over. Raises `WireError`: nothing came for long."""
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._news.wait()
        except TimeoutError:
            raise WireError("SRT", f"nothing came for {IDLE_SECONDS:g} s") from None
        data = b"".join(self._data)
        self._data.clear()
        self._size = 0
        if not self.over:
            self._news.clear()
        return data


@asynccontextmanager
async def _called(reactor: Reactor, address: Address, *, fetching: bool) -> AsyncIterator[tuple[_Call, Endpoint]]:
    """A connection to ``address`` while entered.

    Raises:
        WireError: it can't be had, or the server refused, and why.
    """
    host, port = await _resolved(address)
    call, sock = _Call(fetching=fetching), _configured(reactor.library, address)
    endpoint = reactor.attach(sock, call, connecting=True)
    try:
        reactor.library.connect(sock, host, port)
        await endpoint.writable.wait()
        if endpoint.over:
            raise WireError("SRT", in_words(endpoint.rejection))
        yield call, endpoint
    finally:
        endpoint.close()
        log.info("%s: the connection is closed%s", address, statistics.summary(endpoint.figures()))


async def _resolved(address: Address) -> tuple[str, int]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=SocketKind.SOCK_DGRAM)
    except OSError as error:
        raise WireError("SRT", f"{address.host}: {error.strerror or error}") from error
    return str(found[0][4][0]), address.port


def _configured(library: Library, address: Address) -> int:
    sock = library.create()
    try:
        library.set_number(sock, Option.LATENCY, address.latency)
        library.set_number(sock, Option.CONNTIMEO, CONNECT_MS)
        library.set_number(sock, Option.SNDBUF, SEND_BUFFER)
        if address.stream_id:
            library.set_bytes(sock, Option.STREAMID, address.stream_id.encode())
        if passphrase := _settings(address):
            library.set_bytes(sock, Option.PASSPHRASE, passphrase)
        if address.key_bytes:
            library.set_number(sock, Option.PBKEYLEN, address.key_bytes)
    except WireError:
        library.close(sock)
        raise
    return sock


# ------------------------------------------------------------------------ pull


async def _pull_once(reactor: Reactor, address: Address, key: str, *, on_taken: str | None, socket: str | None) -> str:
    intake = Intake()
    try:
        async with _called(reactor, address, fetching=True) as (call, endpoint):
            log.info("pull %s: %s plays", key, address)
            fetched = _Fetched(intake, address, key, endpoint, socket)
            while data := await call.take():
                await fetched.receive(data, on_taken)
            intake.finish()
            return call.over
    finally:
        intake.interrupt()


class _Fetched:
    """The stream that is fetched, and what is told of it."""

    def __init__(self, intake: Intake, address: Address, key: str, endpoint: Endpoint, socket: str | None) -> None:
        self._intake = intake
        self._address = address
        self._key = key
        self._socket = socket
        self._carriage = statistics.Watched(endpoint.figures)
        self._told: dict[str, str] = {}

    async def receive(self, data: bytes, on_taken: str | None) -> None:
        """The next bytes, into the ring."""
        self._intake.receive(data)
        tags = self._carriage.tags()
        if self._intake.wants_claim:
            await self._claim("replace" if self._intake.live else on_taken, tags)
        elif self._intake.live and tags != self._told:
            self._told = tags
            await self._tell(tags)

    async def _claim(self, on_taken: str | None, tags: dict[str, str]) -> None:
        fields = {"publisher_addr": self._address.where, "ingest_protocol": "srt", "tags": tags}
        terms = partial(Publisher, metadata=fields, socket=self._socket, name=f"pull {self._address}")
        claim = partial(terms, self._key, self._intake.tracks(), on_taken=on_taken)
        self._told = tags
        self._intake.begin(await asyncio.to_thread(claim))

    async def _tell(self, tags: dict[str, str]) -> None:
        try:
            async with AsyncControl(self._socket, name=f"pull {self._address}") as control:
                await control.update_metadata(self._key, tags=tags)
        except ArclydError as error:  # the daemon is away: the stream goes on
            log.debug("%s", error)


# ------------------------------------------------------------------------ push


async def _push_once(reactor: Reactor, address: Address, key: str, *, socket: str | None) -> str:
    name = f"push {address}"
    async with AsyncSubscriber(key, socket=socket, name=name, wait=WAIT_SECONDS) as subscriber:
        await subscriber.recv()  # only now the server is bothered
    async with (
        _called(reactor, address, fetching=False) as (call, endpoint),
        AsyncSubscriber(key, socket=socket, name=name) as subscriber,
    ):
        log.info("push %s: %s takes it", key, address)
        try:
            await first_of(_end_of(call), _send(endpoint, subscriber))
        except EndOfStream as end:
            await endpoint.finish()
            return f"the stream is over: {end.reason}"
    return call.over


async def _send(endpoint: Endpoint, subscriber: AsyncSubscriber) -> None:
    async for data in feed(subscriber):
        await endpoint.send(data)


async def _end_of(call: _Call) -> None:
    await call.ended.wait()

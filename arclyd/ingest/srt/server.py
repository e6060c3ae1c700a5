"""The listening socket of the SRT gateway: who is let in, and what becomes of those who are."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from arclyd.control.keys import parse_key
from arclyd.errors import AlreadyPublishing, ArclydError, ConnectionLimit, WireError
from arclyd.ingest.srt.connection import Connection
from arclyd.ingest.srt.library import Option
from arclyd.ingest.srt.reactor import reacting
from arclyd.protocols.srt.rejection import Reject, rejection
from arclyd.protocols.srt.stream_id import Asked, Mode, parse
from arclyd.serving import host_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from concurrent.futures import Future

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.srt.library import Library
    from arclyd.ingest.srt.passphrases import Passphrases
    from arclyd.ingest.srt.reactor import Reactor

log: Final = logging.getLogger(__name__)

BACKLOG: Final = 128

ASK_SECONDS: Final = 0.25
"""For the daemon to say whether a caller may: nothing is received at the port meanwhile."""

SEND_BUFFER: Final = 1 << 20
"""Bytes that may be under way to a player: what 20 Mb/s need over 0.4 s; the ring is where the rest waits."""
RECEIVE_BUFFER: Final = 4 << 20
"""Bytes the kernel may hold for us, up to its own bound (net.core.rmem_max)."""


class Door:
    """Asks the daemon about each caller, in libsrt's thread, for an answer to what the event loop does."""

    def __init__(self, gateway: Gateway, library: Library, passphrases: Passphrases) -> None:
        self._gateway = gateway
        self._library = library
        self._passphrases = passphrases
        self._loop = asyncio.get_running_loop()
        self._asking: Future[Reject | None] | None = None

    def judge(self, sock: int, host: str, port: int, stream_id: bytes) -> int:
        """In libsrt's thread: 0, or the code of a refusal.

        A daemon that does not answer in time is not waited for again until it has: others receive at this port.
        """
        address = host_port(host, port)
        try:
            asked = asked_in(stream_id)
            app, _ = parse_key(asked.key)
        except ArclydError as error:
            log.warning("%s: refused: %s", address, error)
            return Reject.BAD_REQUEST
        if asked.mode is Mode.BOTH:
            return Reject.BAD_MODE
        if self._asking is not None and not self._asking.done():
            return Reject.DOWN
        self._asking = asyncio.run_coroutine_threadsafe(self._ask(asked, host, address), self._loop)
        try:
            refusal = self._asking.result(ASK_SECONDS)
        except TimeoutError:
            log.warning("%s: refused: no answer of the daemon in %g s", address, ASK_SECONDS)
            return Reject.DOWN
        if refusal is None and (passphrase := self._passphrases.of(app)):
            self._library.set_bytes(sock, Option.PASSPHRASE, passphrase)
        return refusal or 0

    async def _ask(self, asked: Asked, host: str, address: str) -> Reject | None:
        try:
            await self._admit(asked, host, address)
        except ArclydError as error:
            log.warning("%s: refused %s: %s", address, asked.key, error)
            return rejection(error, shown=bool(asked.shown))
        return None

    async def _admit(self, asked: Asked, host: str, address: str) -> None:
        if self._gateway.census.problem(host):
            raise ConnectionLimit(self._gateway.limits.connections)
        publishes = asked.mode is Mode.PUBLISH
        try:
            await self._gateway.admit(asked.key, "publish" if publishes else "play", address, asked.shown)
        except AlreadyPublishing as error:
            if error.pid != os.getpid():
                raise
        if publishes and self._gateway.is_taken(asked.key, (host, asked.shown)):
            raise AlreadyPublishing(asked.key)


def asked_in(stream_id: bytes) -> Asked:
    """What a stream id asks for. Raises `WireError`."""
    try:
        return parse(stream_id.decode())
    except UnicodeDecodeError:
        raise WireError("SRT", "a stream id that is no text") from None


@asynccontextmanager
async def listening(
    gateway: Gateway, host: str | None, port: int, latency: int, passphrases: Passphrases
) -> AsyncIterator[tuple[str, int]]:
    """Listen while entered; gives the address in use. ``latency``: ms, if the caller does not want more.

    Raises:
        WireError: the port can't be had, or libsrt is not there.
    """
    async with reacting() as reactor:
        library = reactor.library

        def accepted(sock: int, host: str, port: int) -> None:
            _begin(gateway, reactor, sock, host, port)

        listener = _bound(library, host, port, latency)
        callback = library.listen(listener, BACKLOG, Door(gateway, library, passphrases).judge)
        reactor.listen(listener, accepted)
        try:
            yield library.bound(listener)
        finally:
            # In a thread: one of libsrt's may be waiting for the event loop's word about a caller.
            await asyncio.to_thread(library.close, listener)
            for connection in list(gateway.connections):
                connection.close("the gateway ends", abort=True)
            del callback


def _bound(library: Library, host: str | None, port: int, latency: int) -> int:
    """A socket with an address; all of them, those of IPv4 and IPv6, if ``host`` is None."""
    if host is not None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise WireError("SRT", f"{host}: {error.strerror or error}") from error
        return _bound_to(library, str(found[0][4][0]), port, latency)
    with suppress(WireError):  # a host without IPv6
        return _bound_to(library, "::", port, latency)
    return _bound_to(library, "0.0.0.0", port, latency)  # noqa: S104 - where to listen is the option's business


def _bound_to(library: Library, host: str, port: int, latency: int) -> int:
    listener = library.create()
    try:
        if ":" in host:
            library.set_number(listener, Option.IPV6ONLY, 0 if host == "::" else 1)
        library.set_number(listener, Option.LATENCY, latency)
        library.set_number(listener, Option.SNDBUF, SEND_BUFFER)
        library.set_number(listener, Option.UDP_RCVBUF, RECEIVE_BUFFER)
        library.bind(listener, host, port)
    except WireError:
        library.close(listener)
        raise
    return listener


def _begin(gateway: Gateway, reactor: Reactor, sock: int, host: str, port: int) -> None:
    """One who was let in is connected."""
    problem = gateway.census.enter(host)
    try:
        asked = asked_in(reactor.library.text(sock, Option.STREAMID))
    except WireError as error:  # it has left already
        problem = problem or str(error)
    if problem:
        log.warning("%s: turned away: %s", host_port(host, port), problem)
        reactor.hang_up(sock)
        return
    connection = Connection(gateway, reactor, sock, host, port)
    if asked.mode is Mode.PUBLISH:
        connection.publish(asked)
    else:
        connection.play(asked)

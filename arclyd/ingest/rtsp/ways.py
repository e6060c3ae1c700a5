"""How the packets of one medium travel: among the messages of the connection, or in datagrams of their own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

log: Final = logging.getLogger(__name__)

BUFFER: Final = 4 << 20
"""Bytes the kernel may hold of what comes and goes, as far as it allows: a keyframe is a burst."""

TRIES: Final = 64
LAST_PORT: Final = 65_535


class Take(Protocol):
    """What is done with a packet that came."""

    def __call__(self, data: bytes, *, control: bool) -> None:
        """Take one; ``control``: it came where RTCP does."""


class Way(Protocol):
    """Where packets of a medium are sent to."""

    def send(self, data: bytes, *, control: bool) -> None:
        """Send one; ``control``: it is RTCP."""

    def close(self) -> None:
        """No more will be sent. Idempotent."""


@dataclass(frozen=True, slots=True)
class Channels:
    """A pair of channels in a connection; ``send_packet`` queues there."""

    first: int
    second: int
    send_packet: Callable[[int, bytes], None]

    def send(self, data: bytes, *, control: bool) -> None:
        """Queue one."""
        self.send_packet(self.second if control else self.first, data)

    def close(self) -> None:
        """The connection is somebody else's."""


class _Port(asyncio.DatagramProtocol):
    """One of a pair: hears the host it is for, and from there the first port that sends."""

    def __init__(self, host: str, take: Callable[[bytes], None]) -> None:
        self._host = host
        self._take = take
        self._heard: int | None = None

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if address[0] != self._host:
            return
        if self._heard is None:
            self._heard = address[1]
        if address[1] == self._heard:
            self._take(data)

    def error_received(self, error: Exception) -> None:
        log.debug("%s", error)  # nobody listens there at the moment: it passes, or the session's time does


class Ports:
    """An even port for RTP and the next one for RTCP (RFC 3550, 11).

    Args:
        sockets: bound to them.
        host: whose packets are heard, and to whom they are sent.
    """

    def __init__(self, sockets: tuple[socket.socket, socket.socket], host: str) -> None:
        self._sockets = sockets
        self._host = host
        self._to: tuple[int, int] | None = None
        self._transports: list[asyncio.DatagramTransport] = []
        self.numbers: tuple[int, int] = (sockets[0].getsockname()[1], sockets[1].getsockname()[1])

    @classmethod
    def bind(cls, local: str, host: str, allowed: range | None = None) -> Ports:
        """A pair that is free at the address ``local``, of those ``allowed``; to hear and tell ``host``.

        Raises:
            WireError: there is none.
        """
        family = socket.AF_INET6 if ":" in local else socket.AF_INET
        candidates = range(TRIES) if allowed is None else (port for port in allowed if port % 2 == 0)
        for candidate in candidates:
            pair = _bound(family, local, 0 if allowed is None else candidate)
            if pair is not None:
                return cls(pair, host)
        raise WireError("RTSP", "no pair of ports is free")

    async def open(self, take: Take) -> None:
        """Hear: ``take`` is called with each packet."""
        loop = asyncio.get_running_loop()
        for sock, control in zip(self._sockets, (False, True), strict=True):
            port = _Port(self._host, partial(take, control=control))
            transport, _ = await loop.create_datagram_endpoint(partial(_same, port), sock=sock)
            self._transports.append(transport)

    def tell(self, ports: tuple[int, int]) -> None:
        """Send to these ports."""
        self._to = ports

    def send(self, data: bytes, *, control: bool) -> None:
        """Send one; nobody hears of it if it can't be."""
        if self._to is not None and self._transports:
            with contextlib.suppress(OSError):
                self._transports[control].sendto(data, (self._host, self._to[control]))

    def close(self) -> None:
        """Give the ports back. Idempotent."""
        transports, self._transports = self._transports, []
        for transport in transports:
            transport.close()
        for sock in self._sockets:
            if not transports:
                sock.close()


def _same(port: _Port) -> _Port:
    return port


def _bound(family: int, local: str, port: int) -> tuple[socket.socket, socket.socket] | None:
    """A pair from ``port`` on, 0: from one that the system chooses; None: not free."""
    first, second = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
    try:
        first.bind((local, port))
        number = first.getsockname()[1]
        if number % 2 or number == LAST_PORT:
            raise OSError(errno.EADDRINUSE, "odd")
        second.bind((local, number + 1))
    except OSError as error:
        first.close()
        second.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            return None
        raise WireError("RTSP", error.strerror or str(error)) from error
    for sock in (first, second):
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER)
    return first, second

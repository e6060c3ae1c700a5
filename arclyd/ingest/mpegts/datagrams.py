"""Transport streams in datagrams: one sender at a time is one stream."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from arclyd.errors import Unauthorized
from arclyd.ingest.limits import Bucket
from arclyd.ingest.mpegts.address import open_receiver
from arclyd.ingest.reception import Reception
from arclyd.ingest.ts.intake import Intake
from arclyd.media.formats.mpegts.demuxer import PACKET, SYNC
from arclyd.serving import host_port

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Mapping

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.mpegts.address import Address

log: Final = logging.getLogger(__name__)

TURN: Final = 256
"""Datagrams taken before others have their turn."""

QUIET_SECONDS: Final = 0.5
"""A sender that was silent for so long has to make room for another one."""

REFUSED_SECONDS: Final = 5.0
"""For which a host that was refused is not heard."""

MOST_REFUSED: Final = 256
"""Hosts remembered so; where there are more, no other is heard either: where datagrams come from can be made up."""

_LARGEST: Final = 1 << 16


class Sender:
    """Whoever sends datagrams from one address."""

    def __init__(self, gateway: Gateway, key: str, peer: tuple[str, int], program: int | None, now: float) -> None:
        host, port = peer[:2]
        self.peer = peer
        self.address = host_port(host, port)
        self.began_at = self.heard_at = now
        self.bucket = Bucket(gateway.limits.rate, now)
        self._host = host
        intake = Intake(program, gateway.limits)
        self.reception = Reception(gateway, key, self.address, self, shown={}, intake=intake)

    @property
    def owner(self) -> tuple[str, Mapping[str, str]]:
        """Its address."""
        return self._host, {}

    def give_way(self) -> None:
        """Another sender is heard in its place."""
        self.reception.interrupt()


class Datagrams:
    """What comes to one socket, as the stream ``key``."""

    def __init__(self, gateway: Gateway, key: str, sock: socket.socket, program: int | None) -> None:
        self._gateway = gateway
        self._key = key
        self._socket = sock
        self._program = program
        self._buffer = bytearray(_LARGEST)
        self._view = memoryview(self._buffer)
        self._sender: Sender | None = None
        self._refused: dict[str, float] = {}
        self.ignored = 0
        """Datagrams of others than the sender, of one that was refused, or above the rate."""

    def ready(self) -> None:
        """The socket has something."""
        now = time.monotonic()
        for _ in range(TURN):
            try:
                size, peer = self._socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                return
            except OSError as error:  # a destination of ours told the kernel something; it passes
                log.debug("%s", error)
                return
            self._datagram(self._view[:size], peer, now)

    def _datagram(self, data: memoryview, peer: tuple[str, int], now: float) -> None:
        sender = self._sender
        if sender is None or sender.peer != peer:
            sender = self._enter(data, peer, now)
        if sender is None or not sender.bucket.admits(len(data), now):
            self.ignored += 1
            return
        sender.heard_at = now
        sender.reception.receive(data)
        if sender.reception.refusal is not None:
            self._refuse(sender, now)

    def _enter(self, data: memoryview, peer: tuple[str, int], now: float) -> Sender | None:
        """A sender that was not heard so far, if it is its turn."""
        if self._sender is not None and now - self._sender.heard_at < QUIET_SECONDS:
            return None
        if len(data) < PACKET or data[0] != SYNC:
            return None
        if self._is_refused(peer[0], now):
            return None
        if self._sender is not None:
            self._leave("another sender is heard in its place")
        self._sender = sender = Sender(self._gateway, self._key, peer, self._program, now)
        self._gateway.tell("connected", sender.address)
        return sender

    def _is_refused(self, host: str, now: float) -> bool:
        while self._refused and next(iter(self._refused.values())) <= now:  # they were put in by time
            del self._refused[next(iter(self._refused))]
        return host in self._refused or len(self._refused) >= MOST_REFUSED

    def _refuse(self, sender: Sender, now: float, reason: str = "") -> None:
        error = sender.reception.refusal
        self._refused.pop(sender.peer[0], None)
        self._refused[sender.peer[0]] = now + REFUSED_SECONDS
        self._leave(reason or ("not allowed" if isinstance(error, Unauthorized) else str(error)))

    def _leave(self, reason: str) -> None:
        sender, self._sender = self._sender, None
        if sender is None:
            return
        sender.reception.fall_silent()
        log.info("%s: %s: %s", sender.address, self._key, reason)
        self._gateway.tell("disconnected", sender.address, self._key, reason)

    def tick(self, now: float) -> None:
        """About once a second."""
        sender = self._sender
        if sender is None:
            return
        if sender.reception.refusal is not None:
            self._refuse(sender, now)
        elif now - sender.heard_at > self._gateway.limits.idle_seconds:
            self._leave(f"nothing came for {self._gateway.limits.idle_seconds:g} s")
        elif not sender.reception.begun and now - sender.began_at > self._gateway.limits.start_seconds:
            self._refuse(sender, now, f"no program came in {self._gateway.limits.start_seconds:g} s")
        else:
            sender.reception.tell(now)

    def close(self, reason: str, *, abort: bool = False) -> None:
        """The gateway ends."""
        del abort
        self._leave(reason)


@asynccontextmanager
async def listening(gateway: Gateway, key: str, address: Address) -> AsyncIterator[tuple[str, int]]:
    """Listen while entered; gives the address in use."""
    loop = asyncio.get_running_loop()
    with open_receiver(address) as sock:
        datagrams = Datagrams(gateway, key, sock, address.program)
        gateway.connections.add(datagrams)
        loop.add_reader(sock, datagrams.ready)
        try:
            yield sock.getsockname()[:2]
        finally:
            loop.remove_reader(sock)
            gateway.connections.discard(datagrams)
            datagrams.close("the gateway ends")

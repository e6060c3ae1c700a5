"""One thread that waits for all of a process's SRT sockets, and tells the event loop what it found.

The thread reads; what is read and not yet taken in the event loop is bounded for each socket, beyond that it is left to
libsrt, which drops what becomes too old there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from arclyd.errors import WireError
from arclyd.ingest.srt.library import ERR, IN, MESSAGE, OUT, Option, load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from arclyd.ingest.srt.library import Figures, Library

log: Final = logging.getLogger(__name__)

WAIT_MS: Final = 100
"""For which nothing may happen before the thread looks whether it is to end."""

UNTAKEN: Final = 1 << 20
"""Bytes of one socket that wait for the event loop."""

TAIL_LOOK_MS: Final = 10
TAIL_SECONDS: Final = 1.0
"""A connection that is over still has what was to be taken within its latency: looked for so often, and so long."""

LEFT_SECONDS: Final = 3.0
"""For what is queued at the end of a stream to be received."""

DATAGRAM: Final = 1316
"""Bytes of a message that is sent: seven transport packets, as every receiver takes them."""


class Handler(Protocol):
    """What becomes of a connection, in the event loop."""

    def received(self, data: bytes) -> float:
        """Bytes came; returns for how many seconds no more are wanted."""

    def lost(self, reason: str) -> None:
        """It is over."""


class Endpoint:
    """A connection, or one that is being made. All is called in the event loop but what says otherwise."""

    def __init__(self, reactor: Reactor, sock: int, handler: Handler) -> None:
        self._reactor = reactor
        self._handler = handler
        self.sock = sock
        self.writable = asyncio.Event()
        """It has been connected, and takes what is sent."""
        self.waiting_since: float | None = None
        """Since when what is sent waits, on the monotonic clock."""
        self.over = False
        self.rejection = 0
        """The code of the refusal, where it never was connected."""
        self._read = 0  # by the thread alone
        self._taken = 0  # by the event loop alone
        self._full = False
        self._figures: Figures | None = None

    def figures(self) -> Figures | None:
        """What libsrt counts of it now; once it is over: the last that was asked for."""
        if not self.over:
            with contextlib.suppress(WireError):
                self._figures = self._reactor.library.figures(self.sock)
        return self._figures

    async def send(self, data: bytes) -> None:
        """Queue bytes, as messages, as fast as they are taken. Raises `WireError`: the connection is over."""
        for at in range(0, len(data), DATAGRAM):
            message = data[at : at + DATAGRAM]
            while self.over or not self._reactor.library.send(self.sock, message):
                if self.over:
                    raise WireError("SRT", "the connection is over")
                self.writable.clear()
                self.waiting_since = self.waiting_since or time.monotonic()
                self._reactor.watch(self, OUT)
                await self.writable.wait()
            self.waiting_since = None

    async def finish(self) -> None:
        """Until all that was queued has been received and taken: of what is not, a close may make a loss."""
        library, until = self._reactor.library, time.monotonic() + LEFT_SECONDS
        with contextlib.suppress(WireError):
            while not self.over and time.monotonic() < until and library.number(self.sock, Option.SNDDATA):
                await asyncio.sleep(TAIL_LOOK_MS / 1000)
            if not self.over:
                await asyncio.sleep(library.number(self.sock, Option.PEERLATENCY) / 1000)

    def close(self) -> None:
        """End it; nothing more is told. Idempotent."""
        if not self.over:
            self.figures()
            self._end()
            self._reactor.forget(self)

    def _end(self) -> None:
        self.over = True
        self.writable.set()

    # ------------------------------------------------- what the thread calls

    def read(self, data: bytes) -> bool:
        """In the thread: bytes were read; returns whether there is room for more."""
        self._read += len(data)
        return self._read - self._taken < UNTAKEN

    def fill(self) -> None:
        """In the thread: it is read no more until the event loop asks for it."""
        self._full = True

    # ------------------------------------------------ what the thread told

    def told(self, data: bytes) -> None:
        """Bytes were read."""
        pause = 0.0 if self.over else self._handler.received(data)
        if pause:
            asyncio.get_running_loop().call_later(pause, self._take, len(data))
        else:
            self._take(len(data))

    def _take(self, size: int) -> None:
        self._taken += size
        if self._full and self._read - self._taken < UNTAKEN // 2 and not self.over:
            self._full = False
            self._reactor.watch(self, IN)

    def told_writable(self) -> None:
        """It is connected, or takes more."""
        self.writable.set()

    def told_lost(self, reason: str) -> None:
        """It is over."""
        if not self.over:
            self.rejection = self._reactor.library.rejection(self.sock)
            self._end()
            self._reactor.forget(self)
            self._handler.lost(reason)


class Reactor:
    """The thread. ``reading`` endpoints are read all the time, others only watched for their end."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._loop = asyncio.get_running_loop()
        self._poll = library.poll()
        self._endpoints: dict[int, Endpoint] = {}
        self._listeners: dict[int, Callable[[int, str, int], None]] = {}
        self._tails: dict[int, float] = {}
        self._interest: dict[int, int] = {}
        self._closing: set[asyncio.Future[None]] = set()
        self._lock = threading.Lock()
        self._buffer = library.buffer()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="arclyd-srt", daemon=True)
        self._thread.start()

    # --------------------------------------------------- in the event loop

    def listen(self, sock: int, accepted: Callable[[int, str, int], None]) -> None:
        """Tell of the connections that come to a listening socket: socket, and host and port of the other side."""
        self._listeners[sock] = accepted
        self.library.watch(self._poll, sock, IN | ERR, anew=True)

    def attach(self, sock: int, handler: Handler, *, connecting: bool = False) -> Endpoint:
        """Have a connection read, and its end told; ``connecting``: and when it is connected."""
        endpoint = Endpoint(self, sock, handler)
        self._endpoints[sock] = endpoint
        with self._lock:
            self._interest[sock] = IN | ERR | (OUT if connecting else 0)
            self.library.watch(self._poll, sock, self._interest[sock], anew=True)
        return endpoint

    def watch(self, endpoint: Endpoint, events: int) -> None:
        """Wait for more of an endpoint's events."""
        self._change(endpoint.sock, events, 0)

    def forget(self, endpoint: Endpoint) -> None:
        """Watch it no more, and close its socket."""
        with self._lock:
            self._interest.pop(endpoint.sock, None)
            self.library.unwatch(self._poll, endpoint.sock)
        self._endpoints.pop(endpoint.sock, None)
        self.hang_up(endpoint.sock)

    def hang_up(self, sock: int) -> None:
        """Close a socket, in another thread: one of libsrt's may be waiting for this one."""
        closing = self._loop.run_in_executor(None, self.library.close, sock)
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End the thread, and close what is open."""
        self._stopping = True
        await asyncio.to_thread(self._thread.join)
        for endpoint in list(self._endpoints.values()):
            endpoint.close()
        await asyncio.gather(*self._closing)
        self.library.release(self._poll)
        await asyncio.to_thread(self.library.cleanup)

    # -------------------------------------------------------- in the thread

    def _run(self) -> None:
        while not self._stopping:
            events = self.library.wait(self._poll, TAIL_LOOK_MS if self._tails else WAIT_MS)
            found: list[Callable[[], None]] = []
            for sock, event in events:
                self._ready(sock, event, found)
            for sock in list(self._tails):
                self._tail(sock, found)
            if found:
                with contextlib.suppress(RuntimeError):  # the event loop is closed: the process ends
                    self._loop.call_soon_threadsafe(_all, found)

    def _ready(self, sock: int, event: int, found: list[Callable[[], None]]) -> None:
        accepted = self._listeners.get(sock)
        if accepted is not None:
            self._accept(sock, accepted, found)
            return
        endpoint = self._endpoints.get(sock)
        if endpoint is None or sock in self._tails:
            return
        if event & ERR:
            self._change(sock, 0, IN | OUT | ERR)
            self._tails[sock] = time.monotonic() + self._latency(sock) + TAIL_SECONDS
            return
        if event & OUT:
            self._change(sock, 0, OUT)
            found.append(endpoint.told_writable)
        if event & IN:
            self._read(endpoint, found)

    def _read(self, endpoint: Endpoint, found: list[Callable[[], None]]) -> bool:
        """Read what there is; returns whether there was something."""
        try:
            data = self.library.receive(endpoint.sock, self._buffer)
        except WireError:
            return False  # its end is told as an event
        if not data:
            return False
        has_room = endpoint.read(data)
        found.append(partial(endpoint.told, data))
        if not has_room and endpoint.sock not in self._tails:
            self._change(endpoint.sock, 0, IN)
            endpoint.fill()  # after that: what was found now is what will ask for more
        return True

    def _tail(self, sock: int, found: list[Callable[[], None]]) -> None:
        """What is left of a connection that is over: it comes at its time."""
        endpoint = self._endpoints.get(sock)
        if endpoint is None:
            del self._tails[sock]
            return
        while self._read(endpoint, found):
            pass
        if time.monotonic() > self._tails[sock] or not self._left(sock):
            del self._tails[sock]
            found.append(partial(endpoint.told_lost, "the connection ended"))

    def _left(self, sock: int) -> int:
        try:
            return self.library.number(sock, Option.RCVDATA)
        except WireError:
            return 0

    def _latency(self, sock: int) -> float:
        try:
            return self.library.number(sock, Option.LATENCY) / 1000
        except WireError:
            return 0.0

    def _accept(self, sock: int, accepted: Callable[[int, str, int], None], found: list[Callable[[], None]]) -> None:
        try:
            while (connection := self.library.accept(sock)) is not None:
                found.append(partial(accepted, *connection))
        except WireError as error:  # a caller who has left again, or a listener that is being closed
            log.debug("%s", error)

    def _change(self, sock: int, more: int, less: int) -> None:
        with self._lock:
            if sock not in self._interest:
                return
            self._interest[sock] = self._interest[sock] & ~less | more
            with contextlib.suppress(WireError):
                self.library.watch(self._poll, sock, self._interest[sock])


def _all(found: list[Callable[[], None]]) -> None:
    for tell in found:
        try:
            tell()
        except Exception:  # a fault in one is no reason to serve none any more
            log.exception("a connection")


@asynccontextmanager
async def reacting() -> AsyncIterator[Reactor]:
    """A reactor while entered. Raises `WireError`: libsrt is not there."""
    reactor = Reactor(load())
    try:
        yield reactor
    finally:
        await reactor.close()


assert DATAGRAM <= MESSAGE

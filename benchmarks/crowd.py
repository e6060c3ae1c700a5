"""Viewers of a packager as cheap as they can be had: raw connections of one process that ask, time and ask again."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Event

LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
HEADERS: Final = "Host: bench\r\nAccept-Encoding: gzip\r\nUser-Agent: viewer {}\r\n\r\n"
PARTS: Final = 10
"""Of a segment."""

Asked = tuple[int, int, bool]
"""A segment's number, a part's index, and whether it is that part or the playlist that has it."""


class Viewer(asyncio.Protocol):
    """A keep-alive connection: sends the next request once the answer to the last one is whole."""

    def __init__(
        self, number: int, requests: Iterator[tuple[str, Asked]], told: Callable[[Asked, float], None]
    ) -> None:
        self._headers = HEADERS.format(number)
        self._requests = requests
        self._told = told
        self._held = bytearray()
        self._missing = -1
        self._asked: Asked = (0, 0, False)
        self.failed = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count what came; the body itself is not looked at."""
        if self._missing < 0:
            self._held += data
            head, blank, rest = bytes(self._held).partition(b"\r\n\r\n")
            if not blank:
                return
            found = LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200") or found is None:
                self.failed = head[:80].decode("latin-1")
                self._transport.close()
                return
            self._missing = int(found[1]) - len(rest)
        else:
            self._missing -= len(data)
        if not self._missing:
            self._told(self._asked, time.monotonic())
            self._missing = -1
            self._held.clear()
            self._ask()

    def _ask(self) -> None:
        path, self._asked = next(self._requests)
        self._transport.write(f"GET {path} HTTP/1.1\r\n{self._headers}".encode())


def _itself(viewer: Viewer) -> Viewer:
    return viewer


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many viewers of the stream ``folder`` at ``port``, whose segments are named ``name``.

    They follow it from segment ``start`` on, and fetch ``parts`` or only playlists. ``tokens``: one of each viewer, or
    none at all.
    """

    port: int
    folder: str
    name: str
    start: int
    count: int
    parts: bool
    tokens: tuple[str, ...] = ()


def follow(folder: str, name: str, start: int, token: str, *, parts: bool) -> Iterator[tuple[str, Asked]]:
    """What a low-latency player asks for, from segment ``start`` on: each next playlist, and then the new part."""
    number, part = start, 0
    query = f"&token={token}" if token else ""
    while True:
        yield f"{folder}/track-0.m3u8?_HLS_msn={number}&_HLS_part={part}&_HLS_skip=YES{query}", (number, part, False)
        if parts:
            yield f"{folder}/{name}-0-{number}.{part}.m4s", (number, part, True)
        number, part = (number, part + 1) if part + 1 < PARTS else (number + 1, 0)


def watch(crowd: Crowd, came: Any, ready: Event, stop: Event) -> None:
    """Be that crowd. ``came``: how many playlists came, then of each the segment, the part and the time."""
    asyncio.run(_watch(crowd, came, ready, stop))


async def _watch(crowd: Crowd, came: Any, ready: Event, stop: Event) -> None:
    loop = asyncio.get_running_loop()
    room, taken = (len(came) - 1) // 3, 0

    def note(asked: Asked, at: float) -> None:
        nonlocal taken
        number, part, media = asked
        if not media and taken < room:
            came[1 + 3 * taken], came[2 + 3 * taken], came[3 + 3 * taken] = number, part, at
            taken += 1
            came[0] = taken

    viewers = []
    for number in range(crowd.count):
        token = crowd.tokens[number] if crowd.tokens else ""
        viewer = Viewer(number, follow(crowd.folder, crowd.name, crowd.start, token, parts=crowd.parts), note)
        await loop.create_connection(partial(_itself, viewer), "127.0.0.1", crowd.port)
        viewers.append(viewer)
    ready.set()
    while not stop.is_set():
        await asyncio.sleep(0.05)
        if failed := [viewer.failed for viewer in viewers if viewer.failed]:
            raise RuntimeError(f"{len(failed)} viewers failed: {failed[0]}")


def ignore(port: int, paths: list[str], count: int, ready: Event, stop: Event) -> None:
    """``count`` clients that ask for one of ``paths`` and never read; who is dropped comes again."""
    clients: list[socket.socket] = []
    chosen = random.Random(1)  # noqa: S311 # which of the paths is no secret
    while not stop.is_set():
        clients = [client for client in clients if not _is_dropped(client)]
        while len(clients) < count and not stop.is_set():
            client = socket.create_connection(("127.0.0.1", port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(f"GET {chosen.choice(paths)} HTTP/1.1\r\n{HEADERS.format('lazy')}".encode())
            client.setblocking(False)
            clients.append(client)
        ready.set()
        stop.wait(0.1)
    for client in clients:
        client.close()


def _is_dropped(client: socket.socket) -> bool:
    """A reset is an error of the socket; what came is left where it is."""
    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


async def load(port: int, path: str, count: int, seconds: float) -> float:
    """Answers a second that ``count`` connections get, each asking for ``path`` again as soon as it has it."""
    answers = 0

    def told(_asked: Asked, _at: float) -> None:
        nonlocal answers
        answers += 1

    def requests() -> Iterator[tuple[str, Asked]]:
        while True:
            yield path, (0, 0, False)

    loop = asyncio.get_running_loop()
    viewers = [Viewer(number, requests(), told) for number in range(count)]
    transports = [(await loop.create_connection(partial(_itself, viewer), "127.0.0.1", port))[0] for viewer in viewers]
    before, began = answers, time.monotonic()
    await asyncio.sleep(seconds)
    rate = (answers - before) / (time.monotonic() - began)
    for transport in transports:
        transport.abort()
    if failed := [viewer.failed for viewer in viewers if viewer.failed]:
        raise RuntimeError(f"{path}: {failed[0]}")
    return rate

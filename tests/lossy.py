"""A bad line: a UDP relay that loses, delays and reorders packets, the same ones each time.

The kernel's own (`tc netem`) is not to be had everywhere, in containers above all.
"""

from __future__ import annotations

import heapq
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

DELAY: Final = 0.05
"""Seconds each way."""

LATER: Final = 0.02
"""By how much a packet is overtaken, in seconds."""

_LARGEST: Final = 2048


class LossyLine:
    """Between whoever sends to ``port`` of 127.0.0.1 and the port ``far``: each way every 50th packet is lost.

    Packets are delayed by 50 ms, and every 31st is overtaken by those of the next 20 ms.
    """

    def __init__(self, far: int) -> None:
        self._far = ("127.0.0.1", far)
        self._near: tuple[str, int] | None = None
        self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in self._sockets:
            sock.bind(("127.0.0.1", 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.setblocking(False)
        self.port: int = self._sockets[0].getsockname()[1]
        self.lost = 0
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="lossy")

    def __enter__(self) -> LossyLine:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping = True
        self._thread.join()
        for sock in self._sockets:
            sock.close()

    def _run(self) -> None:
        under_way: list[tuple[float, int, int, bytes]] = []
        counts = [0, 0]
        while not self._stopping:
            wait = under_way[0][0] - time.monotonic() if under_way else 0.05
            ready, _, _ = select.select(self._sockets, [], [], min(0.05, max(0.0, wait)))
            for sock in ready:
                way = self._sockets.index(sock)
                self._receive(way, counts, under_way)
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, way, data = heapq.heappop(under_way)
                self._send(way, data)

    def _receive(self, way: int, counts: list[int], under_way: list[tuple[float, int, int, bytes]]) -> None:
        try:
            data, peer = self._sockets[way].recvfrom(_LARGEST)
        except OSError:  # a port that is closed by now
            return
        if way == 0:
            self._near = peer
        counts[way] += 1
        if counts[way] % 50 == 0:
            self.lost += 1
            return
        due = time.monotonic() + DELAY + (LATER if counts[way] % 31 == 0 else 0.0)
        heapq.heappush(under_way, (due, counts[way], way, data))

    def _send(self, way: int, data: bytes) -> None:
        there = self._far if way == 0 else self._near
        if there is not None:
            try:
                self._sockets[1 - way].sendto(data, there)
            except OSError:
                return

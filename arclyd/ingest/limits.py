"""What one connection, and all of them, may take: times, sizes, rates, numbers."""

from __future__ import annotations

import os
import socket
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

RATE_BURST: Final = 2.0
"""Seconds of the rate that may come at once: what an encoder saved up over a hiccup of the network."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds, bytes and numbers; 0 connections of an address: no bound. ``rate``: bytes a second, 0: no bound.

    ``start_seconds``: until something is published or played. ``idle_seconds``: an encoder says nothing.
    ``stalled_seconds``: a player takes nothing. ``video``, ``audio``: the largest frame.
    """

    start_seconds: float = 10.0
    idle_seconds: float = 10.0
    stalled_seconds: float = 10.0
    connections: int = 1024
    per_address: int = 0
    rate: int = 25_000_000
    video: int = 8 << 20
    audio: int = 1 << 20


class Census:
    """Counts connections by address."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._count = 0
        self._of: Counter[str] = Counter()

    def problem(self, host: str) -> str:
        """Why a new one would be too many; empty: it would not."""
        if self._count >= self._limits.connections:
            return f"{self._limits.connections} connections are open"
        if 0 < self._limits.per_address <= self._of[host]:
            return f"{self._limits.per_address} connections of one address are open"
        return ""

    def enter(self, host: str) -> str:
        """Count a new one, or say why it is too many."""
        if problem := self.problem(host):
            return problem
        self._count += 1
        self._of[host] += 1
        return ""

    def leave(self, host: str) -> None:
        """One that was counted is gone."""
        self._count -= 1
        self._of[host] -= 1
        if not self._of[host]:
            del self._of[host]


class Bucket:
    """How much more may come: ``rate`` bytes a second, some seconds of it at once."""

    def __init__(self, rate: int, now: float) -> None:
        self._rate = rate
        self._most = self._left = rate * RATE_BURST
        self._at = now

    def take(self, size: int, now: float) -> float:
        """``size`` bytes came; returns for how many seconds no more should be taken."""
        if not self._rate:
            return 0.0
        self._fill(now)
        self._left -= size
        return max(0.0, -self._left / self._rate)

    def admits(self, size: int, now: float) -> bool:
        """``size`` bytes came that can be left out; False: they are to be, and do not count then."""
        if not self._rate:
            return True
        self._fill(now)
        if self._left < size:
            return False
        self._left -= size
        return True

    def _fill(self, now: float) -> None:
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now


def watch_peer(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Have the kernel end the connection when its other side takes nothing for that long, or is gone unnoticed."""
    _set(
        transport,
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, int(seconds))),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000)),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    )


def acknowledge_now(transport: asyncio.BaseTransport) -> None:
    """Have the kernel acknowledge at once what was just received, and what comes next.

    It would wait up to 40 ms for an answer to send along; and who sends by Nagle's rule (FFmpeg, librtmp) sends the
    second half of what it has to say only then. The kernel forgets it: to be said again each time.
    """
    _set(transport, (socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1))


def _set(transport: asyncio.BaseTransport, *options: tuple[int, int, int]) -> None:
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    # Not every event loop's transport lets its socket be set; a copy of the descriptor is the same socket.
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        for level, name, value in options:
            same.setsockopt(level, name, value)

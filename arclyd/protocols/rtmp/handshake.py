"""The handshake, plain (5.2) and with digests, either side of it.

The digests are not in the specification: Flash players and servers have used them since version 9 to show that they are
of the same make, and players as FFmpeg's check those of a server that seems to know them. A packet hides an
HMAC-SHA-256 of all its other bytes at a place that four of its bytes tell; the answer is signed with a key made of it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from abc import ABC, abstractmethod
from typing import Final

from arclyd.errors import WireError

SIZE: Final = 1536
"""Bytes of C1, S1, C2 and S2."""

VERSION: Final = b"\x03"

_DIGEST: Final = 32
_COMMON: Final = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_PLAYER: Final = b"Genuine Adobe Flash Player 001"
_SERVER: Final = b"Genuine Adobe Flash Media Server 001"
_SERVER_VERSION: Final = bytes((4, 5, 0, 1))
_PLAYER_VERSION: Final = bytes((9, 0, 124, 2))
_PLACES: Final = (8, 772)
"""Where the four bytes stand that tell the digest's place: of the two layouts in use, either."""


def _mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def _digest_at(packet: bytes, place: int) -> int:
    return place + 4 + sum(packet[place : place + 4]) % 728


def _digest(packet: bytes, at: int, key: bytes) -> bytes:
    return _mac(key, packet[:at], packet[at + _DIGEST :])


def find_digest(packet: bytes, key: bytes) -> tuple[int, bytes] | None:
    """The layout (where its place is told) and the digest that ``packet`` carries; None: it carries none."""
    for place in _PLACES:
        at = _digest_at(packet, place)
        if hmac.compare_digest(packet[at : at + _DIGEST], _digest(packet, at, key)):
            return place, packet[at : at + _DIGEST]
    return None


def _hello(version: bytes, key: bytes, place: int) -> tuple[bytes, bytes]:
    """A first packet with a digest at that layout's place, and the digest."""
    packet = bytes(4) + version + os.urandom(SIZE - 8)
    at = _digest_at(packet, place)
    digest = _digest(packet, at, key)
    return packet[:at] + digest + packet[at + _DIGEST :], digest


def _signed(key: bytes, digest: bytes) -> bytes:
    """An answer to a packet with ``digest``: noise, and its signature at the end."""
    noise = os.urandom(SIZE - _DIGEST)
    return noise + _mac(_mac(key + _COMMON, digest), noise)


class Handshake(ABC):
    """One side of it: `receive` what comes, send what it gives back, until `done`; `rest` is what came after it."""

    def __init__(self) -> None:
        self.done = False
        self._received = bytearray()

    @property
    def rest(self) -> bytes:
        """What came after the handshake."""
        return bytes(self._received) if self.done else b""

    def receive(self, data: bytes) -> bytes:
        """The answer to ``data``; empty where there is none (yet). Raises `WireError`."""
        self._received += data
        return b"".join(iter(self._step, b""))

    @abstractmethod
    def _step(self) -> bytes:
        """The next answer; empty: none yet."""

    def _take(self, size: int) -> bytes | None:
        if len(self._received) < size:
            return None
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _check_version(self) -> None:
        if self._received and self._received[:1] != VERSION:
            raise WireError("RTMP", f"version {self._received[0]} in the handshake, only 3 is spoken here")


class ServerHandshake(Handshake):
    """The server's side: C0 and C1 in, S0, S1 and S2 out; then C2 in."""

    def __init__(self) -> None:
        super().__init__()
        self._answered = False

    def _step(self) -> bytes:
        if self.done:
            return b""
        if self._answered:
            self.done = self._take(SIZE) is not None  # C2 says nothing that has to be so: many send what they like
            return b""
        self._check_version()
        packet = self._take(1 + SIZE)
        if packet is None:
            return b""
        self._answered = True
        return VERSION + self._answer(packet[1:])

    @staticmethod
    def _answer(c1: bytes) -> bytes:
        found = find_digest(c1, _PLAYER) if c1[4:8] != bytes(4) else None
        if found is None:
            return bytes(8) + os.urandom(SIZE - 8) + c1  # S2 is the echo of C1 (5.2.4)
        place, digest = found
        hello, _ = _hello(_SERVER_VERSION, _SERVER, place)
        return hello + _signed(_SERVER, digest)


class ClientHandshake(Handshake):
    """The client's side: C0 and C1 are its `hello`; S0, S1 and S2 in, C2 out."""

    def __init__(self) -> None:
        super().__init__()
        c1, _ = _hello(_PLAYER_VERSION, _PLAYER, _PLACES[0])
        self.hello = VERSION + c1
        """What the client starts with."""

    def _step(self) -> bytes:
        if self.done:
            return b""
        self._check_version()
        packet = self._take(1 + 2 * SIZE)
        if packet is None:
            return b""
        self.done = True
        s1 = packet[1 : 1 + SIZE]
        found = find_digest(s1, _SERVER) if s1[4:8] != bytes(4) else None
        return s1 if found is None else _signed(_PLAYER, found[1])

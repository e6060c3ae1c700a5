"""The packets of elementary streams: their headers, and putting them together within bounds.

Clauses are those of ISO/IEC 13818-1:2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from arclyd.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIXED: Final = 6
"""Start code, stream id and length."""

_BARE: Final = frozenset({0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF})
"""Stream ids whose packets have no header behind the fixed part (table 2-21)."""
_PADDING: Final = 0xBE


@dataclass(frozen=True, slots=True)
class Header:
    """A PES packet's header (2.4.3.6): timestamps of 33 bits at 90 kHz, and how many bytes it takes."""

    pts: int | None
    dts: int | None
    size: int


def read_header(data: bytes) -> Header:
    """Read the header at the start of a packet.

    Raises:
        MediaError: there is none, or it is cut short.
    """
    if len(data) < _FIXED or data[:3] != b"\x00\x00\x01":
        raise MediaError("PES packet", "no start code")
    if data[3] in _BARE:
        return Header(None, None, _FIXED)
    if len(data) < 9 or data[6] >> 6 != 2:
        raise MediaError("PES packet", "no header behind the start code")
    size = 9 + data[8]
    stamps = data[7] >> 6
    if len(data) < size or data[8] < (0, 0, 5, 10)[stamps]:
        raise MediaError("PES packet", f"a header of {size} bytes in {len(data)} bytes")
    pts = _timestamp(data[9:14]) if stamps & 2 else None
    dts = _timestamp(data[14:19]) if stamps == 3 else pts
    return Header(pts, dts, size)


def _timestamp(data: bytes) -> int:
    return (data[0] >> 1 & 7) << 30 | (data[1] << 7 | data[2] >> 1) << 15 | data[3] << 7 | data[4] >> 1


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet: its payload, and what is known of it.

    ``lost``: something of the stream is missing before it. ``damaged``: bytes of it are missing.
    """

    payload: bytes
    pts: int | None
    dts: int | None
    random_access: bool
    lost: bool
    damaged: bool


class Faults(Protocol):
    """Where packets that could not be used are counted."""

    oversize: int
    malformed: int


class Assembler:
    """Puts the packets of one PID together.

    ``limit``: bytes of the largest packet that is kept; a larger one is dropped, and counted in ``faults``.
    """

    def __init__(self, limit: int, faults: Faults) -> None:
        self._limit = limit
        self._faults = faults
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = 0
        self._random_access = False
        self._lost = False
        self._marked = False

    def push(self, payload: bytes, *, unit_start: bool, random_access: bool) -> Iterator[Packet]:
        """The payload of the next transport packet; gives the PES packets that are complete now."""
        if unit_start:
            yield from self.flush()
            self._random_access = random_access
            self._lost, self._marked = self._lost or self._marked, False
        elif not self._parts:
            return  # its beginning was lost, or it has had all the bytes it announced
        self._parts.append(payload)
        self._size += len(payload)
        if not self._wanted and self._size >= _FIXED:
            self._announced()
        if self._size > self._limit:
            self._faults.oversize += 1
            self._drop()
        elif 0 < self._wanted <= self._size:
            yield from self._complete(damaged=False)

    def flush(self) -> Iterator[Packet]:
        """The packet begun, if it can be complete: one without a length ends where the next begins."""
        if self._parts:
            yield from self._complete(damaged=self._wanted > _FIXED)

    def lose(self) -> Iterator[Packet]:
        """Transport packets are missing: gives the packet begun, damaged."""
        if self._parts:
            yield from self._complete(damaged=True)
        self._lost = True

    def mark(self) -> None:
        """The stream breaks by intention before its next packet."""
        self._marked = True

    def _announced(self) -> None:
        head = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        # With no length said it is at least the fixed part, which is there: that stands for no end in sight.
        self._wanted = (_FIXED + length) if (length := int.from_bytes(head[4:6], "big")) else -1

    def _complete(self, *, damaged: bool) -> Iterator[Packet]:
        data = b"".join(self._parts)
        wanted, random_access, lost = self._wanted, self._random_access, self._lost
        self._parts, self._size, self._wanted = [], 0, 0
        try:
            header = read_header(data)
        except MediaError:
            self._faults.malformed += 1
            self._lost = True
            return
        if data[3] == _PADDING:
            return
        self._lost = False
        payload = data[header.size : wanted if wanted > 0 else None]
        if payload:
            yield Packet(payload, header.pts, header.dts, random_access, lost, damaged)

    def _drop(self) -> None:
        self._parts, self._size, self._wanted = [], 0, 0
        self._lost = True

"""A transport stream written packet by packet for the tests: every field as a test wants it, right or wrong.

Written from ISO/IEC 13818-1 without a look at what reads it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

PACKET = 188
WRAP = 1 << 33


def crc(data: bytes) -> int:
    """CRC-32 of annex A, bit by bit."""
    register = 0xFFFF_FFFF
    for byte in data:
        for bit in range(7, -1, -1):
            top = register >> 31 ^ (byte >> bit & 1)
            register = (register << 1 & 0xFFFF_FFFF) ^ (0x04C1_1DB7 if top else 0)
    return register


def section(table: int, body: bytes) -> bytes:
    """A section with its check; ``body`` follows the length."""
    head = bytes((table,)) + (0xB000 | len(body) + 4).to_bytes(2, "big") + body
    return head + crc(head).to_bytes(4, "big")


def descriptor(tag: int, data: bytes) -> bytes:
    return bytes((tag, len(data))) + data


REGISTRATION = 0x05


def registered(name: bytes) -> bytes:
    return descriptor(REGISTRATION, name)


def stamp(mark: int, ticks: int) -> bytes:
    """Five bytes of a timestamp."""
    ticks %= WRAP
    word = mark << 36 | (ticks >> 30) << 33 | 1 << 32 | (ticks >> 15 & 0x7FFF) << 17 | 1 << 16
    return (word | (ticks & 0x7FFF) << 1 | 1).to_bytes(5, "big")


def pes(payload: bytes, pts: int | None = None, dts: int | None = None, *, id: int = 0xE0, bounded: bool = False):
    """A PES packet; ``bounded``: it says how long it is."""
    stamps = b""
    if pts is not None:
        stamps = stamp(2, pts) if dts is None else stamp(3, pts) + stamp(1, dts)
    flags = 0 if pts is None else 0x80 if dts is None else 0xC0
    rest = bytes((0x80, flags, len(stamps))) + stamps + payload
    return b"\x00\x00\x01" + bytes((id,)) + (len(rest) if bounded else 0).to_bytes(2, "big") + rest


@dataclass
class TsMaker:
    """One program: ``streams`` are (PID, stream type, descriptors)."""

    streams: list[tuple[int, int, bytes]]
    program: int = 1
    map_pid: int = 0x1000
    clock_pid: int = 0x100
    counters: Counter[int] = field(default_factory=Counter)

    def tables(self, version: int = 0) -> bytes:
        """The two tables."""
        head = bytes((0xC1 | version << 1, 0, 0))
        pat = (1).to_bytes(2, "big") + head
        pat += self.program.to_bytes(2, "big") + (0xE000 | self.map_pid).to_bytes(2, "big")
        pmt = self.program.to_bytes(2, "big") + head + (0xE000 | self.clock_pid).to_bytes(2, "big") + b"\xf0\x00"
        for pid, kind, descriptors in self.streams:
            pmt += bytes((kind,)) + (0xE000 | pid).to_bytes(2, "big")
            pmt += (0xF000 | len(descriptors)).to_bytes(2, "big") + descriptors
        return self.sections(0, section(0, pat)) + self.sections(self.map_pid, section(2, pmt))

    def sections(self, pid: int, body: bytes) -> bytes:
        """A section in packets of its own, stuffed behind it."""
        body = b"\x00" + body
        body += b"\xff" * (-len(body) % (PACKET - 4))
        return b"".join(
            self._packet(pid, body[at : at + PACKET - 4], unit_start=at == 0) for at in range(0, len(body), PACKET - 4)
        )

    def unit(
        self,
        pid: int,
        payload: bytes,
        pts: int | None = None,
        dts: int | None = None,
        *,
        bounded: bool = False,
        random_access: bool = False,
        id: int = 0xE0,
    ) -> bytes:
        """A PES packet in packets, the last one stuffed by an adaptation field."""
        data = pes(payload, pts, dts, id=id, bounded=bounded)
        flags, first, out = (b"\x40" if random_access else b""), True, []
        while data:
            adaptation = bytes((len(flags),)) + flags if flags else b""
            room = PACKET - 4 - len(adaptation)
            if len(data) < room:
                short = room - len(data)
                adaptation = _stuffed(adaptation, short)
                room = len(data)
            out.append(self._packet(pid, data[:room], adaptation, unit_start=first))
            data, flags, first = data[room:], b"", False
        return b"".join(out)

    def clock(self, ticks: int, *, discontinuity: bool = False, pid: int | None = None) -> bytes:
        """A packet with nothing but the program's clock, at 90 kHz."""
        body = bytes((0x10 | 0x80 * discontinuity,)) + (ticks % WRAP << 15 | 0x7E00).to_bytes(6, "big")
        adaptation = bytes((PACKET - 5,)) + body.ljust(PACKET - 5, b"\xff")
        return self._packet(self.clock_pid if pid is None else pid, b"", adaptation, unit_start=False)

    def _packet(self, pid: int, payload: bytes, adaptation: bytes = b"", *, unit_start: bool) -> bytes:
        counter = self.counters[pid] & 15
        self.counters[pid] += bool(payload)
        if not payload:
            counter = counter - 1 & 15
        control = 0x20 * bool(adaptation) | 0x10 * bool(payload) | counter
        packet = bytes((0x47, 0x40 * unit_start | pid >> 8, pid & 0xFF, control)) + adaptation + payload
        assert len(packet) == PACKET
        return packet


def _stuffed(adaptation: bytes, short: int) -> bytes:
    """The adaptation field made longer by ``short`` bytes."""
    if not adaptation:
        return bytes((short - 1,)) + (b"\x00".ljust(short - 1, b"\xff") if short > 1 else b"")
    return bytes((adaptation[0] + short,)) + adaptation[1:] + b"\xff" * short


def packets(stream: bytes) -> list[bytes]:
    return [stream[at : at + PACKET] for at in range(0, len(stream), PACKET)]

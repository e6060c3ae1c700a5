"""Program specific information: sections, and the two tables that say what is in a transport stream.

Clauses are those of ISO/IEC 13818-1:2019.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAT_PID: Final = 0
PAT_TABLE: Final = 0x00
PMT_TABLE: Final = 0x02

MAX_SECTION: Final = 4096
"""Bytes of the longest section: 12 bits of length less two values that are not allowed, and the head (2.4.4.11)."""

_STUFFING: Final = 0xFF
"""In the place of a table id: the rest of the packet is empty (2.4.4)."""

_MIRROR: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32(data: bytes) -> int:
    """The check of annex A: 0 over a whole section that is sound.

    It is the CRC of zlib with the bits of every byte, and of the result, in the other order.
    """
    return int(f"{zlib.crc32(data.translate(_MIRROR)) ^ 0xFFFF_FFFF:032b}"[::-1], 2)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What is said of a program or a stream: a tag and its bytes (2.6)."""

    tag: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """One elementary stream of a program map."""

    pid: int
    stream_type: int
    descriptors: tuple[Descriptor, ...] = ()


@dataclass(frozen=True, slots=True)
class ProgramMap:
    """One program map section (2.4.4.9)."""

    program: int
    version: int
    clock_pid: int
    descriptors: tuple[Descriptor, ...]
    streams: tuple[StreamEntry, ...]


class SectionReader:
    """Puts the sections of one PID together, whatever packets they are spread over."""

    def __init__(self) -> None:
        self._data = b""
        self._begun = False

    def push(self, payload: bytes, *, unit_start: bool) -> Iterator[bytes]:
        """The payload of the next packet; gives the sections that end in it."""
        if unit_start:
            pointer = payload[0] if payload else 0
            if self._begun:
                yield from self._take(payload[1 : 1 + pointer])
            self._data, self._begun = b"", True
            payload = payload[1 + pointer :]
        if self._begun:
            yield from self._take(payload)

    def lose(self) -> None:
        """Packets are missing: go on with the next section that begins."""
        self._data, self._begun = b"", False

    def _take(self, payload: bytes) -> Iterator[bytes]:
        self._data += payload
        while self._data and self._data[0] != _STUFFING:
            if len(self._data) < 3:
                return
            size = 3 + (int.from_bytes(self._data[1:3], "big") & 0x0FFF)
            if size > MAX_SECTION:
                break
            if len(self._data) < size:
                return
            section, self._data = self._data[:size], self._data[size:]
            yield section
        self.lose()


def current_table(section: bytes, table: int) -> bytes | None:
    """The bytes of a long section of ``table`` that is in force, from the id it extends to its check (2.4.4.11).

    None: another table, or one that is to come.

    Raises:
        MediaError: it is damaged.
    """
    if section[0] != table:
        return None
    if len(section) < 12 or not section[1] & 0x80 or crc32(section):
        raise MediaError("MPEG-TS table", "its check says that it is damaged")
    return section[3:-4] if section[5] & 1 else None


def read_pat(section: bytes) -> dict[int, int] | None:
    """The PID of each program's map by the program's number (2.4.4.4); None: not a table in force.

    Raises:
        MediaError: it is damaged.
    """
    body = current_table(section, PAT_TABLE)
    if body is None:
        return None
    entries = body[5:]
    pairs = [(entries[at : at + 2], entries[at + 2 : at + 4]) for at in range(0, len(entries) - 3, 4)]
    found = {int.from_bytes(number, "big"): int.from_bytes(pid, "big") & 0x1FFF for number, pid in pairs}
    found.pop(0, None)  # the network information
    return found


def read_pmt(section: bytes) -> ProgramMap | None:
    """A program map (2.4.4.9); None: not a table in force.

    Raises:
        MediaError: it is damaged.
    """
    body = current_table(section, PMT_TABLE)
    if body is None:
        return None
    if len(body) < 9:
        raise MediaError("MPEG-TS program map", f"of {len(body)} bytes")
    program, version = int.from_bytes(body[:2], "big"), body[2] >> 1 & 0x1F
    clock_pid = int.from_bytes(body[5:7], "big") & 0x1FFF
    at = 9 + (int.from_bytes(body[7:9], "big") & 0x0FFF)
    descriptors = _descriptors(body[9:at])
    streams = []
    while at + 5 <= len(body):
        pid = int.from_bytes(body[at + 1 : at + 3], "big") & 0x1FFF
        end = at + 5 + (int.from_bytes(body[at + 3 : at + 5], "big") & 0x0FFF)
        streams.append(StreamEntry(pid, body[at], _descriptors(body[at + 5 : end])))
        at = end
    return ProgramMap(program, version, clock_pid, descriptors, tuple(streams))


def _descriptors(data: bytes) -> tuple[Descriptor, ...]:
    found = []
    at = 0
    while at + 2 <= len(data):
        end = at + 2 + data[at + 1]
        found.append(Descriptor(data[at], data[at + 2 : end]))
        at = end
    return tuple(found)

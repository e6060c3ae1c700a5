"""RTCP: reports and the end of a source (RFC 3550, 6)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

NTP_TO_UNIX: Final = 2_208_988_800
"""Seconds from the epoch of NTP, 1900, to that of Unix."""

_HEAD: Final = struct.Struct(">BBH")
_SENDER: Final = struct.Struct(">IQIII")
_BLOCK: Final = struct.Struct(">IIIIII")
_SR, _RR, _SDES, _BYE = 200, 201, 202, 203
_CNAME: Final = 1


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says of one source (6.4.1); ``fraction`` of 256 packets, ``jitter`` in timestamp units.

    ``last_report`` is the middle of the NTP time of the newest sender report, ``delay`` since it in 1/65536 s.
    """

    ssrc: int
    fraction: int = 0
    lost: int = 0
    highest: int = 0
    jitter: int = 0
    last_report: int = 0
    delay: int = 0

    def serialize(self) -> bytes:
        """Its 24 bytes; more packets lost than there is room for are the most there is room for."""
        lost = max(-(1 << 23), min(self.lost, (1 << 23) - 1)) & 0xFF_FFFF
        return _BLOCK.pack(
            self.ssrc, self.fraction << 24 | lost, self.highest, self.jitter, self.last_report, self.delay
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    """Which NTP time (64 bits, 32 of them the fraction) is which RTP timestamp (6.4.1)."""

    ssrc: int
    ntp: int
    timestamp: int
    packets: int = 0
    octets: int = 0
    blocks: tuple[ReportBlock, ...] = ()

    def serialize(self) -> bytes:
        """The packet as it is sent."""
        body = _SENDER.pack(self.ssrc, self.ntp, self.timestamp, self.packets, self.octets)
        return _packet(_SR, len(self.blocks), body + b"".join(block.serialize() for block in self.blocks))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """What has arrived (6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()

    def serialize(self) -> bytes:
        """The packet as it is sent."""
        body = self.ssrc.to_bytes(4, "big") + b"".join(block.serialize() for block in self.blocks)
        return _packet(_RR, len(self.blocks), body)


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source's canonical name (6.5.1): every compound packet has one."""

    ssrc: int
    name: str

    def serialize(self) -> bytes:
        """The packet as it is sent."""
        name = self.name.encode()[:255]
        chunk = self.ssrc.to_bytes(4, "big") + bytes((_CNAME, len(name))) + name + b"\0"
        return _packet(_SDES, 1, chunk + bytes(-len(chunk) % 4))


@dataclass(frozen=True, slots=True)
class Bye:
    """Sources that end (6.6)."""

    ssrcs: tuple[int, ...]

    def serialize(self) -> bytes:
        """The packet as it is sent."""
        return _packet(_BYE, len(self.ssrcs), b"".join(ssrc.to_bytes(4, "big") for ssrc in self.ssrcs))


Rtcp = SenderReport | ReceiverReport | SourceName | Bye


def serialize(packets: Iterable[Rtcp]) -> bytes:
    """A compound packet (6.1)."""
    return b"".join(packet.serialize() for packet in packets)


def parse(data: Buffer) -> list[Rtcp]:
    """The packets of a compound one that are known here, up to where it can't be read.

    Raises:
        WireError: not even its first can.
    """
    view = memoryview(data)
    found: list[Rtcp] = []
    at = 0
    while len(view) - at >= _HEAD.size:
        first, kind, words = _HEAD.unpack_from(view, at)
        body = view[at + 4 : at + 4 + 4 * words]
        if first >> 6 != 2 or len(body) < 4 * words:
            break
        if (reader := _READERS.get(kind)) is not None:
            found += reader(first & 31, body)
        at += 4 + 4 * words
    if not at:
        raise WireError("RTCP", f"a packet of {len(view)} bytes that is none")
    return found


def is_rtcp(data: Buffer) -> bool:
    """True: by its type an RTCP packet, not one of RTP (RFC 5761, 4)."""
    head = bytes(memoryview(data)[:2])
    return len(head) == 2 and head[0] >> 6 == 2 and 192 <= head[1] <= 223


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEAD.pack(2 << 6 | count, kind, len(body) // 4) + body


def _blocks(view: memoryview, count: int) -> tuple[ReportBlock, ...]:
    found = []
    for at in range(0, min(count * _BLOCK.size, len(view) - _BLOCK.size + 1), _BLOCK.size):
        ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(view, at)
        lost = (loss & 0xFF_FFFF) - ((loss & 0x80_0000) << 1)
        found.append(ReportBlock(ssrc, loss >> 24, lost, highest, jitter, last, delay))
    return tuple(found)


def _read_sender(count: int, view: memoryview) -> Iterator[Rtcp]:
    if len(view) >= _SENDER.size:
        ssrc, ntp, timestamp, packets, octets = _SENDER.unpack_from(view)
        yield SenderReport(ssrc, ntp, timestamp, packets, octets, _blocks(view[_SENDER.size :], count))


def _read_receiver(count: int, view: memoryview) -> Iterator[Rtcp]:
    if len(view) >= 4:
        yield ReceiverReport(int.from_bytes(view[:4], "big"), _blocks(view[4:], count))


def _read_names(_count: int, view: memoryview) -> Iterator[Rtcp]:
    if len(view) >= 6 and view[4] == _CNAME:
        yield SourceName(int.from_bytes(view[:4], "big"), bytes(view[6 : 6 + view[5]]).decode("utf-8", "replace"))


def _read_bye(count: int, view: memoryview) -> Iterator[Rtcp]:
    ssrcs = tuple(int.from_bytes(view[at : at + 4], "big") for at in range(0, min(4 * count, len(view) - 3), 4))
    yield Bye(ssrcs)


_READERS: Final = {_SR: _read_sender, _RR: _read_receiver, _SDES: _read_names, _BYE: _read_bye}

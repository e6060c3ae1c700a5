"""AV1 (RTP Payload Format For AV1, v1.0.0): open bitstream units as elements, that go on from packet to packet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arclyd.errors import MediaError
from arclyd.media.codecs import av1
from arclyd.protocols.rtp.payload import MOST_PAYLOAD, MOST_UNIT, AccessUnit, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from arclyd.protocols.rtp.packet import RtpPacket


class Av1Depacketizer:
    """Puts temporal units together."""

    reorder = 0
    """A temporal unit is shown when it is decoded: AV1 hides what waits inside of others (7.5)."""
    shape = (0, 0)

    def __init__(self, config: bytes = b"") -> None:
        self.config = config
        self._obus: list[bytes] = []
        self._size = 0
        self._open = False
        self._timestamp: int | None = None
        self._corrupt = False

    @property
    def ready(self) -> bool:
        """A sequence header came."""
        return bool(self.config)

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet. Raises `MediaError`: elements that do not fit it, or units that are none."""
        if lost and self._obus:
            self._corrupt = True
        if self._timestamp is not None and packet.timestamp != self._timestamp:
            self._corrupt = self._corrupt or self._open
            yield from self._finish()
        self._timestamp = packet.timestamp
        if lost:  # an aggregation header does not say whether a temporal unit begins with it, but for its first (4.4)
            self._corrupt = not (not self._obus and packet.payload[:1] and packet.payload[0] & 0x08)
        self._unpack(packet.payload)
        if packet.marker:
            yield from self._finish()

    def _unpack(self, payload: bytes) -> None:
        if not payload:
            return
        head = payload[0]
        goes_on, unfinished, count = bool(head & 0x80), bool(head & 0x40), head >> 4 & 3
        elements = list(_elements(memoryview(payload)[1:], count))
        self._size += len(payload)
        if self._size > MOST_UNIT:
            self._corrupt = True
            return
        if goes_on != self._open and not (goes_on and not elements):
            self._corrupt = True
        if goes_on and elements:
            first = elements.pop(0)
            if self._open:
                self._obus[-1] += first
        self._obus += elements
        self._open = unfinished and bool(self._obus)

    def _finish(self) -> Iterator[AccessUnit]:
        obus, timestamp = self._obus, self._timestamp
        corrupt = self._corrupt or self._open
        self._obus, self._size, self._open, self._timestamp, self._corrupt = [], 0, False, None, False
        if not obus or timestamp is None:
            return
        payload = av1.join_obus(obus)
        if not payload:
            return
        keyframe = av1.is_keyframe(payload)
        if keyframe and not corrupt and av1.find_sequence_header(payload) is not None:
            self.config = av1.build_config(payload)
        yield AccessUnit(payload, timestamp, keyframe, corrupt)


def _elements(data: memoryview, count: int) -> Iterator[bytes]:
    """The elements of a packet (4.4): each with its size, but for the last where their number is told."""
    number = 0
    while data:
        number += 1
        if number == count:
            yield bytes(data)
            return
        size, at = av1.read_leb128(data, 0)
        if size > len(data) - at:
            raise MediaError("RTP", f"an element of {size} bytes with {len(data) - at} bytes left")
        yield bytes(data[at : at + size])
        data = data[at + size :]


class Av1Packetizer:
    """Packs temporal units; their elements all have their size, so that their number need not be known ahead."""

    def configure(self, config: bytes) -> None:
        """Keyframes have their sequence header in them: there is nothing to take from it."""

    def pack(self, payload: Buffer, *, keyframe: bool) -> Iterator[Piece]:
        """The payloads of one temporal unit. Raises `MediaError`: it is none."""
        head = 0x08 if keyframe else 0
        packet = bytearray()
        for obu in av1.split_obus(payload):
            rest = memoryview(obu)
            while rest:
                room = MOST_PAYLOAD - 1 - len(packet) - 2  # the size of an element takes two bytes at most
                if room < 1:
                    yield Piece(bytes((head | (0x40 if len(rest) < len(obu) else 0),)) + bytes(packet), marker=False)
                    head, packet, room = 0x80 if len(rest) < len(obu) else 0, bytearray(), MOST_PAYLOAD - 3
                part, rest = rest[:room], rest[room:]
                packet += av1.leb128(len(part)) + part
                if rest:
                    yield Piece(bytes((head | 0x40,)) + bytes(packet), marker=False)
                    head, packet = 0x80, bytearray()
        yield Piece(bytes((head,)) + bytes(packet), marker=True)

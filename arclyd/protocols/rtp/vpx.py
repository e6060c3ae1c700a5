"""VP8 (RFC 7741) and VP9 (RFC 9628): a descriptor, and behind it a piece of the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId
from arclyd.media.codecs.vp9 import Vp9Header
from arclyd.protocols.rtp.payload import MOST_PAYLOAD, MOST_UNIT, AccessUnit, Piece, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from arclyd.protocols.rtp.packet import RtpPacket

_VP8_SYNC: Final = b"\x9d\x01\x2a"


class _Cut(NamedTuple):
    """A packet's piece of a frame, and whether the frame begins with it."""

    begins: bool
    data: memoryview


class VpxDepacketizer:
    """Puts frames together; what they are declared with, their size, is in their keyframes."""

    config = b""
    reorder = 0

    def __init__(self, codec: CodecId) -> None:
        self._cut = _cut_vp8 if codec is CodecId.VP8 else _cut_vp9
        self._look = _look_vp8 if codec is CodecId.VP8 else _look_vp9
        self.shape = (0, 0)
        self._parts = bytearray()
        self._timestamp: int | None = None
        self._corrupt = False

    @property
    def ready(self) -> bool:
        """A keyframe came."""
        return self.shape != (0, 0)

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet. Raises `MediaError`: it has no descriptor."""
        if lost and self._parts:
            self._corrupt = True
        if self._timestamp is not None and packet.timestamp != self._timestamp:
            self._corrupt = True  # the marker that ends it did not come
            yield from self._finish()
        self._timestamp = packet.timestamp
        begins, data = self._cut(memoryview(packet.payload))
        if (lost and self._parts) or (not self._parts and not begins):
            self._corrupt = True
        if len(self._parts) + len(data) > MOST_UNIT:
            self._corrupt = True
        else:
            self._parts += data
        if packet.marker:
            yield from self._finish()

    def _finish(self) -> Iterator[AccessUnit]:
        payload, timestamp, corrupt = bytes(self._parts), self._timestamp, self._corrupt
        self._parts, self._timestamp, self._corrupt = bytearray(), None, False
        if not payload or timestamp is None:
            return
        shape = self._look(payload)
        if shape is not None and not corrupt:
            self.shape = shape
        yield AccessUnit(payload, timestamp, shape is not None, corrupt)


def _cut_vp8(data: memoryview) -> _Cut:
    """RFC 7741, 4.2."""
    first = _byte(data, 0)
    at = 1
    if first & 0x80:
        more = _byte(data, 1)
        at = 2
        if more & 0x80:
            at += 2 if _byte(data, at) & 0x80 else 1
        at += bool(more & 0x40) + bool(more & 0x30)
    return _Cut(bool(first & 0x10) and not first & 0x07, data[at:])


def _cut_vp9(data: memoryview) -> _Cut:
    """RFC 9628, 4.2."""
    first = _byte(data, 0)
    at = 1
    if first & 0x80:  # I: picture id
        at += 2 if _byte(data, at) & 0x80 else 1
    layer = 0
    if first & 0x20:  # L: layer indices
        layer = _byte(data, at) >> 1 & 7
        at += 1 if first & 0x10 else 2
    if first & 0x50 == 0x50:  # F and P: reference indices
        while _byte(data, at) & 1:
            at += 1
        at += 1
    if first & 0x02:  # V: scalability structure
        at = _behind_structure(data, at)
    return _Cut(bool(first & 0x08) and layer == 0, data[at:])


def _behind_structure(data: memoryview, at: int) -> int:
    head = _byte(data, at)
    at += 1
    if head & 0x10:
        at += 4 * ((head >> 5) + 1)
    if head & 0x08:
        count = _byte(data, at)
        at += 1
        for _ in range(count):
            at += 1 + (_byte(data, at) >> 2 & 3)
    return at


def _byte(data: memoryview, at: int) -> int:
    if at >= len(data):
        raise MediaError("RTP", "a descriptor that is cut off")
    return data[at]


def _look_vp8(payload: bytes) -> tuple[int, int] | None:
    """Width and height of a keyframe (RFC 6386, 9.1); None: it is none."""
    if payload[0] & 1 or payload[3:6] != _VP8_SYNC or len(payload) < 10:
        return None
    return int.from_bytes(payload[6:8], "little") & 0x3FFF, int.from_bytes(payload[8:10], "little") & 0x3FFF


def _look_vp9(payload: bytes) -> tuple[int, int] | None:
    try:
        header = Vp9Header.parse(payload)
    except MediaError:
        return None
    return header.width, header.height


class VpxPacketizer:
    """Cuts frames into pieces, each frame with a picture id."""

    def __init__(self, codec: CodecId) -> None:
        self._is_vp8 = codec is CodecId.VP8
        self._picture = 0

    def configure(self, config: bytes) -> None:
        """There is nothing to take from it."""

    def pack(self, payload: Buffer, *, keyframe: bool) -> Iterator[Piece]:
        """The payloads of one frame."""
        self._picture = (self._picture + 1) % (1 << 15)
        picture = (0x8000 | self._picture).to_bytes(2, "big")
        parts = list(pieces(memoryview(payload), MOST_PAYLOAD - 4))
        for place, part in enumerate(parts):
            last = place == len(parts) - 1
            if self._is_vp8:
                head = bytes((0x80 | (0x10 if place == 0 else 0), 0x80)) + picture
            else:
                head = bytes((0x80 | (0 if keyframe else 0x40) | (0x08 if place == 0 else 0) | (0x04 if last else 0),))
                head += picture
            yield Piece(head + bytes(part), last)

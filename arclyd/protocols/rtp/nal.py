"""H.264 (RFC 6184) and H.265 (RFC 7798), which pack NAL units alike: alone, several together, or one in fragments."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, h264, h265
from arclyd.media.codecs.annexb import is_annexb, iter_length_prefixed, join_annexb, split_annexb
from arclyd.media.codecs.nal import SYNTAXES, AnnexB
from arclyd.protocols.rtp.payload import MOST_PAYLOAD, MOST_UNIT, AccessUnit, Piece, pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from typing_extensions import Buffer

    from arclyd.protocols.rtp.packet import RtpPacket

_SIZE: Final = struct.Struct(">H")
_START: Final = 0x80
_END: Final = 0x40


@dataclass(frozen=True, slots=True)
class Syntax:
    """What differs: the types of packets that are no NAL unit alone, and what stands where in them.

    ``single`` is the first type that a NAL unit does not have. ``slices`` are the types of slices.
    """

    header: int
    aggregate: int
    fragment: int
    single: int
    slices: range
    nal_type: Callable[[Buffer], int]
    is_keyframe: Callable[[Buffer], bool]

    def retyped(self, header: Buffer, kind: int) -> bytes:
        """A NAL unit's header with another type in it."""
        head = bytes(header)
        if self.header == 1:
            return bytes((head[0] & 0xE0 | kind,))
        return bytes((head[0] & 0x81 | kind << 1, head[1]))


SYNTAXES_OF_PACKETS: Final[Mapping[CodecId, Syntax]] = MappingProxyType(
    {
        CodecId.H264: Syntax(1, 24, 28, 24, range(1, 6), h264.nal_type, h264.is_keyframe),
        CodecId.H265: Syntax(2, 48, 49, 48, range(32), h265.nal_type, h265.is_keyframe),
    }
)
"""RFC 6184, table 1; RFC 7798, 4.4."""


class NalDepacketizer:
    """Puts the access units of H.264 or H.265 together.

    An access unit ends with the marker, or where the timestamp is another one; a source whose marker is followed by
    more of the same time (cameras that mark every slice) is judged by its timestamps alone from then on.

    Args:
        codec: which of them.
        sets: parameter sets that are known ahead; what can't be read of them is waited for.
    """

    def __init__(self, codec: CodecId, sets: Sequence[bytes] = ()) -> None:
        self._syntax = SYNTAXES_OF_PACKETS[codec]
        self._annexb = _with_sets(codec, sets)
        self._units: list[Buffer] = []
        self._size = 0
        self._fragment: bytearray | None = None
        self._timestamp: int | None = None
        self._marked: int | None = None
        self._marks = True
        self._corrupt = False
        self._known = b""
        self._reorder: int | None = None

    shape = (0, 0)

    @property
    def config(self) -> bytes:
        """The configuration record; empty before the parameter sets came."""
        return self._annexb.config

    @property
    def ready(self) -> bool:
        """The parameter sets came."""
        return bool(self._annexb.config)

    @property
    def reorder(self) -> int | None:
        """As the sequence parameter set says."""
        if self._known != self.config:
            self._known = self.config
            self._reorder = _reorder(self._known, self._syntax.header)
        return self._reorder

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet. Raises `MediaError`: parameter sets that can't be read, or packets of a kind not known."""
        if lost and self._pending:
            self._corrupt = True
        if self._timestamp is not None and packet.timestamp != self._timestamp:
            yield from self._finish()
        self._timestamp = packet.timestamp
        if self._marks and packet.timestamp == self._marked:  # what was given out was not all of it
            self._marks = False
            self._corrupt = True
        if lost:
            self._fragment = None
            self._corrupt = self._corrupt or self._pending or not self._begins(packet.payload)
        self._unpack(packet.payload)
        if packet.marker and self._marks:
            self._marked = packet.timestamp
            yield from self._finish()
        else:
            self._marked = None

    @property
    def _pending(self) -> bool:
        return bool(self._units) or self._fragment is not None

    def _begins(self, payload: bytes) -> bool:
        """An access unit begins with this packet: nothing of it was lost before."""
        size = self._syntax.header
        if len(payload) < 2 * size + 3:
            return False
        kind = self._syntax.nal_type(payload)
        if kind == self._syntax.fragment:
            kind, first = payload[size] & 0x3F & (0x1F if size == 1 else 0x3F), payload[size + 1]
            if not payload[size] & _START:
                return False
        elif kind == self._syntax.aggregate:
            kind, first = self._syntax.nal_type(payload[size + 2 :]), payload[size + 2 + size]
        else:
            first = payload[size]
        # first_mb_in_slice is 0, or first_slice_segment_in_pic_flag is set: the same bit.
        return kind not in self._syntax.slices or bool(first & 0x80)

    def _unpack(self, payload: bytes) -> None:
        if len(payload) < self._syntax.header:
            return
        kind = self._syntax.nal_type(payload)
        if kind == self._syntax.fragment:
            self._take_fragment(payload)
            return
        if self._fragment is not None:  # its end did not come
            self._fragment, self._corrupt = None, True
        if kind < self._syntax.single:
            self._take(payload)
        elif kind == self._syntax.aggregate:
            self._take_all(memoryview(payload)[self._syntax.header :])
        else:
            self._corrupt = True
            raise MediaError("RTP", f"a packet of type {kind}")

    def _take_all(self, data: memoryview) -> None:
        while len(data) > _SIZE.size:
            (size,) = _SIZE.unpack_from(data)
            unit = data[2 : 2 + size]
            if len(unit) < size:
                self._corrupt = True
            elif len(unit) >= self._syntax.header:
                self._take(bytes(unit))
            data = data[2 + size :]

    def _take_fragment(self, payload: bytes) -> None:
        size = self._syntax.header
        if len(payload) <= size:
            return
        flags = payload[size]
        if flags & _START:
            self._corrupt = self._corrupt or self._fragment is not None
            kind = flags & (0x1F if size == 1 else 0x3F)
            self._fragment = bytearray(self._syntax.retyped(payload[:size], kind))
        if self._fragment is None:
            self._corrupt = True
            return
        self._fragment += payload[size + 1 :]
        if len(self._fragment) + self._size > MOST_UNIT:
            self._fragment, self._corrupt = None, True
        elif flags & _END:
            unit, self._fragment = bytes(self._fragment), None
            self._take(unit)

    def _take(self, unit: bytes) -> None:
        if self._size + len(unit) > MOST_UNIT:
            self._corrupt = True
            return
        self._size += len(unit)
        if unit[0] == 0 and is_annexb(unit):  # cameras that leave the start codes in
            self._units += [found for found in split_annexb(unit) if len(found) >= self._syntax.header]
        else:
            self._units.append(unit)

    def _finish(self) -> Iterator[AccessUnit]:
        units, timestamp = self._units, self._timestamp
        corrupt = self._corrupt or self._fragment is not None
        self._units, self._size, self._fragment, self._timestamp, self._corrupt = [], 0, None, None, False
        if not units or timestamp is None:
            return
        payload = self._annexb.convert_units(units)
        if payload:
            yield AccessUnit(payload, timestamp, self._syntax.is_keyframe(payload), corrupt)


def _with_sets(codec: CodecId, sets: Sequence[bytes]) -> AnnexB:
    """A converter that knows those parameter sets, as far as they can be read."""
    syntax = SYNTAXES[codec]
    units: list[Buffer] = []
    for data in sets:
        try:
            units += split_annexb(data) if is_annexb(data) else [data]
        except MediaError:
            continue
    known = [unit for unit in units if len(memoryview(unit)) > syntax.header_size]
    known = [unit for unit in known if syntax.nal_type(unit) in syntax.sets]
    try:
        return AnnexB(codec, join_annexb(known))
    except MediaError:
        return AnnexB(codec)


def _reorder(config: bytes, header: int) -> int | None:
    try:
        if header == 1:
            return h264.parse_sps(h264.AvcConfig.parse(config).sps[0]).reorder
        return h265.parse_sps(h265.HevcConfig.parse(config).units(h265.NalType.SPS)[0]).reorder
    except (MediaError, IndexError):
        return None


class NalPacketizer:
    """Packs access units of H.264 or H.265, the parameter sets before each keyframe.

    Args:
        codec: which of them.
        config: its configuration record.
    """

    def __init__(self, codec: CodecId, config: bytes) -> None:
        self._syntax = SYNTAXES_OF_PACKETS[codec]
        self._sets: tuple[bytes, ...] = ()
        self._length_size = 4
        self.configure(config)

    def configure(self, config: bytes) -> None:
        """Other parameter sets are in force. Raises `MediaError`: not such a record."""
        if self._syntax.header == 1:
            avc = h264.AvcConfig.parse(config)
            self._sets, self._length_size = (*avc.sps, *avc.pps), avc.length_size
        else:
            hevc = h265.HevcConfig.parse(config)
            kinds = (h265.NalType.VPS, h265.NalType.SPS, h265.NalType.PPS)
            self._sets, self._length_size = tuple(unit for kind in kinds for unit in hevc.units(kind)), hevc.length_size

    def pack(self, payload: Buffer, *, keyframe: bool) -> Iterator[Piece]:
        """The payloads of one access unit. Raises `MediaError`: its lengths do not add up."""
        units = [unit for unit in iter_length_prefixed(payload, self._length_size) if len(unit) > self._syntax.header]
        packed = [*self._together(self._sets if keyframe else ())]
        for unit in units:
            packed += self._alone(unit)
        for place, data in enumerate(packed, 1):
            yield Piece(data, place == len(packed))

    def _together(self, sets: tuple[bytes, ...]) -> Iterator[bytes]:
        if not sets:
            return
        data = b"".join(_SIZE.pack(len(unit)) + unit for unit in sets)
        if len(data) + self._syntax.header <= MOST_PAYLOAD and len(sets) > 1:
            yield self._syntax.retyped(sets[0][: self._syntax.header], self._syntax.aggregate) + data
            return
        for unit in sets:
            yield from self._alone(memoryview(unit))

    def _alone(self, unit: memoryview) -> Iterator[bytes]:
        if len(unit) <= MOST_PAYLOAD:
            yield bytes(unit)
            return
        size = self._syntax.header
        kind = self._syntax.nal_type(unit)
        head = self._syntax.retyped(unit[:size], self._syntax.fragment)
        parts = list(pieces(unit[size:], MOST_PAYLOAD - size - 1))
        for place, part in enumerate(parts):
            flags = (_START if place == 0 else 0) | (_END if place == len(parts) - 1 else 0)
            yield head + bytes((flags | kind,)) + bytes(part)

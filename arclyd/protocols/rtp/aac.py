"""AAC: as MPEG4-GENERIC (RFC 3640), and in LATM (RFC 6416)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from arclyd.errors import MediaError
from arclyd.media.codecs.aac import AudioConfig
from arclyd.media.codecs.bits import BitReader
from arclyd.media.codecs.latm import LatmReader
from arclyd.protocols.rtp.packet import TIMESTAMPS
from arclyd.protocols.rtp.payload import MOST_PAYLOAD, MOST_UNIT, AccessUnit, Piece, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from typing_extensions import Buffer

    from arclyd.protocols.rtp.packet import RtpPacket


@dataclass(frozen=True, slots=True)
class AuHeaders:
    """Bits of the fields of an access unit's header (RFC 3640, 3.2.1 and 4.1); 0: it is not there."""

    size: int = 13
    index: int = 3
    index_delta: int = 3
    cts_delta: int = 0
    dts_delta: int = 0
    random_access: int = 0
    stream_state: int = 0
    auxiliary: int = 0

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> AuHeaders:
        """As a description's parameters say, or its mode where they do not."""
        low = parameters.get("mode", "").lower() == "aac-lbr"
        size, index, delta = (6, 2, 2) if low else (13, 3, 3)
        return cls(
            _number(parameters, "sizelength", size),
            _number(parameters, "indexlength", index),
            _number(parameters, "indexdeltalength", delta),
            _number(parameters, "ctsdeltalength", 0),
            _number(parameters, "dtsdeltalength", 0),
            _number(parameters, "randomaccessindication", 0),
            _number(parameters, "streamstateindication", 0),
            _number(parameters, "auxiliarydatasizelength", 0),
        )

    def read(self, bits: BitReader, *, first: bool) -> int:
        """Pass over one header; the size in it."""
        size = bits.u(self.size)
        bits.skip(self.index if first else self.index_delta)
        for delta in (self.cts_delta, self.dts_delta):
            if delta and bits.flag():
                bits.skip(delta)
        bits.skip(min(1, self.random_access) + self.stream_state)
        return size


def _number(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, "")
    return min(int(text), 32) if text.isascii() and text.isdigit() and len(text) < 4 else default


class _Sound:
    """What both forms of AAC have: a configuration, and a length of every access unit in ticks of the source."""

    reorder = 0

    def __init__(self, config: bytes, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self.config = b""
        self.shape = (0, 0)
        self._ticks = 1024
        if config:
            self._configure(config)

    @property
    def ready(self) -> bool:
        """The configuration is known."""
        return bool(self.config)

    def _configure(self, config: bytes) -> None:
        facts = AudioConfig.parse(config)
        if not (facts.sample_rate and facts.output_rate and facts.output_channels):
            raise MediaError("AudioSpecificConfig", "no sampling rate, or no channels")
        self.config = config
        self.shape = (facts.output_rate, facts.output_channels)
        self._ticks = facts.frame_length * self._clock_rate // facts.sample_rate

    def _unit(self, payload: bytes, packet: RtpPacket, place: int) -> AccessUnit:
        timestamp = (packet.timestamp + place * self._ticks) % TIMESTAMPS
        return AccessUnit(payload, timestamp, duration=self._ticks)


class GenericDepacketizer(_Sound):
    """MPEG4-GENERIC: the headers of some access units, and behind them the units, or a fragment of one.

    Args:
        config: the AudioSpecificConfig.
        clock_rate: of the timestamps.
        headers: what the units' headers are like.

    Raises:
        MediaError: a configuration that can't be read.
    """

    def __init__(self, config: bytes, clock_rate: int, headers: AuHeaders) -> None:
        super().__init__(config, clock_rate)
        self._headers = headers
        self._fragment = bytearray()
        self._timestamp = 0

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet. Raises `MediaError`: units that do not fit it."""
        if lost or packet.timestamp != self._timestamp:
            self._fragment.clear()
        self._timestamp = packet.timestamp
        sizes, data = self._split(memoryview(packet.payload))
        if len(sizes) == 1 and sizes[0] > len(data):
            yield from self._part(sizes[0], data, packet)
            return
        self._fragment.clear()
        for place, size in enumerate(sizes):
            if size > len(data):
                raise MediaError("RTP", f"an access unit of {size} bytes with {len(data)} bytes left")
            if size:
                yield self._unit(bytes(data[:size]), packet, place)
            data = data[size:]

    def _split(self, data: memoryview) -> tuple[list[int], memoryview]:
        """The sizes of the access units, and what is behind the headers."""
        headers = self._headers
        if not headers.size:
            return [len(data)], data
        if len(data) < 2:
            raise MediaError("RTP", "no headers of access units")
        count = int.from_bytes(data[:2], "big")
        length = (count + 7) // 8
        bits = BitReader(data[2 : 2 + length], "headers of access units")
        sizes: list[int] = []
        least = headers.size + max(headers.index, headers.index_delta)
        end = bits.left - count
        while bits.left - end >= least:
            sizes.append(headers.read(bits, first=not sizes))
        data = data[2 + length :]
        if headers.auxiliary:
            size = BitReader(data[:4], "auxiliary section").u(headers.auxiliary)
            data = data[(headers.auxiliary + size + 7) // 8 :]
        return sizes, data

    def _part(self, size: int, data: memoryview, packet: RtpPacket) -> Iterator[AccessUnit]:
        """One fragment of an access unit of ``size`` bytes (3.2.3)."""
        if size > MOST_UNIT:
            raise MediaError("RTP", f"an access unit of {size} bytes")
        self._fragment += data
        if len(self._fragment) >= size or packet.marker:
            payload = bytes(self._fragment)
            self._fragment.clear()
            if len(payload) == size:
                yield self._unit(payload, packet, 0)
            else:
                raise MediaError("RTP", f"{len(payload)} bytes of an access unit of {size}")


class LatmDepacketizer(_Sound):
    """MP4A-LATM: an AudioMuxElement in one packet or in several, up to the marker.

    Args:
        mux: the StreamMuxConfig that the description has; empty: it is in the elements.
        clock_rate: of the timestamps.

    Raises:
        MediaError: a configuration that can't be read.
    """

    def __init__(self, mux: bytes, clock_rate: int) -> None:
        self._reader = LatmReader(mux)
        super().__init__(self._reader.config, clock_rate)
        self._element = bytearray()
        self._timestamp = 0
        self._damaged = False

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet. Raises `MediaError`: an element that can't be taken apart."""
        self._damaged = self._damaged or lost
        if packet.timestamp != self._timestamp:
            self._element.clear()
        self._timestamp = packet.timestamp
        if len(self._element) < MOST_UNIT:
            self._element += packet.payload
        if not packet.marker:
            return
        element, damaged = bytes(self._element), self._damaged
        self._element.clear()
        self._damaged = False
        if damaged and not lost:
            raise MediaError("RTP", "an element with a part missing")
        units = self._reader.read(element)
        if self._reader.config != self.config:
            self._configure(self._reader.config)
        for place, unit in enumerate(units):
            if unit:
                yield self._unit(unit, packet, place)


class GenericPacketizer:
    """Packs each access unit by itself as MPEG4-GENERIC, mode AAC-hbr (RFC 3640, 3.3.6)."""

    def configure(self, config: bytes) -> None:
        """It stands in the description: there is nothing to take from it here."""

    def pack(self, payload: Buffer, *, keyframe: bool) -> Iterator[Piece]:
        """The payloads of one access unit. Raises `MediaError`: larger than its header has room for."""
        del keyframe
        data = memoryview(payload)
        if len(data) >= 1 << 13:
            raise MediaError("RTP", f"an access unit of {len(data)} bytes")
        head = b"\x00\x10" + (len(data) << 3).to_bytes(2, "big")
        parts = list(pieces(data, MOST_PAYLOAD - len(head)))
        for place, part in enumerate(parts, 1):
            yield Piece(head + bytes(part), place == len(parts))

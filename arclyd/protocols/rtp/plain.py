"""Sounds whose packets are their frames: Opus (RFC 7587), G.711 and G.722 (RFC 3551), MPEG audio (RFC 2250)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import opus
from arclyd.media.codecs.mpeg_audio import MpegAudioHeader
from arclyd.protocols.rtp.packet import TIMESTAMPS
from arclyd.protocols.rtp.payload import MOST_PAYLOAD, AccessUnit, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from arclyd.protocols.rtp.packet import RtpPacket

_MPEG_HEAD: Final = 4
_MPEG_CLOCK: Final = 90_000


class OpusDepacketizer:
    """Each packet is one of Opus.

    Args:
        channels: as the description says; 0: as the first packet says (RFC 6716, 3.1).
    """

    reorder = 0

    def __init__(self, channels: int) -> None:
        self.config = b""
        self.shape = (0, 0)
        if channels:
            self._configure(channels)

    @property
    def ready(self) -> bool:
        """The channels are known."""
        return bool(self.config)

    def _configure(self, channels: int) -> None:
        self.config = opus.OpusHead(channels, coupled=channels - 1).serialize()
        self.shape = (opus.SAMPLE_RATE, channels)

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet. Raises `MediaError`: it is none of Opus."""
        del lost
        samples = opus.packet_samples(packet.payload)
        if not self.config:
            self._configure(2 if packet.payload[0] & 4 else 1)
        yield AccessUnit(packet.payload, packet.timestamp, duration=samples)


class SampleDepacketizer:
    """Each packet is some samples, a byte a channel.

    Args:
        sample_rate: in Hz.
        channels: of them.
        octets: bytes in which a tick of the timestamp passes.
    """

    config = b""
    reorder = 0
    ready = True

    def __init__(self, sample_rate: int, channels: int, octets: int) -> None:
        self.shape = (sample_rate, channels)
        self._octets = octets

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet."""
        del lost
        if packet.payload:
            ticks = len(packet.payload) // self._octets
            yield AccessUnit(packet.payload, packet.timestamp, duration=ticks or None)


class MpegAudioDepacketizer:
    """MPEG audio, whole frames or a fragment of one in each packet, behind a head of four bytes (RFC 2250, 3.5)."""

    config = b""
    reorder = 0

    def __init__(self) -> None:
        self.shape = (0, 0)
        self._fragment = bytearray()

    @property
    def ready(self) -> bool:
        """A frame came."""
        return self.shape != (0, 0)

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet. Raises `MediaError`: no frames of MPEG audio."""
        offset = int.from_bytes(packet.payload[2:_MPEG_HEAD], "big")
        data = memoryview(packet.payload)[_MPEG_HEAD:]
        if lost or not offset:
            self._fragment.clear()
        if offset:
            if len(self._fragment) != offset:
                raise MediaError("RTP", "a fragment whose frame did not begin")
            self._fragment += data
            data = memoryview(bytes(self._fragment))
        at = ticks = 0
        while at < len(data):
            header = MpegAudioHeader.parse(data[at:])
            if header.size > len(data) - at:
                self._fragment = bytearray(data[at:])
                return
            self.shape = (header.sample_rate, header.channels)
            length = header.samples * _MPEG_CLOCK // header.sample_rate
            timestamp = (packet.timestamp + ticks) % TIMESTAMPS
            yield AccessUnit(bytes(data[at : at + header.size]), timestamp, duration=length)
            at, ticks = at + header.size, ticks + length
        self._fragment.clear()


class WholePacketizer:
    """One packet an access unit. ``head``: before it."""

    def __init__(self, head: bytes = b"") -> None:
        self._head = head

    def configure(self, config: bytes) -> None:
        """There is nothing to take from it."""

    def pack(self, payload: Buffer, *, keyframe: bool) -> Iterator[Piece]:
        """The payload of one access unit."""
        del keyframe
        yield Piece(self._head + bytes(payload), marker=False)


class SamplePacketizer:
    """As many packets as samples of a byte a channel need; ``octets``: bytes in which a tick passes."""

    def __init__(self, octets: int) -> None:
        self._octets = octets

    def configure(self, config: bytes) -> None:
        """There is nothing to take from it."""

    def pack(self, payload: Buffer, *, keyframe: bool) -> Iterator[Piece]:
        """The payloads of one access unit."""
        del keyframe
        data = memoryview(payload)
        size = MOST_PAYLOAD // self._octets * self._octets
        for at in range(0, len(data), size):
            yield Piece(bytes(data[at : at + size]), marker=False, offset=at // self._octets)

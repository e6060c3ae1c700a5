"""From FFmpeg's packets to arclyd's canonical payloads: one adapter per track."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Protocol

from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from arclyd.errors import MediaError, UnknownCodec
from arclyd.media.codecs import CodecId, TrackKind, ac3, av1, codec_from_name
from arclyd.media.codecs.aac import AdtsHeader, iter_adts
from arclyd.media.codecs.nal import SYNTAXES, AnnexB
from arclyd.media.track import Track

if TYPE_CHECKING:
    from av.packet import Packet
    from av.stream import Stream
    from typing_extensions import Buffer

log = logging.getLogger(__name__)

METADATA_CODECS: Final = frozenset({"klv", "scte_35", "timed_id3"})
"""Data streams that are carried as raw data; others (time codes, private sections) mean nothing outside their file."""

ADTS_SYNC: Final = 0xFFF0

CONFIGURED: Final = frozenset({CodecId.AAC, CodecId.OPUS, CodecId.AV1, CodecId.VVC})
"""Codecs, besides those of `SYNTAXES`, whose extradata is their configuration in arclyd's sense."""


class Framing(Protocol):
    """How one track's packets become payloads."""

    @property
    def config(self) -> bytes:
        """The configuration in force; empty while it is not known."""

    def convert(self, data: Buffer) -> Buffer:
        """The payload of a packet, empty if there is none in it. `MediaError`: the packet is damaged."""


class AsIs:
    """Packets that are in arclyd's form already: their bytes are the payload, untouched."""

    def __init__(self, config: bytes) -> None:
        self.config = config

    def convert(self, data: Buffer) -> Buffer:
        """The same bytes."""
        return data


class Adts:
    """AAC in ADTS frames: the header says the configuration, what follows it is the payload."""

    def __init__(self) -> None:
        self.config = b""

    def convert(self, data: Buffer) -> Buffer:
        """The access unit of the one frame in ``data``; one that comes without a header passes."""
        view = memoryview(data)
        if int.from_bytes(view[:2], "big") & 0xFFF6 != ADTS_SYNC:
            return data
        frames = list(iter_adts(view))
        if len(frames) != 1 or frames[0][0].blocks != 1:
            raise MediaError("ADTS", f"{len(frames)} frames in one packet")
        header, payload = frames[0]
        self._learn(header)
        return payload

    def _learn(self, header: AdtsHeader) -> None:
        self.config = header.config


class Av1Bare:
    """AV1 from a container without a configuration record: it is made from the first sequence header."""

    def __init__(self) -> None:
        self.config = b""

    def convert(self, data: Buffer) -> Buffer:
        """The same bytes."""
        if not self.config and av1.find_sequence_header(data) is not None:
            self.config = av1.build_config(data)
        return data


class Ac3Bare:
    """AC-3, whose frames say their configuration."""

    def __init__(self) -> None:
        self.config = b""

    def convert(self, data: Buffer) -> Buffer:
        """The same bytes."""
        self.config = ac3.Ac3Header.parse(data).config
        return data


@dataclass(slots=True)
class Adapter:
    """One track of the source: its identity, and its packets as payloads.

    ``announced`` is the configuration that readers have been told.
    """

    id: int
    codec: CodecId
    time_base: Fraction
    framing: Framing
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0
    announced: bytes = b""

    @property
    def identity(self) -> tuple[CodecId, Fraction]:
        """What must not change when the source is opened again."""
        return self.codec, self.time_base

    @property
    def reordered(self) -> bool:
        """Pictures may be decoded in another order than they are shown in."""
        return self.codec.kind is TrackKind.VIDEO

    @property
    def config(self) -> bytes:
        """The configuration in force."""
        return self.framing.config

    @property
    def ready(self) -> bool:
        """False: the configuration is still to be found in the packets."""
        return isinstance(self.framing, AsIs) or bool(self.framing.config)

    def track(self) -> Track:
        """The track as it is declared to the ring."""
        if self.codec.kind is TrackKind.VIDEO:
            return Track.video(
                self.codec, config=self.config, width=self.width, height=self.height, time_base=self.time_base
            )
        if self.codec.kind is TrackKind.AUDIO:
            return Track.audio(
                self.codec,
                config=self.config,
                sample_rate=self.sample_rate,
                channels=self.channels,
                time_base=self.time_base,
            )
        return Track.data(self.codec, time_base=self.time_base)

    def payload(self, packet: Packet[Stream]) -> Buffer | None:
        """The packet in arclyd's form; None: nothing but parameter sets in it, or too damaged to be converted."""
        try:
            payload = self.framing.convert(memoryview(packet))
        except MediaError as error:
            log.debug("track %d: a packet is left out: %s", self.id, error)
            return None
        return payload if memoryview(payload).nbytes else None


def adapt(stream: Stream, id: int) -> Adapter | None:
    """The adapter of a demuxed stream as track ``id``; None: arclyd carries no such thing."""
    codec = _codec_of(stream)
    if codec is None or stream.time_base is None:
        return None
    adapter = Adapter(id, codec, Fraction(stream.time_base), AsIs(b""))
    if isinstance(stream, VideoStream):
        adapter.width, adapter.height = stream.codec_context.width, stream.codec_context.height
    elif isinstance(stream, AudioStream):
        adapter.sample_rate, adapter.channels = stream.codec_context.sample_rate, stream.codec_context.channels
        if not (adapter.sample_rate and adapter.channels):
            return None  # announced by the container, but not one frame of it was seen
    if isinstance(stream, VideoStream | AudioStream):
        adapter.framing = _framing(codec, bytes(stream.codec_context.extradata or b""))
    return adapter


def _codec_of(stream: Stream) -> CodecId | None:
    if stream.type == "data":
        return CodecId.RAW if stream.name in METADATA_CODECS else None
    if stream.type not in {"video", "audio"} or stream.codec_context is None:
        return None
    if stream.type == "video" and stream.disposition & stream.disposition.attached_pic:
        return None
    try:
        return codec_from_name(stream.codec_context.codec.canonical_name)
    except UnknownCodec:
        return None


def _framing(codec: CodecId, extradata: bytes) -> Framing:
    if codec in SYNTAXES:
        # A configuration record begins with its version, 1; Annex B begins with zeros or is empty.
        return AsIs(extradata) if extradata[:1] == b"\x01" else AnnexB(codec, extradata)
    if codec is CodecId.AAC and not extradata:
        return Adts()
    if codec is CodecId.AV1 and extradata[:1] != b"\x81":
        return Av1Bare()
    if codec is CodecId.AC3:
        return Ac3Bare()
    return AsIs(extradata if codec in CONFIGURED else b"")

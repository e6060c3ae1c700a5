"""Sound in a transport stream: frames that begin with a sync word and may lie across packets, and Opus."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from arclyd.errors import MediaError
from arclyd.media.codecs import ac3, latm, opus
from arclyd.media.codecs.aac import AdtsHeader, AudioConfig
from arclyd.media.codecs.mpeg_audio import HEADER as MPEG_AUDIO_HEADER
from arclyd.media.codecs.mpeg_audio import MpegAudioHeader
from arclyd.media.formats.mpegts.units import AccessUnit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Buffer

    from arclyd.media.formats.mpegts.demuxer import Unit
    from arclyd.media.formats.mpegts.psi import Descriptor

_CLOCK: Final = 90_000

_MAX_FRAME: Final = 1 << 16
"""Bytes; none of the codecs here has a larger one."""

_MAX_MISFITS: Final = 256
"""Places in a packet that look like the beginning of a frame and are none, before the rest of it is given up."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A whole frame: its access units, samples in each of them, at which rate, and what the track is declared with."""

    payloads: Sequence[Buffer]
    samples: int
    rate: int
    config: bytes
    sound: tuple[int, int]


class Cutter(Protocol):
    """Knows one coding's frames."""

    header: int
    """Bytes that say how large a frame is."""
    sync: re.Pattern[bytes]
    """How each begins."""

    def size(self, header: Buffer) -> int:
        """Bytes of the frame that begins with ``header``. Raises `MediaError`: none does."""

    def cut(self, frame: memoryview) -> Cut:
        """Take it apart. Raises `MediaError`: it is damaged."""


class Adts:
    """AAC in ADTS: the header says the configuration, what follows it is the payload."""

    header = 7
    sync = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")

    def size(self, header: Buffer) -> int:
        """As `Cutter` says."""
        return AdtsHeader.parse(header).size

    def cut(self, frame: memoryview) -> Cut:
        """As `Cutter` says."""
        head = AdtsHeader.parse(frame)
        if head.blocks != 1:
            raise MediaError("ADTS", f"{head.blocks} access units in one frame")
        return _aac(head.config, [frame[head.header_size :]])


class Loas:
    """AAC in LATM elements of a synchronised stream."""

    header = latm.HEADER
    sync = re.compile(rb"\x56[\xe0-\xff]")

    def __init__(self) -> None:
        self._reader = latm.LatmReader()

    def size(self, header: Buffer) -> int:
        """As `Cutter` says."""
        return latm.element_size(header)

    def cut(self, frame: memoryview) -> Cut:
        """As `Cutter` says."""
        payloads = self._reader.read(frame[latm.HEADER :])
        return _aac(self._reader.config, payloads)


def _aac(config: bytes, payloads: Sequence[Buffer]) -> Cut:
    facts = AudioConfig.parse(config)
    return Cut(
        payloads, facts.frame_length, facts.sample_rate, config, (facts.output_rate, facts.output_channels)
    )  # fmt: skip


class MpegAudio:
    """MPEG audio layer III."""

    header = MPEG_AUDIO_HEADER
    sync = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][^\xf0-\xff]")

    def size(self, header: Buffer) -> int:
        """As `Cutter` says."""
        return MpegAudioHeader.parse(header).size

    def cut(self, frame: memoryview) -> Cut:
        """As `Cutter` says; other layers are no MP3."""
        head = MpegAudioHeader.parse(frame)
        if head.layer != 3:
            raise MediaError("MPEG audio", f"layer {head.layer}")
        return Cut([frame], head.samples, head.sample_rate, b"", (head.sample_rate, head.channels))


class Ac3:
    """AC-3."""

    header = ac3.HEADER
    sync = re.compile(rb"\x0b\x77")

    def size(self, header: Buffer) -> int:
        """As `Cutter` says."""
        return ac3.Ac3Header.parse(header).size

    def cut(self, frame: memoryview) -> Cut:
        """As `Cutter` says."""
        head = ac3.Ac3Header.parse(frame)
        return Cut([frame], ac3.SAMPLES, head.sample_rate, head.config, (head.sample_rate, head.channels))


class SyncedSound:
    """Frames one after the other across packets: a packet's time is that of the first frame that begins in it."""

    def __init__(self, cutter: Cutter) -> None:
        self._cutter = cutter
        self._rest = b""
        self._trusted = True
        self._anchor: int | None = None
        self._samples = 0
        self.config = b""
        self.sound = (0, 0)

    @property
    def ready(self) -> bool:
        """A frame came."""
        return bool(self.sound[0] and self.sound[1])

    def push(self, unit: Unit) -> Iterator[AccessUnit]:
        """The frames that end in this packet."""
        if unit.lost:
            self._rest, self._trusted = b"", False
        begins, stamp = len(self._rest), unit.pts
        data = self._rest + unit.payload
        at = misfits = 0
        while (size := self._size(data, at)) is not None:
            if not size:
                self._trusted = False
                misfits += 1
                at = self._next_sync(data, at + 1) if misfits < _MAX_MISFITS else len(data)
                continue
            if stamp is not None and at >= begins:
                self._anchor, self._samples, stamp = stamp, 0, None
            yield from self._frame(memoryview(data)[at : at + size])
            at += size
        self._rest = data[at:] if not unit.damaged and len(data) - at <= _MAX_FRAME else b""

    def _size(self, data: bytes, at: int) -> int | None:
        """Bytes of the frame at that place; 0: none begins there, None: more is needed."""
        header = self._cutter.header
        if len(data) - at < header:
            return None
        try:
            size = self._cutter.size(data[at : at + header])
            if len(data) - at < size:
                return None
            after = data[at + size : at + size + header]
            if not self._trusted and len(after) == header:  # garbage may look like one frame, not like two
                self._cutter.size(after)
        except MediaError:
            return 0
        self._trusted = True
        return size

    def _next_sync(self, data: bytes, at: int) -> int:
        found = self._cutter.sync.search(data, at)
        return found.start() if found else max(at, len(data) - 1)

    def _frame(self, frame: memoryview) -> Iterator[AccessUnit]:
        try:
            cut = self._cutter.cut(frame)
        except MediaError:
            return
        self.config, self.sound = cut.config, cut.sound
        for payload in cut.payloads:
            if self._anchor is None:
                return
            pts = self._anchor + _ticks(self._samples, cut.rate)
            self._samples += cut.samples
            duration = self._anchor + _ticks(self._samples, cut.rate) - pts
            yield AccessUnit(payload, pts, pts, duration)


def _ticks(samples: int, rate: int) -> int:
    return (samples * _CLOCK + rate // 2) // rate


_OPUS_PREFIX: Final = 0x3FF
_EXTENSION: Final = 0x7F
_OPUS_CHANNELS: Final = 0x80

_LAYOUTS: Final = (
    (1, 0, b"\x00"),
    (1, 1, b"\x00\x01"),
    (2, 1, b"\x00\x02\x01"),
    (2, 2, b"\x00\x01\x02\x03"),
    (3, 2, b"\x00\x04\x01\x02\x03"),
    (4, 2, b"\x00\x04\x01\x02\x03\x05"),
    (4, 3, b"\x00\x04\x01\x02\x03\x05\x06"),
    (5, 3, b"\x00\x06\x01\x02\x03\x04\x05\x07"),
)
"""Streams, coupled ones and mapping of one to eight channels, in the order of Vorbis (RFC 7845, 5.1.1.2)."""


class OpusSound:
    """Opus: each access unit follows a control header with its size (ETSI TS 103 491 profile of Opus in MPEG-TS)."""

    def __init__(self, descriptors: Sequence[Descriptor]) -> None:
        channels = 2
        for descriptor in descriptors:
            if descriptor.tag == _EXTENSION and descriptor.data[:1] == bytes((_OPUS_CHANNELS,)):
                channels = descriptor.data[1] if len(descriptor.data) > 1 else channels
        if not 1 <= channels <= len(_LAYOUTS):
            channels = 2  # two languages, one a channel (0), or a mapping that is said elsewhere
        streams, coupled, mapping = _LAYOUTS[channels - 1]
        plain = channels <= 2
        head = opus.OpusHead(
            channels,
            family=0 if plain else 1,
            streams=streams,
            coupled=coupled,
            mapping=b"" if plain else mapping,
        )
        self.config = head.serialize()
        self.sound = (opus.SAMPLE_RATE, channels)
        self.ready = True

    def push(self, unit: Unit) -> Iterator[AccessUnit]:
        """The access units of a packet. Raises `MediaError` where one has no control header."""
        data, pts = memoryview(unit.payload), unit.pts
        while data:
            start, size = _opus_header(data)
            packet, data = data[start : start + size], data[start + size :]
            if len(packet) < size and not unit.damaged:
                raise MediaError("Opus", f"an access unit of {size} bytes with {len(packet)} bytes left")
            ticks = opus.packet_samples(packet) * _CLOCK // opus.SAMPLE_RATE
            yield AccessUnit(packet, pts, pts, ticks, corrupt=unit.damaged)
            pts = None if pts is None else pts + ticks


def _opus_header(data: memoryview) -> tuple[int, int]:
    """Bytes of the control header at the start, and of the access unit behind it."""
    if len(data) < 3 or (data[0] << 8 | data[1]) >> 5 != _OPUS_PREFIX:
        raise MediaError("Opus", "no control header")
    flags, at, size = data[1], 2, 0
    while at < len(data) and data[at] == 255:
        size, at = size + 255, at + 1
    if at == len(data):
        raise MediaError("Opus", "a control header that does not end")
    size, at = size + data[at], at + 1
    at += 2 * bool(flags & 0x10) + 2 * bool(flags & 0x08)
    if flags & 0x04:
        at += 1 + (data[at] if at < len(data) else 0)
    return at, size

"""What an elementary stream carries: its stream type, and where that says too little, its descriptors.

Types are those of ISO/IEC 13818-1:2019, table 2-34, and those that ATSC, SCTE and DVB assigned.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.media.codecs import CodecId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arclyd.media.formats.mpegts.psi import Descriptor, StreamEntry

_REGISTRATION: Final = 0x05
_METADATA: Final = 0x26
_TELETEXT: Final = 0x56
_SUBTITLES: Final = 0x59
_AC3: Final = 0x6A


class Content(Enum):
    """A stream's coding and framing; the value is the name shown to people."""

    H264 = "h264"
    H265 = "h265"
    AV1 = "av1"
    AAC_ADTS = "aac (adts)"
    AAC_LATM = "aac (latm)"
    MPEG_AUDIO = "mpeg audio"
    OPUS = "opus"
    AC3 = "ac3"
    SCTE35 = "scte35"
    KLV = "klv"
    ID3 = "id3"
    DVB_SUBTITLES = "dvb subtitles"
    TELETEXT = "teletext"
    METADATA = "metadata"
    PRIVATE = "private data"

    @property
    def codec(self) -> CodecId:
        """The codec of the track it makes."""
        return _CODECS.get(self, CodecId.RAW)

    @property
    def in_sections(self) -> bool:
        """It comes in sections, not in PES packets, and has no timestamps of its own."""
        return self is Content.SCTE35


_CODECS: Final[Mapping[Content, CodecId]] = MappingProxyType(
    {
        Content.H264: CodecId.H264,
        Content.H265: CodecId.H265,
        Content.AV1: CodecId.AV1,
        Content.AAC_ADTS: CodecId.AAC,
        Content.AAC_LATM: CodecId.AAC,
        Content.MPEG_AUDIO: CodecId.MP3,
        Content.OPUS: CodecId.OPUS,
        Content.AC3: CodecId.AC3,
    }
)

_BY_TYPE: Final[Mapping[int, Content]] = MappingProxyType(
    {
        0x03: Content.MPEG_AUDIO,
        0x04: Content.MPEG_AUDIO,
        0x0F: Content.AAC_ADTS,
        0x11: Content.AAC_LATM,
        0x1B: Content.H264,
        0x24: Content.H265,
        0x81: Content.AC3,  # ATSC A/52, A3.1
        0x86: Content.SCTE35,  # ANSI/SCTE 35, 8.1
    }
)

_BY_REGISTRATION: Final[Mapping[bytes, Content]] = MappingProxyType(
    {
        b"AV01": Content.AV1,  # Carriage of AV1 in MPEG-2 TS, 2.1
        b"AC-3": Content.AC3,
        b"HEVC": Content.H265,
        b"KLVA": Content.KLV,  # MISB ST 1402
        b"Opus": Content.OPUS,
        b"CUEI": Content.SCTE35,
        b"ID3 ": Content.ID3,
    }
)

_PRIVATE_PES: Final = 0x06
_METADATA_PES: Final = 0x15


def content_of(stream: StreamEntry) -> Content | None:
    """What the stream carries; None: nothing that is kept."""
    known = _BY_TYPE.get(stream.stream_type)
    if known is not None:
        return known
    if stream.stream_type not in {_PRIVATE_PES, _METADATA_PES}:
        return None
    tags = {descriptor.tag for descriptor in stream.descriptors}
    for descriptor in stream.descriptors:
        if (named := _BY_REGISTRATION.get(_format(descriptor))) is not None:
            return None if named.in_sections else named
    for tag, named in ((_AC3, Content.AC3), (_SUBTITLES, Content.DVB_SUBTITLES), (_TELETEXT, Content.TELETEXT)):
        if tag in tags:
            return named
    return Content.METADATA if stream.stream_type == _METADATA_PES else Content.PRIVATE


def _format(descriptor: Descriptor) -> bytes:
    """The format identifier in a registration or a metadata descriptor (2.6.8, 2.6.60); empty: none in it."""
    if descriptor.tag == _REGISTRATION:
        return descriptor.data[:4]
    if descriptor.tag == _METADATA and len(descriptor.data) > 2:
        at = 6 if descriptor.data[:2] == b"\xff\xff" else 2  # behind the application's own identifier
        if descriptor.data[at : at + 1] == b"\xff":
            return descriptor.data[at + 1 : at + 5]
    return b""

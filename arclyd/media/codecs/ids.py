"""Codec ids as they stand in the ring and on the control socket, their names, and the kind of each."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from arclyd.errors import UnknownCodec


class TrackKind(IntEnum):
    """What a track carries; the number is the one in the ring's track table."""

    VIDEO = 0
    AUDIO = 1
    DATA = 2

    @property
    def label(self) -> str:
        """The word used on the control socket and on the screen: "video", "audio" or "data"."""
        return self.name.lower()


class CodecId(IntEnum):
    """One byte naming a codec, the same in every process and every version."""

    H264 = 0
    H265 = 1
    VP8 = 2
    VP9 = 3
    AV1 = 4
    AAC = 5
    OPUS = 6
    G711A = 7
    G711U = 8
    G722 = 9
    MP3 = 10
    RAW = 11
    VVC = 12
    AC3 = 13
    UNKNOWN = 255

    @classmethod
    def from_byte(cls, byte: int) -> CodecId:
        """The codec of that id.

        Raises:
            UnknownCodec: an id outside the table; it carries the byte.
        """
        try:
            return cls(byte)
        except ValueError:
            raise UnknownCodec(byte) from None

    @property
    def label(self) -> str:
        """The short name shown to people and accepted by `codec_from_name`."""
        return self.name.lower()

    @property
    def kind(self) -> TrackKind:
        """The kind of track it makes; codecs without a picture or a sound make data tracks."""
        return _FACTS[self].kind

    @property
    def ffmpeg_name(self) -> str:
        """FFmpeg's canonical codec name (not that of one of its encoders or decoders); empty for UNKNOWN."""
        return _FACTS[self].ffmpeg_name


class _Facts(NamedTuple):
    kind: TrackKind
    ffmpeg_name: str
    aliases: tuple[str, ...] = ()


_FACTS: Final = MappingProxyType(
    {
        CodecId.H264: _Facts(TrackKind.VIDEO, "h264", ("avc", "avc1", "h.264")),
        CodecId.H265: _Facts(TrackKind.VIDEO, "hevc", ("hvc1", "hev1", "h.265")),
        CodecId.VP8: _Facts(TrackKind.VIDEO, "vp8"),
        CodecId.VP9: _Facts(TrackKind.VIDEO, "vp9"),
        CodecId.AV1: _Facts(TrackKind.VIDEO, "av1", ("av01",)),
        CodecId.AAC: _Facts(TrackKind.AUDIO, "aac", ("mp4a",)),
        CodecId.OPUS: _Facts(TrackKind.AUDIO, "opus"),
        CodecId.G711A: _Facts(TrackKind.AUDIO, "pcm_alaw", ("alaw", "pcma")),
        CodecId.G711U: _Facts(TrackKind.AUDIO, "pcm_mulaw", ("ulaw", "mulaw", "pcmu")),
        CodecId.G722: _Facts(TrackKind.AUDIO, "adpcm_g722"),
        CodecId.MP3: _Facts(TrackKind.AUDIO, "mp3"),
        CodecId.RAW: _Facts(TrackKind.DATA, "bin_data", ("klv", "scte_35", "timed_id3")),
        CodecId.VVC: _Facts(TrackKind.VIDEO, "vvc", ("h266", "vvc1", "h.266")),
        CodecId.AC3: _Facts(TrackKind.AUDIO, "ac3", ("ac-3",)),
        CodecId.UNKNOWN: _Facts(TrackKind.DATA, ""),
    }
)

_BY_NAME: Final = MappingProxyType(
    {
        name: codec
        for codec, facts in _FACTS.items()
        for name in (codec.label, facts.ffmpeg_name, *facts.aliases)
        if name
    }
)


def codec_from_name(name: str) -> CodecId:
    """The codec of that name, case aside: its label, FFmpeg's codec name or another name in common use.

    Raises:
        UnknownCodec: a name outside the table; it carries the name.
    """
    codec = _BY_NAME.get(name.lower())
    if codec is None:
        raise UnknownCodec(name)
    return codec

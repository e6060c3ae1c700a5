"""Fragmented MP4 (ISO/IEC 14496-12): the boxes that say what the tracks are, before any sample.

An init segment is a pure function of the tracks. Players of CMAF fragments need one, and PyAV takes it as the
description of streams it has not demuxed itself (`arclyd.media.formats.container`), which no codec need be opened for.
"""

from __future__ import annotations

import struct
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from arclyd.media.track import Track

UNITY_MATRIX: Final = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
MOVIE_TIMESCALE: Final = 1000
LANGUAGE_UNDETERMINED: Final = 0x55C4  # "und", three times five bits (14496-12, 8.4.2)


def box(kind: bytes, *parts: bytes) -> bytes:
    """One box: its size, its four-character ``kind`` and its parts (14496-12, 4.2)."""
    return struct.pack(">I4s", 8 + sum(map(len, parts)), kind) + b"".join(parts)


def full_box(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    """A box that starts with a version and 24 bits of flags."""
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def timescale(track: Track) -> int:
    """Units per second of the track in the file: the denominator of its time base.

    A time base of n/d keeps exact timestamps as multiples of n of this timescale.
    """
    return track.time_base.denominator


def supports(codec: CodecId) -> bool:
    """True for a codec that has a sample entry here."""
    return codec in _SAMPLE_ENTRIES


def init_segment(tracks: Sequence[Track]) -> bytes:
    """``ftyp`` and ``moov`` for ``tracks``; a track's id in the file is its place in the list plus one.

    Raises:
        MediaError: a codec that MP4 has no sample entry for, or a configuration record that is missing.
    """
    return _ftyp() + _moov(tracks)


def _ftyp() -> bytes:
    return box(b"ftyp", b"iso6", struct.pack(">I", 0), b"iso6", b"cmfc", b"mp41")


def _moov(tracks: Sequence[Track]) -> bytes:
    traks = [_trak(number, track) for number, track in enumerate(tracks, 1)]
    trexs = [full_box(b"trex", 0, 0, struct.pack(">5I", number, 1, 0, 0, 0)) for number in range(1, len(tracks) + 1)]
    return box(b"moov", _mvhd(next_track=len(tracks) + 1), *traks, box(b"mvex", *trexs))


def _mvhd(*, next_track: int) -> bytes:
    return full_box(
        b"mvhd",
        0,
        0,
        struct.pack(">4I", 0, 0, MOVIE_TIMESCALE, 0),
        struct.pack(">IH10x", 0x10000, 0x0100),  # rate 1.0, volume 1.0
        UNITY_MATRIX,
        bytes(24),
        struct.pack(">I", next_track),
    )


def _trak(number: int, track: Track) -> bytes:
    return box(b"trak", _tkhd(number, track), _mdia(track))


def _tkhd(number: int, track: Track) -> bytes:
    enabled_in_movie = 3
    return full_box(
        b"tkhd",
        0,
        enabled_in_movie,
        struct.pack(">5I8x", 0, 0, number, 0, 0),
        struct.pack(">4H", 0, 0, 0x0100 if track.codec.kind is TrackKind.AUDIO else 0, 0),
        UNITY_MATRIX,
        struct.pack(">2I", track.width << 16, track.height << 16),
    )


def _mdia(track: Track) -> bytes:
    mdhd = full_box(b"mdhd", 0, 0, struct.pack(">4I2H", 0, 0, timescale(track), 0, LANGUAGE_UNDETERMINED, 0))
    handler, header = _HANDLERS[track.codec.kind]
    hdlr = full_box(b"hdlr", 0, 0, struct.pack(">I4s12x", 0, handler), b"arclyd\0")
    dref = full_box(b"dref", 0, 0, struct.pack(">I", 1), full_box(b"url ", 0, 1))
    return box(b"mdia", mdhd, hdlr, box(b"minf", header, box(b"dinf", dref), _stbl(track)))


def _stbl(track: Track) -> bytes:
    empty = struct.pack(">I", 0)
    return box(
        b"stbl",
        full_box(b"stsd", 0, 0, struct.pack(">I", 1), sample_entry(track)),
        full_box(b"stts", 0, 0, empty),
        full_box(b"stsc", 0, 0, empty),
        full_box(b"stsz", 0, 0, empty, empty),
        full_box(b"stco", 0, 0, empty),
    )


def sample_entry(track: Track) -> bytes:
    """The box inside ``stsd`` that names the codec and carries its configuration.

    Raises:
        MediaError: as `init_segment`.
    """
    make = _SAMPLE_ENTRIES.get(track.codec)
    if make is None:
        raise MediaError("fmp4", f"no sample entry is defined for {track.codec.label}")
    return make(track)


def _config(track: Track, shortest: int) -> bytes:
    if len(track.config) < shortest:
        raise MediaError("fmp4", f"a {track.codec.label} track without its decoder configuration")
    return bytes(track.config)


def _visual(kind: bytes, track: Track, *children: bytes) -> bytes:
    """VisualSampleEntry (14496-12, 12.1.3): 72 dpi, one frame a sample, 24 bit."""
    return box(
        kind,
        struct.pack(">6xH16x2H", 1, track.width, track.height),
        struct.pack(">3IH32xHh", 0x480000, 0x480000, 0, 1, 0x18, -1),
        *children,
    )


def _audio(kind: bytes, track: Track, *children: bytes, sample_rate: int = 0) -> bytes:
    """AudioSampleEntry (14496-12, 12.2.3). Its rate is 16.16: one above 65,535 Hz stands in the codec's record only."""
    rate = sample_rate or track.sample_rate
    return box(
        kind,
        struct.pack(">6xH8x2H4xI", 1, track.channels, 16, (rate if rate <= 0xFFFF else 0) << 16),
        *children,
    )


def _avc1(track: Track) -> bytes:
    return _visual(b"avc1", track, box(b"avcC", _config(track, 7)))


def _hvc1(track: Track) -> bytes:
    return _visual(b"hvc1", track, box(b"hvcC", _config(track, 23)))


def _av01(track: Track) -> bytes:
    return _visual(b"av01", track, box(b"av1C", _config(track, 4)))


def _vvc1(track: Track) -> bytes:
    return _visual(b"vvc1", track, full_box(b"vvcC", 0, 0, _config(track, 6)))


def _vpx(kind: bytes) -> Callable[[Track], bytes]:
    def make(track: Track) -> bytes:
        return _visual(kind, track, full_box(b"vpcC", 1, 0, track.config or _default_vpcc()))

    return make


def _default_vpcc() -> bytes:
    """Profile 0, level unspecified, 8 bit 4:2:0, unspecified colours (VP Codec ISO Media File Format Binding)."""
    bit_depth_and_subsampling = 8 << 4 | 1 << 1
    return struct.pack(">6BH", 0, 0, bit_depth_and_subsampling, 2, 2, 2, 0)


def _mp4a(track: Track) -> bytes:
    return _audio(b"mp4a", track, _esds(0x40, _config(track, 2)))


def _mp3(track: Track) -> bytes:
    mpeg1 = track.sample_rate >= 32000
    return _audio(b"mp4a", track, _esds(0x6B if mpeg1 else 0x69, b""))


def _esds(object_type: int, decoder_specific: bytes) -> bytes:
    """ES_Descriptor of an audio stream (14496-1, 7.2.6.5) with an object type of its table 5."""
    specific = _descriptor(0x05, decoder_specific) if decoder_specific else b""
    audio_stream = 0x15
    decoder = _descriptor(0x04, struct.pack(">2B3x2I", object_type, audio_stream, 0, 0), specific)
    return full_box(b"esds", 0, 0, _descriptor(0x03, struct.pack(">HB", 0, 0), decoder, _descriptor(0x06, b"\x02")))


def _descriptor(tag: int, *parts: bytes) -> bytes:
    """A descriptor with a four-byte length, seven bits a byte (14496-1, 8.3.3)."""
    size = sum(map(len, parts))
    length = bytes((0x80 | size >> 21 & 0x7F, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F, size & 0x7F))
    return bytes((tag,)) + length + b"".join(parts)


def _opus(track: Track) -> bytes:
    """``dOps`` (Encapsulation of Opus in ISO BMFF, 4.3.2) says what OpusHead says, big-endian (RFC 7845, 5.1)."""
    head = _config(track, 19)
    if head[:8] != b"OpusHead":
        raise MediaError("fmp4", "an Opus configuration that is no OpusHead")
    channels, pre_skip, rate, gain, family = struct.unpack_from("<xBHIhB", head, 8)
    dops = box(b"dOps", struct.pack(">2BHIhB", 0, channels, pre_skip, rate, gain, family), head[19:])
    return _audio(b"Opus", track, dops, sample_rate=48000)


def _ac3(track: Track) -> bytes:
    """``dac3`` (ETSI TS 102 366, F.4)."""
    return _audio(b"ac-3", track, box(b"dac3", _config(track, 3)))


def _plain_audio(kind: bytes) -> Callable[[Track], bytes]:
    return lambda track: _audio(kind, track)


_HANDLERS: Final[Mapping[TrackKind, tuple[bytes, bytes]]] = MappingProxyType(
    {
        TrackKind.VIDEO: (b"vide", full_box(b"vmhd", 0, 1, bytes(8))),
        TrackKind.AUDIO: (b"soun", full_box(b"smhd", 0, 0, bytes(4))),
    }
)

_SAMPLE_ENTRIES: Final[Mapping[CodecId, Callable[[Track], bytes]]] = MappingProxyType(
    {
        CodecId.H264: _avc1,
        CodecId.H265: _hvc1,
        CodecId.AV1: _av01,
        CodecId.VVC: _vvc1,
        CodecId.VP8: _vpx(b"vp08"),
        CodecId.VP9: _vpx(b"vp09"),
        CodecId.AAC: _mp4a,
        CodecId.MP3: _mp3,
        CodecId.OPUS: _opus,
        CodecId.AC3: _ac3,
        CodecId.G711A: _plain_audio(b"alaw"),
        CodecId.G711U: _plain_audio(b"ulaw"),
    }
)

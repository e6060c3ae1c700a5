"""FLV (Adobe Video File Format 10.1, annex E) and what Enhanced RTMP v2 adds to it: tags as bytes.

FFmpeg's own muxer describes surround sound by a tag that players of plain FLV take for a second sound track, so this
container is written here. The bodies of the tags are those that RTMP carries.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.timebase import rescale_floor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.media.track import Track

MILLISECOND: Final = Fraction(1, 1000)
AUDIO_TAG: Final = 8
VIDEO_TAG: Final = 9
SCRIPT_TAG: Final = 18
MAX_TAG: Final = (1 << 24) - 1

SEQUENCE_START: Final = 0
CODED_FRAMES: Final = 1
_KEY: Final = 1
_INTER: Final = 2

_AVC: Final = 7
_AAC: Final = 0xAF  # the rest of the byte is fixed for AAC (E.4.2.1)
_SOUND_FORMATS: Final = {CodecId.MP3: 2, CodecId.G711A: 7, CodecId.G711U: 8}
_MP3_8KHZ: Final = 14
ENHANCED_AUDIO: Final = 9
"""The sound format (E.4.2.1) that says that the rest is as Enhanced RTMP has it."""
METADATA: Final = 4
"""The packet type of video for what is said of the picture; of audio it is the order of channels."""
MULTITRACK: Final = {TrackKind.VIDEO: 6, TrackKind.AUDIO: 5}
MOD_EX: Final = 7
"""Packet types of Enhanced RTMP v2: a wrapper for one of several tracks, and for modifiers such as nanoseconds."""
FOURCC: Final = {
    CodecId.H264: b"avc1",
    CodecId.H265: b"hvc1",
    CodecId.VVC: b"vvc1",
    CodecId.AV1: b"av01",
    CodecId.VP9: b"vp09",
    CodecId.VP8: b"vp08",
    CodecId.AAC: b"mp4a",
    CodecId.OPUS: b"Opus",
    CodecId.MP3: b".mp3",
    CodecId.AC3: b"ac-3",
}
REORDERED: Final = frozenset((CodecId.H264, CodecId.H265, CodecId.VVC))
"""Codecs whose coded frames have a composition time in Enhanced RTMP, too."""
_SELF_DESCRIBING: Final = frozenset((CodecId.VP9, CodecId.AC3))
"""Codecs whose configuration (vpcC, dac3) says nothing that a frame does not; AC-3 has no tag for it at all."""
_LEGACY: Final = frozenset((CodecId.H264, CodecId.AAC, CodecId.MP3, CodecId.G711A, CodecId.G711U))
_DURATION_AT: Final = 9 + 4 + 11 + 13 + 5 + 2 + 8 + 1


def file_header(tracks: Sequence[Track]) -> bytes:
    """What a file starts with: its header (E.2) and the size of the tag that is not there before the first."""
    kinds = {track.kind for track in tracks}
    flags = 4 * (TrackKind.AUDIO in kinds) | (TrackKind.VIDEO in kinds)
    return b"FLV\x01" + struct.pack(">BII", flags, 9, 0)


def tag(kind: int, ms: int, body: bytes) -> bytes:
    """One tag and its size after it (E.4.1); ``ms`` wraps after 49.7 days, as it does everywhere in FLV.

    Raises:
        MediaError: a body of 16 MiB or more.
    """
    if len(body) > MAX_TAG:
        raise MediaError("FLV tag", f"{len(body)} bytes do not fit")
    ms &= 0xFFFF_FFFF
    size = struct.pack(">I", len(body))[1:]
    time = struct.pack(">I", ms)
    return bytes((kind,)) + size + time[1:] + time[:1] + bytes(3) + body + struct.pack(">I", 11 + len(body))


def metadata(tracks: Sequence[Track], seconds: float = 0.0) -> bytes:
    """The body of the ``onMetaData`` script tag (E.5); its duration comes first, so that it can be filled in later."""
    facts: list[tuple[bytes, float]] = [(b"duration", seconds)]
    for track in tracks:
        if track.kind is TrackKind.VIDEO:
            facts += [(b"width", float(track.width)), (b"height", float(track.height))]
        elif track.kind is TrackKind.AUDIO:
            facts += [(b"audiosamplerate", float(track.sample_rate)), (b"audiochannels", float(track.channels))]
    entries = b"".join(_name(name) + b"\x00" + struct.pack(">d", value) for name, value in facts)
    return b"\x02" + _name(b"onMetaData") + b"\x08" + struct.pack(">I", len(facts)) + entries + b"\x00\x00\x09"


def _name(text: bytes) -> bytes:
    return struct.pack(">H", len(text)) + text


def sequence_header(track: Track, id: int = 0) -> bytes:
    """The body of the tag that carries a track's configuration; empty for a codec that has none.

    ``id``: which of the tracks of its kind it is; others than the first are as Enhanced RTMP v2 has them.
    """
    if track.codec in _SELF_DESCRIBING or not track.config:
        return b""
    if id or track.codec not in _LEGACY:
        return _enhanced_head(track, SEQUENCE_START, id, keyframe=True) + track.config
    if track.codec is CodecId.H264:
        return bytes((_KEY << 4 | _AVC, SEQUENCE_START, 0, 0, 0)) + track.config
    return bytes((_AAC, SEQUENCE_START)) + track.config if track.codec is CodecId.AAC else b""


def frame_body(
    track: Track, payload: bytes, *, composition_ms: int, keyframe: bool, id: int = 0, nanoseconds: int = 0
) -> bytes:
    """The body of the tag of one frame; ``composition_ms`` is pts less dts, ``nanoseconds`` what is past the tag's ms.

    ``id``: as for `sequence_header`.

    Raises:
        MediaError: FLV has no such codec.
    """
    composition = struct.pack(">i", composition_ms)[1:]
    if id or nanoseconds or track.codec not in _LEGACY:
        head = _enhanced_head(track, CODED_FRAMES, id, keyframe=keyframe, nanoseconds=nanoseconds)
        return head + (composition if track.codec in REORDERED else b"") + payload
    if track.kind is TrackKind.AUDIO:
        return _audio_head(track) + payload
    return bytes(((_KEY if keyframe else _INTER) << 4 | _AVC, CODED_FRAMES)) + composition + payload


def picture_metadata(track: Track, values: bytes, id: int = 0) -> bytes:
    """The body of the tag that says of a video track what ``values`` (AMF: colours, HDR) say; of Enhanced RTMP only."""
    return _enhanced_head(track, METADATA, id, keyframe=True) + values


def _enhanced_head(track: Track, packet: int, id: int, *, keyframe: bool, nanoseconds: int = 0) -> bytes:
    """What is before a body: modifiers, the wrapper of a track that is not the first, the codec."""
    if track.codec not in FOURCC:
        raise MediaError("FLV", f"no {track.codec.label} in it")
    is_video = track.kind is TrackKind.VIDEO
    first = (0x8 | (_KEY if keyframe else _INTER)) << 4 if is_video else ENHANCED_AUDIO << 4
    types = [MULTITRACK[track.kind], packet] if id else [packet]
    head = bytes((first | (MOD_EX if nanoseconds else types[0]),))
    if nanoseconds:  # of modifier type 0, TimestampOffsetNano: the size less one, three bytes, and what comes then
        head += bytes((2,)) + struct.pack(">I", nanoseconds)[1:] + bytes((types[0],))
    if not id:
        return head + FOURCC[track.codec]
    return head + bytes((packet,)) + FOURCC[track.codec] + bytes((id,))  # of multitrack type 0, OneTrack


def _audio_head(track: Track) -> bytes:
    if track.codec is CodecId.AAC:
        return bytes((_AAC, CODED_FRAMES))
    rate = {5512: 0, 11025: 1, 22050: 2, 44100: 3}.get(track.sample_rate, 3)
    sound = _SOUND_FORMATS[track.codec]
    if sound == _SOUND_FORMATS[CodecId.MP3] and track.sample_rate == 8000:
        sound, rate = _MP3_8KHZ, 0
    return bytes((sound << 4 | rate << 2 | 1 << 1 | (track.channels > 1),))


class FlvWriter:
    """The tags of one file, in order: `start` first, then `frame` after `frame`."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._tracks = tuple(tracks)
        self._last_ms = 0

    def start(self) -> bytes:
        """Header, metadata and configurations."""
        bodies = [(_tag_kind(track), sequence_header(track)) for track in self._tracks]
        head = file_header(self._tracks) + tag(SCRIPT_TAG, 0, metadata(self._tracks))
        return head + b"".join(tag(kind, 0, body) for kind, body in bodies if body)

    def frame(self, place: int, payload: bytes, *, pts: int, dts: int, keyframe: bool) -> bytes:
        """One frame of the track at ``place``, its times in that track's time base and not negative."""
        track = self._tracks[place]
        at, shown = _ms(dts, track.time_base), _ms(pts, track.time_base)
        self._last_ms = max(self._last_ms, at)
        body = frame_body(track, payload, composition_ms=shown - at, keyframe=keyframe)
        return tag(_tag_kind(track), at, body)

    def duration(self) -> tuple[int, bytes]:
        """Where in the file its duration stands, and the eight bytes to put there at the end."""
        return _DURATION_AT, struct.pack(">d", self._last_ms / 1000)


def _tag_kind(track: Track) -> int:
    return VIDEO_TAG if track.kind is TrackKind.VIDEO else AUDIO_TAG


def _ms(ticks: int, time_base: Fraction) -> int:
    return rescale_floor(ticks, time_base, MILLISECOND)

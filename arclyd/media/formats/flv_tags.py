"""What is in the body of an FLV tag, which is that of an RTMP message: legacy FLV, and Enhanced RTMP v1 and v2.

FLV: Adobe Video File Format 10.1, E.4.2 and E.4.3. Enhanced RTMP v2: ExVideoTagHeader, ExAudioTagHeader.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.formats.flv import (
    CODED_FRAMES,
    ENHANCED_AUDIO,
    FOURCC,
    METADATA,
    MOD_EX,
    MULTITRACK,
    REORDERED,
    SEQUENCE_START,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODED_FRAMES_X: Final = 3
_KEY: Final = 1
_DISPOSABLE: Final = 3
_COMMAND: Final = 5
_ONE_TRACK: Final = 0
_MANY_CODECS: Final = 2
_NANOSECONDS: Final = 0

_CODEC_OF: Final = {fourcc: codec for codec, fourcc in FOURCC.items()}
_VIDEO_CODECS: Final = {7: CodecId.H264, 12: CodecId.H265}
"""By the legacy id. 12 stands in no specification of Adobe's; encoders sent H.265 so before there was another way."""
_SOUND_CODECS: Final = {2: CodecId.MP3, 7: CodecId.G711A, 8: CodecId.G711U, 10: CodecId.AAC, 14: CodecId.MP3}
_RATES: Final = (5512, 11025, 22050, 44100)


class What(Enum):
    """What a part of a tag is."""

    CONFIG = "config"
    FRAME = "frame"
    METADATA = "metadata"
    """AMF values about the picture: colours, HDR."""


@dataclass(slots=True)
class Part:
    """One track's part of a tag. ``id``: which of the tracks of its kind.

    ``codec`` is None where it is one that arclyd does not carry. ``composition_ms``: pts less dts; ``nanoseconds``:
    what is past the tag's millisecond. ``rate`` and ``channels``: what a legacy sound tag says of them, else 0.
    """

    kind: TrackKind
    id: int
    codec: CodecId | None
    what: What
    payload: memoryview
    composition_ms: int = 0
    nanoseconds: int = 0
    keyframe: bool = True
    droppable: bool = False
    rate: int = 0
    channels: int = 0


def video_parts(body: bytes | bytearray | memoryview) -> list[Part]:
    """What is in the body of a video tag; payloads are views of it.

    Raises:
        MediaError: it is cut off, or of no known form.
    """
    view = memoryview(body)
    if not view:
        return []
    first = view[0]
    if first & 0x80:
        return list(_enhanced(TrackKind.VIDEO, view, first >> 4 & 7))
    frame = first >> 4
    if frame == _COMMAND:
        return []
    codec = _VIDEO_CODECS.get(first & 15)
    if codec is None:
        return [Part(TrackKind.VIDEO, 0, None, What.FRAME, view[1:])]
    if len(view) < 5:
        raise MediaError("FLV video tag", "cut off")
    if view[1] > CODED_FRAMES:  # the end of a sequence
        return []
    what = What.CONFIG if view[1] == SEQUENCE_START else What.FRAME
    part = Part(TrackKind.VIDEO, 0, codec, what, view[5:])
    if what is What.FRAME:
        part.composition_ms = _signed(view, 2)
        part.keyframe, part.droppable = frame == _KEY, frame == _DISPOSABLE
    return [part]


def audio_parts(body: bytes | bytearray | memoryview) -> list[Part]:
    """What is in the body of an audio tag; payloads are views of it.

    Raises:
        MediaError: it is cut off, or of no known form.
    """
    view = memoryview(body)
    if not view:
        return []
    first = view[0]
    if first >> 4 == ENHANCED_AUDIO:
        return list(_enhanced(TrackKind.AUDIO, view, _KEY))
    codec = _SOUND_CODECS.get(first >> 4)
    if codec is CodecId.AAC:
        if len(view) < 2:
            raise MediaError("FLV audio tag", "cut off")
        what = What.CONFIG if view[1] == SEQUENCE_START else What.FRAME
        return [Part(TrackKind.AUDIO, 0, codec, what, view[2:])]
    rate = _RATES[first >> 2 & 3]
    if codec is not CodecId.MP3 or first >> 4 == 14:
        rate = 8000
    return [Part(TrackKind.AUDIO, 0, codec, What.FRAME, view[1:], rate=rate, channels=1 + (first & 1))]


def _enhanced(kind: TrackKind, view: memoryview, frame: int) -> Iterator[Part]:
    where = f"enhanced {kind.label} tag"
    packet, at, nanoseconds = _modifiers(view, where)
    is_video = kind is TrackKind.VIDEO
    if is_video and frame == _COMMAND and packet != METADATA:
        return
    many = -1
    if packet == MULTITRACK[kind]:
        head = _take(view, at, 1, where)[0]
        many, packet, at = head >> 4, head & 15, at + 1
    fourcc = b""
    if many != _MANY_CODECS:
        fourcc, at = bytes(_take(view, at, 4, where)), at + 4
    while at < len(view) or many < 0:
        number, end = 0, len(view)
        if many == _MANY_CODECS:
            fourcc, at = bytes(_take(view, at, 4, where)), at + 4
        if many >= 0:
            number, at = _take(view, at, 1, where)[0], at + 1
        if many > _ONE_TRACK:
            size = int.from_bytes(_take(view, at, 3, where), "big")
            at += 3
            end = at + size
            _take(view, at, size, where)
        part = _part(kind, fourcc, packet, view[at:end], where)
        if part is not None:
            part.id, part.nanoseconds = number, nanoseconds
            part.keyframe, part.droppable = frame == _KEY or not is_video, is_video and frame == _DISPOSABLE
            yield part
        if many <= _ONE_TRACK:
            return
        at = end


def _part(kind: TrackKind, fourcc: bytes, packet: int, body: memoryview, where: str) -> Part | None:
    codec = _CODEC_OF.get(fourcc)
    if packet == SEQUENCE_START:
        return Part(kind, 0, codec, What.CONFIG, body)
    if packet == METADATA and kind is TrackKind.VIDEO:
        return Part(kind, 0, codec, What.METADATA, body)
    if packet == CODED_FRAMES and codec in REORDERED:
        composition = _signed(_take(body, 0, 3, where), 0)
        return Part(kind, 0, codec, What.FRAME, body[3:], composition)
    if packet in (CODED_FRAMES, _CODED_FRAMES_X):
        return Part(kind, 0, codec, What.FRAME, body)
    return None  # the end of a sequence, and what a later version adds


def _modifiers(view: memoryview, where: str) -> tuple[int, int, int]:
    """The packet type behind all modifiers, where what follows it starts, and nanoseconds."""
    packet, at, nanoseconds = view[0] & 15, 1, 0
    while packet == MOD_EX:
        size, at = _take(view, at, 1, where)[0] + 1, at + 1
        if size == 256:
            size, at = int.from_bytes(_take(view, at, 2, where), "big") + 1, at + 2
        data, at = _take(view, at, size, where), at + size
        types, at = _take(view, at, 1, where)[0], at + 1
        if types >> 4 == _NANOSECONDS and size >= 3:
            nanoseconds = min(int.from_bytes(data[:3], "big"), 999_999)
        packet = types & 15
    return packet, at, nanoseconds


def _take(view: memoryview, at: int, size: int, where: str) -> memoryview:
    taken = view[at : at + size]
    if len(taken) < size:
        raise MediaError(where, "cut off")
    return taken


def _signed(view: memoryview, at: int) -> int:
    value = view[at] << 16 | view[at + 1] << 8 | view[at + 2]
    return value - (1 << 24) if value & 0x80_0000 else value

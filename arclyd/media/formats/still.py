"""A still picture of a stream: one keyframe decoded, and written as JPEG or PNG, by PyAV."""

from __future__ import annotations

from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import av
from av.error import FFmpegError
from av.video.reformatter import ColorRange

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.video.codeccontext import VideoCodecContext

    from arclyd.media.track import Track

EXTENSIONS: Final[Mapping[str, str]] = MappingProxyType({".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png"})
"""The format of a file, by its extension."""

DECODERS: Final[Mapping[CodecId, str]] = MappingProxyType({CodecId.AV1: "libdav1d"})
"""Where FFmpeg's own decoder does not work without hardware."""

QUALITY: Final = "3"
"""Quantizer of a JPEG picture, from 1 (best) to 31: no difference is seen at this."""


def still(track: Track, keyframe: bytes, format: str = "jpeg") -> bytes:
    """The picture of one ``keyframe`` of ``track``, as a file of ``format`` (jpeg, png), in the size it was coded in.

    Raises:
        MediaError: the track is no picture, its codec has no decoder, or the bytes are no keyframe of it.
    """
    if track.kind is not TrackKind.VIDEO:
        raise MediaError("still picture", f"{track.codec.label} is no picture")
    try:
        frame = _decoded(track, keyframe)
        return _jpeg(frame) if format == "jpeg" else _png(frame)
    except (FFmpegError, ValueError) as error:  # ValueError: PyAV's own way of saying that there is no such decoder
        problem = getattr(error, "strerror", None) or str(error)
        raise MediaError("still picture", f"a {track.codec.label} keyframe gives none: {problem}") from error


def _decoded(track: Track, keyframe: bytes) -> av.VideoFrame:
    name = DECODERS.get(track.codec, track.codec.ffmpeg_name)
    decoder: VideoCodecContext = av.CodecContext.create(name, "r")  # type: ignore[assignment] # of a picture
    decoder.thread_count = 1
    if track.config:
        decoder.extradata = track.config
    for packet in (av.Packet(keyframe), None):  # None: what it holds back for frames to come
        for frame in decoder.decode(packet):
            return frame
    raise ValueError("the decoder has nothing to show for it")


def _jpeg(frame: av.VideoFrame) -> bytes:
    picture = frame.reformat(format="yuvj420p", dst_color_range=ColorRange.JPEG)
    return _encoded("mjpeg", picture, {"qmin": QUALITY, "qmax": QUALITY})


def _png(frame: av.VideoFrame) -> bytes:
    return _encoded("png", frame.reformat(format="rgb24"), {})


def _encoded(name: str, picture: av.VideoFrame, options: Mapping[str, str]) -> bytes:
    encoder: VideoCodecContext = av.CodecContext.create(name, "w")  # type: ignore[assignment] # of a picture
    encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, picture.format.name
    encoder.time_base = Fraction(1, 25)
    encoder.options = dict(options)
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])

"""One encoded picture as a JPEG."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

import av
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from arclyd.errors import MediaError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from arclyd.media.track import Track

QUALITY: Final = "3"
"""FFmpeg's quantizer scale for JPEG: 2 is best, 31 worst; 3 can't be told from the original."""


def jpeg(track: Track, keyframe: bytes) -> bytes:
    """Decode ``keyframe``, a payload of ``track``, which has its configuration, and encode it again.

    Raises:
        MediaError: it can't be decoded.
    """
    try:
        return _encode(_decode(track, keyframe))
    except (FFmpegError, ValueError) as error:
        raise MediaError("snapshot", getattr(error, "strerror", None) or str(error)) from error


def _decode(track: Track, keyframe: bytes) -> VideoFrame:
    decoder = CodecContext.create(track.codec.ffmpeg_name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.extradata = track.config or None
    decoder.thread_count = 1
    frames = [*decoder.decode(av.Packet(keyframe)), *decoder.decode(None)]
    if not frames:
        raise MediaError("snapshot", f"the {track.codec.label} keyframe gave no picture")
    return frames[0]


def _encode(picture: VideoFrame) -> bytes:
    encoder = CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qmin": QUALITY, "qmax": QUALITY}
    full = picture.reformat(format="yuvj420p")
    full.pts, full.time_base = 0, encoder.time_base
    return b"".join(bytes(packet) for packet in [*encoder.encode(full), *encoder.encode(None)])

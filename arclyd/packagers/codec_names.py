"""Which codecs can be packaged, and how they are named in manifests (RFC 6381 and the codecs' own bindings)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.media.codecs import CodecId, vp9
from arclyd.media.codecs.describe import describe_config

if TYPE_CHECKING:
    from arclyd.media.track import Track

PACKAGED: Final = frozenset(
    {CodecId.H264, CodecId.H265, CodecId.AV1, CodecId.VP9, CodecId.AAC, CodecId.OPUS, CodecId.MP3},
)
"""Codecs that ISO files have a binding for and players decode."""


def codec_name(track: Track) -> str:
    """The ``codecs`` parameter of ``track``.

    Raises:
        MediaError: the track's configuration is not one of its codec.
    """
    if track.codec is CodecId.VP9 and track.config:
        return vp9.codec_string(track.config)
    return describe_config(track.codec, track.config).codec_string

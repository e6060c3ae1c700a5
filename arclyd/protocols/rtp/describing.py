"""How a track of a stream is described, and what packs it."""

from __future__ import annotations

import base64
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.media.codecs import CodecId, TrackKind, av1, h264, h265, opus
from arclyd.protocols.rtp import plain
from arclyd.protocols.rtp.aac import GenericPacketizer
from arclyd.protocols.rtp.av1 import Av1Packetizer
from arclyd.protocols.rtp.formats import CLOCK
from arclyd.protocols.rtp.nal import NalPacketizer
from arclyd.protocols.rtp.vpx import VpxPacketizer
from arclyd.protocols.sdp.description import MediaDescription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from arclyd.media.track import Track
    from arclyd.protocols.rtp.payload import Packetizer

DYNAMIC: Final = 96
"""The first payload type that means what a description says (RFC 3551, 6)."""

_STATIC: Final[Mapping[CodecId, int]] = MappingProxyType({CodecId.G711U: 0, CodecId.G711A: 8})
_NEEDS_CONFIG: Final = frozenset((CodecId.H264, CodecId.H265, CodecId.AAC))


def problem(track: Track) -> str:
    """Why a track can't be sent by RTP; empty: it can."""
    if track.codec not in _DESCRIBED:
        return f"{track.codec.label} has no form in RTP here"
    if track.codec in _NEEDS_CONFIG and not track.config:
        return f"its configuration ({track.codec.label}) is not known"
    if track.codec is CodecId.OPUS and track.channels > 2:
        return f"Opus with {track.channels} channels"
    return ""


def clock_rate(track: Track) -> int:
    """Ticks of the timestamps a second."""
    if track.kind is TrackKind.VIDEO or track.codec is CodecId.MP3:
        return CLOCK
    if track.codec is CodecId.G722:
        return 8000
    return opus.SAMPLE_RATE if track.codec is CodecId.OPUS else track.sample_rate


def payload_type(track: Track, place: int) -> int:
    """The payload type of the track at ``place``."""
    static = _STATIC.get(track.codec)
    return static if static is not None and (track.sample_rate, track.channels) == (8000, 1) else DYNAMIC + place


def describe(track: Track, place: int, control: str) -> MediaDescription:
    """The medium that stands for the track at ``place``; ``control``: its URL.

    Raises:
        MediaError: a configuration that can't be read.
    """
    number = str(payload_type(track, place))
    name, parameters = _DESCRIBED[track.codec](track)
    rate = clock_rate(track)
    channels = ""
    if track.kind is TrackKind.AUDIO and track.codec is not CodecId.MP3:
        channels = "/2" if track.codec is CodecId.OPUS else f"/{track.channels}" if track.channels > 1 else ""
    attributes = [("rtpmap", f"{number} {name}/{rate}{channels}")]
    if parameters:
        attributes.append(("fmtp", f"{number} {';'.join(f'{key}={value}' for key, value in parameters.items())}"))
    attributes.append(("control", control))
    return MediaDescription(track.kind.label, 0, "RTP/AVP", (number,), "", tuple(attributes))


def packetizer_of(track: Track) -> Packetizer:
    """What packs a track that has no `problem`.

    Raises:
        MediaError: a configuration that can't be read.
    """
    match track.codec:
        case CodecId.H264 | CodecId.H265:
            return NalPacketizer(track.codec, track.config)
        case CodecId.AV1:
            return Av1Packetizer()
        case CodecId.VP8 | CodecId.VP9:
            return VpxPacketizer(track.codec)
        case CodecId.AAC:
            return GenericPacketizer()
        case CodecId.MP3:
            return plain.WholePacketizer(bytes(4))
        case CodecId.OPUS:
            return plain.WholePacketizer()
    return plain.SamplePacketizer(track.channels)


def _h264(track: Track) -> tuple[str, dict[str, str]]:
    config = h264.AvcConfig.parse(track.config)
    return "H264", {
        "packetization-mode": "1",
        "profile-level-id": f"{config.profile:02X}{config.constraints:02X}{config.level:02X}",
        "sprop-parameter-sets": _base64((*config.sps, *config.pps)),
    }


def _h265(track: Track) -> tuple[str, dict[str, str]]:
    config = h265.HevcConfig.parse(track.config)
    kinds = (("vps", h265.NalType.VPS), ("sps", h265.NalType.SPS), ("pps", h265.NalType.PPS))
    return "H265", {f"sprop-{name}": _base64(config.units(kind)) for name, kind in kinds}


def _av1(track: Track) -> tuple[str, dict[str, str]]:
    if not track.config:
        return "AV1", {}
    config = av1.Av1Config.parse(track.config)
    return "AV1", {
        "profile": str(config.profile),
        "level-idx": str(config.level),
        "tier": str(int(config.high_tier)),
    }


def _vp9(track: Track) -> tuple[str, dict[str, str]]:
    return "VP9", {"profile-id": "0"} if not track.config else {"profile-id": str(track.config[0])}


def _aac(track: Track) -> tuple[str, dict[str, str]]:
    return "mpeg4-generic", {
        "profile-level-id": "1",
        "mode": "AAC-hbr",
        "sizelength": "13",
        "indexlength": "3",
        "indexdeltalength": "3",
        "config": track.config.hex(),
    }


def _opus(track: Track) -> tuple[str, dict[str, str]]:
    return "opus", {"sprop-stereo": "1" if track.channels == 2 else "0"}


def _base64(units: Iterable[bytes]) -> str:
    return ",".join(base64.b64encode(unit).decode() for unit in units)


_DESCRIBED: Final[Mapping[CodecId, Callable[[Track], tuple[str, dict[str, str]]]]] = MappingProxyType(
    {
        CodecId.H264: _h264,
        CodecId.H265: _h265,
        CodecId.AV1: _av1,
        CodecId.VP8: lambda _track: ("VP8", {}),
        CodecId.VP9: _vp9,
        CodecId.AAC: _aac,
        CodecId.OPUS: _opus,
        CodecId.G711A: lambda _track: ("PCMA", {}),
        CodecId.G711U: lambda _track: ("PCMU", {}),
        CodecId.G722: lambda _track: ("G722", {}),
        CodecId.MP3: lambda _track: ("MPA", {}),
    }
)
"""The encoding name of each codec, and its parameters."""

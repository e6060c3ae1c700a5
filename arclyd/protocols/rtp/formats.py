"""What a medium of a description carries, and how its packets are read; and how a track is described.

Descriptions are as cameras write them: names in any case, parameters missing, in base64 that is cut off. What is not
said is taken from the packets where they say it, and guessed where nothing else is meant by anybody.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind, aac
from arclyd.protocols.rtp import nal, plain
from arclyd.protocols.rtp.aac import AuHeaders, GenericDepacketizer, LatmDepacketizer
from arclyd.protocols.rtp.av1 import Av1Depacketizer
from arclyd.protocols.rtp.vpx import VpxDepacketizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arclyd.protocols.rtp.payload import Depacketizer
    from arclyd.protocols.sdp.description import MediaDescription, SessionDescription

CLOCK: Final = 90_000
"""Of every picture's timestamps."""

_NAMES: Final[Mapping[str, CodecId]] = MappingProxyType(
    {
        "h264": CodecId.H264,
        "h265": CodecId.H265,
        "hevc": CodecId.H265,
        "av1": CodecId.AV1,
        "vp8": CodecId.VP8,
        "vp9": CodecId.VP9,
        "mpeg4-generic": CodecId.AAC,
        "mp4a-latm": CodecId.AAC,
        "opus": CodecId.OPUS,
        "pcma": CodecId.G711A,
        "pcmu": CodecId.G711U,
        "g722": CodecId.G722,
        "mpa": CodecId.MP3,
    }
)
"""Encoding names, in lower case."""

_STATIC: Final[Mapping[str, tuple[str, int, int]]] = MappingProxyType(
    {"0": ("pcmu", 8000, 1), "8": ("pcma", 8000, 1), "9": ("g722", 8000, 1), "14": ("mpa", CLOCK, 0)}
)
"""Payload types that need no map (RFC 3551, 6): name, clock rate, channels."""

_FIXED: Final[Mapping[CodecId, int]] = MappingProxyType({CodecId.OPUS: 48_000, CodecId.G722: 8000, CodecId.MP3: CLOCK})
"""Clock rates that are so whatever is said, as those of pictures are."""


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of a medium. ``name`` in lower case; ``clock_rate``: ticks of its timestamps a second.

    ``channels``: 0 where it is not said.
    """

    payload_type: int
    name: str
    codec: CodecId
    clock_rate: int
    channels: int = 0
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> TrackKind:
        """Picture or sound."""
        return self.codec.kind

    @classmethod
    def of(cls, medium: MediaDescription) -> Format:
        """The first payload type of ``medium`` that is known here.

        Raises:
            MediaError: there is none; it says what there is.
        """
        seen = []
        for text in medium.formats:
            parameters = medium.parameters(text)
            mapping = medium.mapping("rtpmap", text)
            name, clock_rate, channels = _mapped(text, mapping, parameters)
            codec = _NAMES.get(name)
            if codec is not None and text.isascii() and text.isdigit() and int(text) < 128:
                return cls(int(text), name, codec, _clock(codec, clock_rate), channels, parameters)
            seen.append(mapping.partition("/")[0] or text)
        raise MediaError("SDP", f"{medium.kind} as {', '.join(seen)[:100]}, which is not known here")


def formats_of(description: SessionDescription, without: str = "") -> tuple[dict[int, Format], list[str]]:
    """What the media of a description are, by their places; and why some are not known here.

    Those with the attribute ``without`` are passed over.
    """
    found: dict[int, Format] = {}
    left_out: list[str] = []
    for place, medium in enumerate(description.media):
        if without and medium.attribute(without) is not None:
            continue
        try:
            found[place] = Format.of(medium)
        except MediaError as error:
            left_out.append(error.problem)
    return found, left_out


def _mapped(text: str, mapping: str, parameters: Mapping[str, str]) -> tuple[str, int, int]:
    """Name, clock rate and channels; 0: not said."""
    if not mapping:
        return _STATIC.get(text) or (_guess(parameters), 0, 0)
    words = [word.strip() for word in mapping.split("/")]
    numbers = [int(word) if word.isascii() and word.isdigit() and len(word) < 8 else 0 for word in words[1:3]]
    rate, channels = (*numbers, 0, 0)[:2]
    return words[0].lower(), rate, min(channels, 255)


def _guess(parameters: Mapping[str, str]) -> str:
    """By parameters that only one codec has, where cameras leave the map out."""
    if "sprop-parameter-sets" in parameters or "packetization-mode" in parameters:
        return "h264"
    if "sprop-vps" in parameters or "sprop-sps" in parameters:
        return "h265"
    return "mpeg4-generic" if parameters.get("mode", "").lower().startswith("aac-") else ""


def _clock(codec: CodecId, said: int) -> int:
    if codec.kind is TrackKind.VIDEO:
        return CLOCK
    return _FIXED.get(codec) or said or (8000 if codec in (CodecId.G711A, CodecId.G711U) else CLOCK)


# ------------------------------------------------------------------- reading


def depacketizer_of(format: Format) -> Depacketizer:
    """What reads a source of that format.

    Raises:
        MediaError: it is described in a way that its packets can't be read with.
    """
    said = format.parameters
    match format.codec:
        case CodecId.H264 | CodecId.H265:
            names = ("sprop-parameter-sets", "sprop-vps", "sprop-sps", "sprop-pps")
            sets = [unit for name in names for unit in _from_base64(said.get(name, ""))]
            return nal.NalDepacketizer(format.codec, sets)
        case CodecId.AV1:
            return Av1Depacketizer()
        case CodecId.VP8 | CodecId.VP9:
            return VpxDepacketizer(format.codec)
        case CodecId.AAC:
            return _aac(format)
        case CodecId.OPUS:
            return plain.OpusDepacketizer(2 if said.get("sprop-stereo") == "1" else 0)
        case CodecId.MP3:
            return plain.MpegAudioDepacketizer()
    channels = format.channels or 1
    if format.codec is CodecId.G722:  # its clock is 8000 by an old mistake (RFC 3551, 4.5.2): a byte is two samples
        return plain.SampleDepacketizer(16_000, channels, channels)
    return plain.SampleDepacketizer(format.clock_rate, channels, channels)


def _aac(format: Format) -> Depacketizer:
    config = _from_hex(format.parameters.get("config", ""))
    if format.name == "mp4a-latm":
        return LatmDepacketizer(config if format.parameters.get("cpresent", "1") == "0" else b"", format.clock_rate)
    if not config:
        config = aac.build_config(format.clock_rate, format.channels or 1)
    return GenericDepacketizer(config, format.clock_rate, AuHeaders.of(format.parameters))


def _from_base64(text: str) -> list[bytes]:
    """The parts between commas, those that can be read."""
    found = []
    for part in text.replace(" ", "").strip('"').split(","):
        part = part.rstrip("=")  # noqa: PLW2901 - cameras leave the padding out, or write too much of it
        try:
            data = base64.b64decode(part + "=" * (-len(part) % 4))
        except ValueError:  # letters that it does not have, or too few
            continue
        if data:
            found.append(data)
    return found


def _from_hex(text: str) -> bytes:
    digits = text.strip().strip('"')
    try:
        return bytes.fromhex(digits + "0" * (len(digits) % 2))
    except ValueError:
        return b""

"""What a decoder configuration says, for any codec: the one entry for who wants facts and no parsing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import ac3, av1, h264, h265, opus
from arclyd.media.codecs.aac import AudioConfig
from arclyd.media.codecs.ids import CodecId

if TYPE_CHECKING:
    from fractions import Fraction

    from typing_extensions import Buffer


@dataclass(frozen=True, slots=True)
class ConfigFacts:
    """What is known from a configuration; zero, empty or None where it does not say.

    ``profile`` and ``level`` are the names people use ("High", "4.0"), ``fps`` frames a second,
    ``sample_rate`` and ``channels`` what a decoder puts out, ``codec_string`` the RFC 6381 name.
    """

    width: int = 0
    height: int = 0
    fps: Fraction | None = None
    profile: str = ""
    level: str = ""
    sample_rate: int = 0
    channels: int = 0
    codec_string: str = ""


_WITHOUT_CONFIG: Final = {
    CodecId.VP8: ConfigFacts(codec_string="vp8"),
    CodecId.VP9: ConfigFacts(codec_string="vp9"),
    CodecId.MP3: ConfigFacts(codec_string="mp4a.6B"),
    CodecId.G711A: ConfigFacts(sample_rate=8000, codec_string="alaw"),
    CodecId.G711U: ConfigFacts(sample_rate=8000, codec_string="ulaw"),
    CodecId.G722: ConfigFacts(sample_rate=16000),
}
"""Codecs that need no configuration; ITU-T G.711 and G.722 fix their rates."""

_H264_PROFILES: Final = {
    66: "Baseline",
    77: "Main",
    88: "Extended",
    100: "High",
    110: "High 10",
    122: "High 4:2:2",
    244: "High 4:4:4 Predictive",
    44: "CAVLC 4:4:4 Intra",
}
_H265_PROFILES: Final = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Rext", 9: "SCC"}
_AV1_PROFILES: Final = ("Main", "High", "Professional")


def describe_config(codec: CodecId, config: Buffer) -> ConfigFacts:
    """The facts in ``config``, the payload of a CONFIG frame of that codec; no bytes give no facts.

    Raises:
        MediaError: ``config`` is not a configuration of ``codec``.
    """
    data = bytes(config)
    match codec:
        case CodecId.H264 if data:
            return _h264(data)
        case CodecId.H265 if data:
            return _h265(data)
        case CodecId.AV1 if data:
            return _av1(data)
        case CodecId.AAC if data:
            return _aac(data)
        case CodecId.AC3 if data:
            return _ac3(data)
        case CodecId.OPUS:
            return _opus(data)
    return _WITHOUT_CONFIG.get(codec, ConfigFacts())


def _h264(data: bytes) -> ConfigFacts:
    config = h264.AvcConfig.parse(data)
    profile = _H264_PROFILES.get(config.profile, str(config.profile))
    if config.profile == 66 and config.constraints & 0x40:
        profile = "Constrained Baseline"  # A.2.1.1
    elif config.profile in {110, 122} and config.constraints & 0x10:
        profile += " Intra"  # A.2.8, A.2.9
    # Level 1b: level_idc 9, or 11 with constraint_set3_flag in the older profiles (A.3.4.1).
    is_1b = config.level == 9 or (config.level == 11 and config.profile in {66, 77, 88} and config.constraints & 0x10)
    level = "1b" if is_1b else f"{config.level // 10}.{config.level % 10}"
    if not config.sps:  # parameter sets travel in the stream (avc3)
        return ConfigFacts(profile=profile, level=level, codec_string=config.codec_string)
    sps = h264.parse_sps(config.sps[0])
    return ConfigFacts(sps.width, sps.height, sps.fps, profile, level, codec_string=config.codec_string)


def _h265(data: bytes) -> ConfigFacts:
    config = h265.HevcConfig.parse(data)
    profile = _H265_PROFILES.get(config.profile.idc, str(config.profile.idc))
    level = f"{config.profile.level // 30}.{config.profile.level % 30 // 3}"
    sets = config.units(h265.NalType.SPS)
    if not sets:
        return ConfigFacts(profile=profile, level=level, codec_string=config.codec_string)
    sps = h265.parse_sps(sets[0])
    return ConfigFacts(sps.width, sps.height, sps.fps, profile, level, codec_string=config.codec_string)


def _av1(data: bytes) -> ConfigFacts:
    config = av1.Av1Config.parse(data)
    if config.profile >= len(_AV1_PROFILES):
        raise MediaError("av1C", f"seq_profile {config.profile} is reserved")
    profile = _AV1_PROFILES[config.profile]
    level = "max" if config.level == 31 else f"{2 + (config.level >> 2)}.{config.level & 3}"  # A.3
    head = config.sequence_header()
    if head is None:
        return ConfigFacts(profile=profile, level=level, codec_string=config.codec_string)
    return ConfigFacts(head.width, head.height, head.fps, profile, level, codec_string=config.codec_string)


def _aac(data: bytes) -> ConfigFacts:
    config = AudioConfig.parse(data)
    return ConfigFacts(
        profile=config.profile,
        sample_rate=config.output_rate,
        channels=config.output_channels,
        codec_string=config.codec_string,
    )


def _opus(data: bytes) -> ConfigFacts:
    channels = opus.OpusHead.parse(data).channels if data else 0
    return ConfigFacts(sample_rate=opus.SAMPLE_RATE, channels=channels, codec_string="opus")


def _ac3(data: bytes) -> ConfigFacts:
    sample_rate, channels = ac3.read_config(data)
    return ConfigFacts(sample_rate=sample_rate, channels=channels, codec_string="ac-3")

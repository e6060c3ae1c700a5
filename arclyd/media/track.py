"""A track: one codec's frames in a stream, as its publisher declares it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from arclyd.media.codecs.describe import describe_config
from arclyd.media.codecs.ids import CodecId, TrackKind, codec_from_name

__all__ = ["Track", "TrackKind"]

_U32: Final = 0xFFFF_FFFF
_NINETY_KHZ: Final = Fraction(1, 90_000)


@dataclass(frozen=True, slots=True)
class Track:
    """A track's kind, codec, time base (seconds a tick) and decoder configuration.

    ``config`` is in the codec's canonical form (avcC, hvcC, av1C, AudioSpecificConfig, OpusHead), or empty.
    ``width`` and ``height`` are in pixels, ``sample_rate`` in Hz; what does not apply is 0. Make one
    with `video`, `audio` or `data`.

    Raises:
        ValueError: a time base that is not positive or whose terms do not fit 32 bits, a codec of
            another kind, sizes or rates out of range.
    """

    kind: TrackKind
    codec: CodecId
    time_base: Fraction
    config: bytes = b""
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0

    def __post_init__(self) -> None:
        if self.codec.kind is not self.kind:
            raise ValueError(f"{self.codec.label} makes {self.codec.kind.label} tracks, not {self.kind.label} tracks")
        # The track table in the ring has 32 bits for each of these.
        if not (0 < self.time_base.numerator <= _U32 and self.time_base.denominator <= _U32):
            raise ValueError(f"the time base {self.time_base} is not positive or does not fit two 32-bit numbers")
        for name in ("width", "height", "sample_rate", "channels"):
            if not 0 <= getattr(self, name) <= _U32:
                raise ValueError(f"{name} is {getattr(self, name)}, which does not fit 32 bits")
        if self.kind is TrackKind.AUDIO and not (self.sample_rate and self.channels):
            raise ValueError("an audio track needs a sample_rate and channels")

    @classmethod
    def video(
        cls,
        codec: str | CodecId,
        *,
        config: bytes = b"",
        width: int = 0,
        height: int = 0,
        time_base: Fraction = _NINETY_KHZ,
    ) -> Track:
        """A video track; a width and a height of 0 are filled in from ``config`` where it says them.

        Raises:
            UnknownCodec: a codec of no such name.
            MediaError: a ``config`` that is not one of ``codec``.
            ValueError: see `Track`.
        """
        known = _codec(codec)
        if not width and not height and known.kind is TrackKind.VIDEO:
            facts = describe_config(known, config)
            width, height = facts.width, facts.height
        return cls(TrackKind.VIDEO, known, Fraction(time_base), bytes(config), width, height)

    @classmethod
    def audio(
        cls,
        codec: str | CodecId,
        *,
        config: bytes = b"",
        sample_rate: int,
        channels: int,
        time_base: Fraction | None = None,
    ) -> Track:
        """An audio track; its time base is one sample unless another one is given.

        Raises:
            UnknownCodec: a codec of no such name.
            ValueError: see `Track`.
        """
        if sample_rate <= 0:
            raise ValueError(f"sample_rate is {sample_rate}, it has to be positive")
        base = Fraction(1, sample_rate) if time_base is None else Fraction(time_base)
        return cls(TrackKind.AUDIO, _codec(codec), base, bytes(config), sample_rate=sample_rate, channels=channels)

    @classmethod
    def data(
        cls, codec: str | CodecId = CodecId.RAW, *, config: bytes = b"", time_base: Fraction = _NINETY_KHZ
    ) -> Track:
        """A track of timed metadata: KLV, SCTE-35, ID3 or anything else in bytes.

        Raises:
            UnknownCodec: a codec of no such name.
            ValueError: see `Track`.
        """
        return cls(TrackKind.DATA, _codec(codec), Fraction(time_base), bytes(config))


def _codec(codec: str | CodecId) -> CodecId:
    return codec_from_name(codec) if isinstance(codec, str) else CodecId.from_byte(codec)

"""One track of a stream that comes as FLV tags: what is known of it, and when that is enough to declare it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind, vp9
from arclyd.media.codecs.describe import describe_config
from arclyd.media.track import Track

if TYPE_CHECKING:
    from arclyd.media.formats.flv_tags import Part

CONFIGURED: Final = frozenset(
    (CodecId.H264, CodecId.H265, CodecId.VVC, CodecId.AV1, CodecId.AAC, CodecId.OPUS),
)
"""Codecs that can't be decoded without their configuration, which comes in a tag of its own before the first frame."""

MILLISECOND: Final = Fraction(1, 1000)
NANOSECOND: Final = Fraction(1, 1_000_000_000)

_MP3_RATES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
"""Sampling rates by the version bits of an MPEG audio header (ISO/IEC 11172-3, 2.4.1.3 and 13818-3)."""


@dataclass(slots=True)
class Lane:
    """A track. ``place`` is its id in the ring, once it was declared there."""

    kind: TrackKind
    id: int
    codec: CodecId
    config: bytes = b""
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0
    place: int = -1

    @property
    def ready(self) -> bool:
        """All that has to be declared is known."""
        if self.codec in CONFIGURED and not self.config:
            return False
        return self.kind is TrackKind.VIDEO or bool(self.sample_rate and self.channels)

    def configure(self, config: bytes) -> None:
        """Take a new configuration, or the first.

        Raises:
            MediaError: it is none.
        """
        facts = describe_config(self.codec, config)
        self.config = config
        if self.kind is TrackKind.VIDEO:
            self.width, self.height = facts.width or self.width, facts.height or self.height
        else:
            self.sample_rate, self.channels = facts.sample_rate, facts.channels

    def learn(self, part: Part) -> None:
        """Take what a frame says of itself, of codecs that have no configuration."""
        if self.codec is CodecId.MP3:
            self.sample_rate, self.channels = _mp3(bytes(part.payload[:4])) or (part.rate, part.channels)
        elif self.kind is TrackKind.AUDIO:
            self.sample_rate, self.channels = part.rate, part.channels
        elif self.codec is CodecId.VP9 and part.keyframe:
            try:
                header = vp9.Vp9Header.parse(part.payload)
            except MediaError:
                return
            self.width, self.height = header.width, header.height

    def track(self, time_base: Fraction) -> Track:
        """The track as it is declared to the ring."""
        if self.kind is TrackKind.VIDEO:
            return Track(self.kind, self.codec, time_base, self.config, self.width, self.height)
        return Track.audio(
            self.codec,
            config=self.config,
            sample_rate=self.sample_rate,
            channels=self.channels,
            time_base=time_base,
        )


def _mp3(header: bytes) -> tuple[int, int] | None:
    """Rate and channels an MPEG audio header says; None: it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    rates, place = _MP3_RATES.get(header[1] >> 3 & 3, ()), header[2] >> 2 & 3
    return (rates[place], 1 if header[3] >> 6 == 3 else 2) if place < len(rates) else None

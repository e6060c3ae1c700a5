"""One track of a stream that comes as FLV tags: what is known of it, and when that is enough to declare it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind, ac3, vp9
from arclyd.media.codecs.describe import describe_config
from arclyd.media.codecs.mpeg_audio import MpegAudioHeader
from arclyd.media.track import Track

if TYPE_CHECKING:
    from arclyd.media.formats.flv_tags import Part

CONFIGURED: Final = frozenset(
    (CodecId.H264, CodecId.H265, CodecId.VVC, CodecId.AV1, CodecId.AAC, CodecId.OPUS),
)
"""Codecs that can't be decoded without their configuration, which comes in a tag of its own before the first frame."""

MILLISECOND: Final = Fraction(1, 1000)
NANOSECOND: Final = Fraction(1, 1_000_000_000)


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

    @property
    def sound(self) -> tuple[int, int]:
        """Sample rate and channels, which stand in the table of tracks: where they change it is declared anew."""
        return self.sample_rate, self.channels

    def learn(self, part: Part) -> bytes:
        """Take what a frame says of itself, of codecs that have no tag for it; returns the configuration it implies.

        Raises:
            MediaError: it says what no frame of that codec says.
        """
        match self.codec:
            case CodecId.AC3:
                return ac3.Ac3Header.parse(part.payload).config
            case CodecId.MP3:
                self._learn_mp3(part)
            case CodecId.VP9 if part.keyframe and not self.width:
                header = vp9.Vp9Header.parse(part.payload)
                self.width, self.height = header.width, header.height
            case CodecId.G711A | CodecId.G711U:
                self.sample_rate, self.channels = part.rate, part.channels
        return b""

    def _learn_mp3(self, part: Part) -> None:
        try:
            header = MpegAudioHeader.parse(part.payload)
        except MediaError:
            if self.sample_rate or not part.rate:
                raise
            self.sample_rate, self.channels = part.rate, part.channels
        else:
            self.sample_rate, self.channels = header.sample_rate, header.channels

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

"""One track of a stream that comes as a transport stream: what is known of it, and its place in the ring."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.formats.mpegts.framers import framer_of
from arclyd.media.formats.mpegts.units import TIME_BASE
from arclyd.media.track import Track

if TYPE_CHECKING:
    from arclyd.media.formats.mpegts.demuxer import ElementaryStream
    from arclyd.media.formats.mpegts.units import Framer


@dataclass(slots=True)
class Lane:
    """A track. ``place`` is its id in the ring, once it was declared there, with ``config`` and ``sound``.

    ``lost``: something of it is missing before its next frame.
    """

    stream: ElementaryStream
    framer: Framer
    place: int = -1
    config: bytes = b""
    sound: tuple[int, int] = (0, 0)
    lost: bool = False

    @classmethod
    def of(cls, stream: ElementaryStream) -> Lane:
        """A new one."""
        return cls(stream, framer_of(stream))

    @property
    def codec(self) -> CodecId:
        """Its codec."""
        return self.stream.content.codec

    @property
    def kind(self) -> TrackKind:
        """Picture, sound or data."""
        return self.codec.kind

    def declare(self, place: int) -> Track:
        """The track as it is declared to the ring, where it is the one at ``place``."""
        self.place, self.config, self.sound = place, self.framer.config, self.framer.sound
        if self.kind is TrackKind.VIDEO:
            return Track.video(self.codec, config=self.config, time_base=TIME_BASE)
        if self.kind is TrackKind.AUDIO:
            rate, channels = self.sound
            return Track.audio(self.codec, config=self.config, sample_rate=rate, channels=channels, time_base=TIME_BASE)
        return Track.data(self.codec, time_base=TIME_BASE)

"""What a stream is cut into: periods of unbroken time, segments of them, parts of those, a chunk for each track."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from arclyd.media.codecs import TrackKind
from arclyd.media.formats.fmp4 import init_segment, timescale
from arclyd.media.timed import TimedFrame
from arclyd.packagers.codec_names import codec_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from arclyd.media.formats.fragment import Sample
    from arclyd.media.track import Track


class PackagedFrame(TimedFrame, Protocol):
    """What is taken from a frame; `arclyd.Frame` has it."""

    @property
    def seq(self) -> int:
        """Its number in the stream."""

    @property
    def discontinuity(self) -> bool:
        """The publisher says that something broke before it."""

    @property
    def droppable(self) -> bool:
        """No other frame depends on it."""

    @property
    def capture_ns(self) -> int:
        """When it was captured: wall clock."""

    @property
    def data(self) -> memoryview:
        """The payload, in the ring."""

    def is_intact(self) -> bool:
        """True: what was read from `data` so far is what was published."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One track of a period: its ``track`` with the configuration in force, and its init segment.

    ``name`` is made from the init segment's bytes: the same configuration has the same name in every process.
    """

    id: int
    track: Track
    init: bytes
    name: str
    codec: str  # RFC 6381

    @classmethod
    def of(cls, id: int, track: Track) -> Lane:
        """The lane of ``track``.

        Raises:
            MediaError: its configuration is missing, or not one of its codec.
        """
        init = init_segment([track])
        return cls(id, track, init, hashlib.sha256(init).hexdigest()[:12], codec_name(track))

    @property
    def scale(self) -> int:
        """Units a second."""
        return timescale(self.track)

    @property
    def is_video(self) -> bool:
        """A picture track."""
        return self.track.kind is TrackKind.VIDEO


@dataclass(frozen=True, slots=True)
class Period:
    """Time without a break, on which every lane keeps its configuration.

    ``number`` counts discontinuities; ``origin`` is the media time in seconds it starts at and ``wall_ns`` the wall
    clock at media time zero. ``shift``: whole seconds added to the frames' times so that none is negative.
    """

    number: int
    origin: Fraction
    wall_ns: int
    shift: int
    lead: int
    lanes: Mapping[int, Lane]

    def wall_at(self, seconds: Fraction) -> int:
        """The wall clock in ns at a media time."""
        return self.wall_ns + round(seconds * 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One lane's samples of one part, as a movie fragment. Their payloads are views of ``data``."""

    data: memoryview
    samples: tuple[Sample, ...]

    @property
    def start(self) -> int:
        """Decoding time of the first sample, in units of the lane."""
        return self.samples[0].dts

    @property
    def end(self) -> int:
        """Where the next chunk begins."""
        return self.samples[-1].dts + self.samples[-1].duration

    @property
    def duration(self) -> int:
        """In units of the lane."""
        return self.end - self.start

    @property
    def independent(self) -> bool:
        """Decoding can start at its first sample."""
        return self.samples[0].keyframe


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of segment ``segment``: the ``index``-th, with a chunk for each lane that has something in it.

    ``first_seq``: the sequence of the frame its segment starts with.
    """

    segment: int
    index: int
    period: Period
    first_seq: int
    chunks: Mapping[int, Chunk]


@dataclass(frozen=True, slots=True)
class Closed:
    """Segment ``segment`` is complete."""

    segment: int

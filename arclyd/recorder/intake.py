"""From the frames of a stream to what a recording is made of: units in order, and what happened between them.

Pure: frames in, items out. A frame's bytes are copied here and checked after that (R4 of the design: what was
overwritten meanwhile is a gap, never corrupt media).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from arclyd.errors import FrameOverwritten
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.container import NEEDS_CONFIG, MediaFrame
from arclyd.media.formats.continuity import Timeline
from arclyd.recorder.order import DecodingOrder, Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from arclyd.media.codecs import CodecId
    from arclyd.media.track import Track


class StreamFrame(MediaFrame, Protocol):
    """What is taken from a frame; those of `arclyd.Subscriber` have it."""

    @property
    def seq(self) -> int:
        """Its sequence."""

    @property
    def epoch(self) -> int:
        """Which publisher wrote it."""

    @property
    def publish_ns(self) -> int:
        """When it was published, on the monotonic clock."""

    @property
    def discontinuity(self) -> bool:
        """Times or encoder changed before it."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the units from here on are units of; no file may go on past it. Without ``tracks`` there are no units.

    ``left_out``: tracks the container can't hold, or that have no configuration yet.
    """

    tracks: dict[int, Track]
    left_out: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """So many frames were lost here; every picture track goes on with a keyframe."""

    missed: int


@dataclass(frozen=True, slots=True)
class Break:
    """The file at hand ends here; ``reason`` in a word."""

    reason: str


Item = Unit | Header | Lost | Break


class Intake:
    """Turns one stream's frames into items.

    Args:
        tracks: the stream's tracks, by id.
        codecs: those the container holds.
        split: a gap, another publisher or a jump of the timestamps ends a file; False: the file goes on.
        wall_ns: the Unix time at which a frame was published.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        codecs: frozenset[CodecId],
        *,
        split: bool,
        wall_ns: Callable[[StreamFrame], int],
    ) -> None:
        self._codecs = codecs
        self._split = split
        self._wall_ns = wall_ns
        self._epoch: int | None = None
        self._use(tracks)

    def _use(self, tracks: Sequence[Track]) -> None:
        self._tracks = dict(enumerate(tracks))
        self._timeline = Timeline([track.time_base for track in tracks])
        self._last: dict[int, int] = {}
        self._steps: dict[int, int] = {}
        self._renew()

    def _renew(self) -> None:
        """Configurations changed: a new header comes before the next unit."""
        kept = {number: track for number, track in self._tracks.items() if self._can_hold(track)}
        pictures = [number for number, track in kept.items() if track.kind is TrackKind.VIDEO]
        self._kept = kept
        self._lead = min(pictures or kept, default=None)
        self._order = DecodingOrder(kept)
        self._header_due = True

    def _can_hold(self, track: Track) -> bool:
        return track.codec in self._codecs and bool(track.config or track.codec not in NEEDS_CONFIG)

    def is_new_epoch(self, frame: StreamFrame) -> bool:
        """Another publisher wrote this frame than the one before: look at the tracks, and call `tracks_are`."""
        return self._epoch is not None and frame.epoch != self._epoch

    def tracks_are(self, tracks: Sequence[Track]) -> Iterator[Item]:
        """Another publisher is there, with these tracks."""
        yield from self._order.drain()
        before = [(track.kind, track.codec, track.time_base) for track in self._tracks.values()]
        if [(track.kind, track.codec, track.time_base) for track in tracks] != before:
            yield Break("configuration")
            self._use(tracks)
        elif self._split:
            yield Break("publisher")
        self._epoch = None

    def gap(self, missed: int) -> Iterator[Item]:
        """Frames were lost."""
        yield from self._order.drain()
        yield Lost(missed)
        if self._split:
            yield Break("gap")

    def frame(self, frame: StreamFrame) -> Iterator[Item]:
        """The next frame, of any track."""
        self._epoch = frame.epoch
        try:
            payload = frame.tobytes()
        except FrameOverwritten:
            yield from self.gap(1)
            return
        if frame.is_config:
            yield from self._configure(frame.track, payload)
        elif frame.track in self._kept:
            yield from self._place(frame, payload)
        elif not self._kept:
            yield from self._head()

    def drain(self) -> Iterator[Item]:
        """What is held: no frame comes after it."""
        yield from self._order.drain()

    def _configure(self, number: int, config: bytes) -> Iterator[Item]:
        track = self._tracks.get(number)
        if track is None or track.config == config:
            return
        yield from self._order.drain()
        if number in self._kept or self._can_hold(replace(track, config=config)):
            yield Break("configuration")
        self._tracks[number] = replace(track, config=config)
        self._renew()

    def _place(self, frame: StreamFrame, payload: bytes) -> Iterator[Item]:
        time_base = self._kept[frame.track].time_base
        placed = self._timeline.place(frame.track, pts=frame.pts, dts=frame.dts, duration=frame.duration)
        # Other tracks jump beside the leading one: that is one break, not two.
        if self._split and frame.track == self._lead and (placed.jumped or frame.discontinuity):
            yield from self._order.drain()
            yield Break("discontinuity")
        yield from self._head()
        guessed = self._guess(frame.track, placed.dts)
        duration = guessed if frame.duration is None else frame.duration
        unit = Unit(
            track=frame.track,
            pts=placed.pts,
            dts=placed.dts,
            duration=duration,
            keyframe=frame.keyframe,
            payload=payload,
            at=placed.dts * time_base,
            end=(placed.dts + (duration or 0)) * time_base,
            starts=frame.keyframe and frame.track == self._lead,
            seq=frame.seq,
            epoch=frame.epoch,
            wall_ns=self._wall_ns(frame),
        )
        yield from self._order.put(unit)

    def _guess(self, track: int, dts: int) -> int | None:
        """How long a frame lasts that does not say so: as the one before, or less. A file's last frame needs to."""
        before = self._last.get(track)
        self._last[track] = dts
        if before is None:
            return None
        step, self._steps[track] = self._steps.get(track, dts - before), dts - before
        return min(step, dts - before)

    def _head(self) -> Iterator[Item]:
        if self._header_due:
            self._header_due = False
            left_out = tuple(track for number, track in self._tracks.items() if number not in self._kept)
            yield Header(self._kept, left_out)

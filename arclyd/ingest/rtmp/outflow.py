"""From frames of the ring to the tags that a player, or a service elsewhere, is sent. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.formats import flv
from arclyd.media.formats.continuity import Timeline
from arclyd.protocols.rtmp.messages import Type

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arclyd import Frame
    from arclyd.media.track import Track

_PLAIN: Final = frozenset((CodecId.G711A, CodecId.G711U))
_TYPES: Final = {TrackKind.VIDEO: Type.VIDEO, TrackKind.AUDIO: Type.AUDIO}
_EXACT: Final = 1_000_000_000
_U32: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Tag:
    """A message to be sent: its type, its time in milliseconds modulo 2**32, its body."""

    type: Type
    timestamp: int
    body: bytes


@dataclass(slots=True)
class _Lane:
    """A track that is sent: which of its kind, and what is known of it now."""

    track: Track
    id: int

    def ms(self, ticks: int) -> int:
        base = self.track.time_base
        return ticks * 1000 * base.numerator // base.denominator


class Outflow:
    """One stream on its way out, its first frame at time 0 and time without jumps.

    Args:
        tracks: of the stream.
        fourccs: what the other side said it takes; empty: nothing but RTMP as it was. It is then sent the first track
            of each kind only, though in the form of Enhanced RTMP where its codec has no other.
    """

    def __init__(self, tracks: Sequence[Track], fourccs: frozenset[str]) -> None:
        self._fourccs = fourccs
        self._lanes: dict[int, _Lane] = {}
        self._zero_ms: int | None = None
        self._now = 0
        self._timeline = Timeline([])
        self.left_out: list[Track] = []
        """Tracks that are not sent."""
        self.retrack(tracks)

    def retrack(self, tracks: Sequence[Track]) -> None:
        """The stream has other tracks from now on; its time goes on where it stands."""
        self._zero_ms = None
        self._lanes.clear()
        self.left_out.clear()
        self._timeline = Timeline([track.time_base for track in tracks])
        for place, track in enumerate(tracks):
            before = sum(lane.track.kind is track.kind for lane in self._lanes.values())
            carried = track.codec in flv.FOURCC or (track.codec in _PLAIN and not before)
            if track.kind in _TYPES and carried and (not before or self._fourccs):
                self._lanes[place] = _Lane(track, before)
            else:
                self.left_out.append(track)

    @property
    def carries(self) -> bool:
        """There is something to send."""
        return bool(self._lanes)

    def metadata(self) -> bytes:
        """The values of an ``onMetaData`` message."""
        return flv.metadata([lane.track for lane in self._lanes.values()])

    def start(self) -> Iterator[Tag]:
        """The configurations that are known, before the first frame."""
        for lane in self._lanes.values():
            yield from self._header(lane, 0)

    def colors(self, values: bytes) -> Iterator[Tag]:
        """What is said of the colours of the picture, for who knows Enhanced RTMP."""
        for lane in self._lanes.values():
            if values and self._fourccs and lane.track.kind is TrackKind.VIDEO and lane.track.codec in flv.FOURCC:
                yield Tag(Type.VIDEO, self._now & _U32, flv.picture_metadata(lane.track, values, lane.id))

    def frame(self, place: int, frame: Frame) -> Iterator[Tag]:
        """The tags of one frame of the track at ``place``: copies, to be checked by ``frame.is_intact()`` then."""
        lane = self._lanes.get(place)
        if lane is None:
            return
        payload = bytes(frame.data)
        if frame.is_config:
            lane.track = replace(lane.track, config=payload)
            yield from self._header(lane, self._now)
            return
        placed = self._timeline.place(place, pts=frame.pts, dts=frame.dts, duration=None)
        at = lane.ms(placed.dts)
        if self._zero_ms is None:
            self._zero_ms = at - self._now
        nanoseconds = 0
        if self._fourccs and lane.track.time_base.denominator == _EXACT:
            nanoseconds = placed.dts % 1_000_000
        body = flv.frame_body(
            lane.track,
            payload,
            composition_ms=lane.ms(placed.pts) - at,
            keyframe=frame.keyframe,
            id=lane.id,
            nanoseconds=nanoseconds,
        )
        self._now = max(0, at - self._zero_ms)
        yield Tag(_TYPES[lane.track.kind], self._now & _U32, body)

    @staticmethod
    def _header(lane: _Lane, now: int) -> Iterator[Tag]:
        if body := flv.sequence_header(lane.track, lane.id):
            yield Tag(_TYPES[lane.track.kind], now & _U32, body)

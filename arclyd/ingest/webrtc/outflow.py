"""From frames of the ring to what a WebRTC connection sends. No I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.ingest.webrtc.engine import Packets
from arclyd.media.codecs import CodecId, TrackKind, h264
from arclyd.media.formats.continuity import Timeline
from arclyd.media.timebase import rescale, to_ns
from arclyd.protocols.rtp.describing import packetizer_of, problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from arclyd import Frame
    from arclyd.media.track import Track
    from arclyd.protocols.rtp.formats import Format
    from arclyd.protocols.rtp.payload import Packetizer

CARRIED: Final = frozenset(
    (
        CodecId.H264,
        CodecId.VP8,
        CodecId.VP9,
        CodecId.OPUS,
        CodecId.G722,
        CodecId.G711A,
        CodecId.G711U,
    )
)
"""What browsers take by WebRTC, and were seen to. H.265 is none: most of them have no decoder for it there."""

B_FRAMES: Final = "it has B-frames, which browsers do not take by WebRTC: have the encoder leave them out, or use HLS"


@dataclass(frozen=True, slots=True)
class Choice:
    """Of a stream's tracks, by their places: those that can be sent, one a kind, and why others are not."""

    places: tuple[int, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, tracks: Sequence[Track]) -> Choice:
        """The first track of each kind that can be sent.

        Raises:
            MediaError: none can.
        """
        chosen: dict[TrackKind, int] = {}
        reasons: list[str] = []
        for place, track in enumerate(tracks):
            why = _problem(track)
            if why:
                reasons.append(f"{track.kind.label}: {why}")
            elif track.kind in chosen:
                reasons.append(f"{track.kind.label}: another {track.kind.label} track is sent")
            else:
                chosen[track.kind] = place
        if not chosen:
            raise MediaError("WebRTC", f"nothing can be sent: {'; '.join(reasons) or 'no tracks'}")
        return cls(tuple(chosen.values()), tuple(reasons))


def _problem(track: Track) -> str:
    if track.codec not in CARRIED:
        return f"browsers do not take {track.codec.label} by WebRTC"
    if track.codec is CodecId.H264 and track.config and (_reorder(track.config) or 0) > 0:
        return B_FRAMES
    return problem(track)


def _reorder(config: bytes) -> int | None:
    try:
        sets = h264.AvcConfig.parse(config).sps
        return h264.parse_sps(sets[0]).reorder if sets else None
    except MediaError:
        return None


def check_order(frames: Iterable[Frame], places: Sequence[int], tracks: Sequence[Track]) -> None:
    """Look at what lies in the ring whether pictures are shown in the order they come in.

    Raises:
        MediaError: they are not.
    """
    shown: dict[int, tuple[int, int]] = {}
    for frame in frames:
        if frame.is_config or frame.track not in places or tracks[frame.track].kind is not TrackKind.VIDEO:
            continue
        before = shown.get(frame.track)
        if before is not None and not frame.discontinuity and before[1] == frame.epoch and frame.pts < before[0]:
            raise MediaError("WebRTC", B_FRAMES)
        shown[frame.track] = frame.pts, frame.epoch


class _Lane:
    """One track on its way out."""

    def __init__(self, track: Track, medium: int, format: Format) -> None:
        self.track = track
        self.medium = medium
        self.rate = format.clock_rate
        self.packetizer: Packetizer = packetizer_of(track)
        self.shown: int | None = None

    def timestamp(self, pts: int) -> int:
        return rescale(pts, self.track.time_base, Fraction(1, self.rate))


class Outflow:
    """The packets of one stream, its time without jumps.

    Args:
        tracks: of the stream.
        media: which track each medium of the connection is, by its place.
        formats: that were agreed on, of each medium.

    Raises:
        MediaError: a configuration that can't be read.
    """

    def __init__(self, tracks: Sequence[Track], media: Mapping[int, int], formats: Mapping[int, Format]) -> None:
        self._lanes = {
            place: _Lane(tracks[place], medium, formats[medium]) for medium, place in media.items() if medium in formats
        }
        self._timeline = Timeline([track.time_base for track in tracks])
        self._bases = [track.time_base for track in tracks]
        self._wall_ns: int | None = None

    def retrack(self, tracks: Sequence[Track]) -> None:
        """The stream has these tracks from now on.

        Raises:
            MediaError: they are others than were agreed on.
        """
        for place, lane in self._lanes.items():
            now = tracks[place] if place < len(tracks) else None
            if now is None or (now.codec, now.time_base) != (lane.track.codec, lane.track.time_base):
                raise MediaError("WebRTC", "the stream has other tracks now: connect again")
            lane.track = now
            if now.config:
                lane.packetizer.configure(now.config)

    def kind(self, frame: Frame) -> TrackKind | None:
        """What a frame is, if it is sent."""
        lane = self._lanes.get(frame.track)
        return lane.track.kind if lane else None

    def frame(self, frame: Frame, *, behind: int = 0) -> Iterator[tuple[int, Packets]]:
        """What is sent for one frame, with its medium: copies, to be checked by ``frame.is_intact()`` then.

        ``behind``: pictures that are there already and come after it. It is shown that many milliseconds before the
        last of them: what is late already need not take its time.

        Raises:
            MediaError: it can't be sent.
        """
        lane = self._lanes.get(frame.track)
        if lane is None:
            return
        payload = bytes(frame.data)
        if frame.is_config:
            lane.packetizer.configure(payload)
            return
        placed = self._timeline.place(frame.track, pts=frame.pts, dts=frame.dts, duration=None)
        if lane.track.kind is TrackKind.VIDEO:
            if lane.shown is not None and placed.pts < lane.shown:
                raise MediaError("WebRTC", B_FRAMES)
            lane.shown = placed.pts
        at_ns = to_ns(placed.pts, self._bases[frame.track])
        if self._wall_ns is None or placed.jumped:
            self._wall_ns = time.time_ns() - at_ns
        by_offset: dict[int, list[bytes]] = {}
        for piece in lane.packetizer.pack(payload, keyframe=frame.keyframe):
            by_offset.setdefault(piece.offset, []).append(piece.payload)
        timestamp = lane.timestamp(placed.pts) - behind * lane.rate // 1000
        for offset, payloads in by_offset.items():
            yield lane.medium, Packets(payloads, timestamp + offset, self._wall_ns + at_ns)

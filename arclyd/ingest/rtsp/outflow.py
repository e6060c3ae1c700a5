"""From frames of the ring to the packets that a player, or a server elsewhere, is sent. No I/O."""

from __future__ import annotations

import logging
import os
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from arclyd.errors import MediaError
from arclyd.media.formats.continuity import Timeline
from arclyd.media.timebase import rescale, to_ns
from arclyd.protocols.rtp import rtcp
from arclyd.protocols.rtp.describing import clock_rate, describe, packetizer_of, payload_type, problem
from arclyd.protocols.rtp.packet import SEQUENCES, TIMESTAMPS, RtpPacket
from arclyd.protocols.sdp.description import SessionDescription

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from arclyd import Frame
    from arclyd.media.track import Track
    from arclyd.protocols.sdp.description import MediaDescription

log: Final = logging.getLogger(__name__)

REPORT_NS: Final = 5_000_000_000
"""From sender report to sender report (RFC 3550, 6.2)."""


class Offer:
    """What of a stream can be sent: a description whose media are tracks, by their places.

    Raises:
        MediaError: nothing can.
    """

    def __init__(self, tracks: Sequence[Track], name: str) -> None:
        self.tracks = tuple(tracks)
        self.left_out: list[str] = []
        """Why some tracks are not sent."""
        self.places: list[int] = []
        """The track of each medium."""
        media: list[MediaDescription] = []
        for place, track in enumerate(tracks):
            if why := problem(track):
                self.left_out.append(why)
                continue
            media.append(describe(track, place, f"trackID={len(media)}"))
            self.places.append(place)
        if not media:
            raise MediaError("RTSP", f"nothing can be sent: {'; '.join(self.left_out)}")
        attributes = (("tool", "arclyd"), ("range", "npt=now-"), ("control", "*"))
        self.description = SessionDescription(tuple(media), name, connection="IN IP4 0.0.0.0", attributes=attributes)


class Sent(NamedTuple):
    """A packet on its way: of which track, and whether it is RTCP."""

    place: int
    control: bool
    data: bytes


class _Source:
    """One track that is sent, as a source of RTP."""

    def __init__(self, track: Track, place: int) -> None:
        self.track = track
        self.rate = clock_rate(track)
        self.ssrc = int.from_bytes(os.urandom(4), "big")
        self.sequence = int.from_bytes(os.urandom(2), "big")
        self.packetizer = packetizer_of(track)
        self._type = payload_type(track, place)
        self._base = int.from_bytes(os.urandom(4), "big")
        self._packets = self._octets = 0
        self.reported_ns: int | None = None

    def timestamp(self, ns: int) -> int:
        """The timestamp of an instant on the line."""
        return (self._base + rescale(ns, Fraction(1, 1_000_000_000), Fraction(1, self.rate))) % TIMESTAMPS

    def timestamp_of(self, ticks: int) -> int:
        """That of a time in the track's own ticks, which is exact where the two go alike."""
        return (self._base + rescale(ticks, self.track.time_base, Fraction(1, self.rate))) % TIMESTAMPS

    def pack(self, payload: bytes, timestamp: int, *, keyframe: bool) -> Iterator[bytes]:
        for piece in self.packetizer.pack(payload, keyframe=keyframe):
            at = (timestamp + piece.offset) % TIMESTAMPS
            packet = RtpPacket(self._type, self.sequence, at, self.ssrc, piece.payload, piece.marker)
            self.sequence = (self.sequence + 1) % SEQUENCES
            self._packets += 1
            self._octets += len(piece.payload)
            yield packet.serialize()

    def report(self, timestamp: int, wall_ns: int) -> bytes:
        ntp = (wall_ns + rtcp.NTP_TO_UNIX * 1_000_000_000 << 32) // 1_000_000_000
        packets, octets = self._packets & 0xFFFF_FFFF, self._octets & 0xFFFF_FFFF
        report = rtcp.SenderReport(self.ssrc, ntp & 0xFFFF_FFFF_FFFF_FFFF, timestamp, packets, octets)
        return rtcp.serialize((report, rtcp.SourceName(self.ssrc, "arclyd")))

    def bye(self) -> bytes:
        return rtcp.serialize(
            (rtcp.ReceiverReport(self.ssrc), rtcp.SourceName(self.ssrc, "arclyd"), rtcp.Bye((self.ssrc,)))
        )


class Outflow:
    """One stream on its way out, time without jumps, every track's on one line that sender reports tell of.

    Args:
        tracks: of the stream.
        places: those that are sent.
        wall_ns: Unix time where the line begins.

    Raises:
        MediaError: a configuration that can't be read.
    """

    def __init__(self, tracks: Sequence[Track], places: Iterable[int], wall_ns: int) -> None:
        self._tracks = tuple(tracks)
        self._sources = {place: _Source(tracks[place], place) for place in places}
        self._wall_ns = wall_ns
        self._timeline = Timeline([track.time_base for track in tracks])
        self._zero_ns: int | None = None

    def retrack(self, tracks: Sequence[Track]) -> None:
        """The stream has these tracks from now on.

        Raises:
            MediaError: they are others than were described.
        """
        for place, source in self._sources.items():
            before = source.track
            now = tracks[place] if place < len(tracks) else None
            if now is None or (now.codec, now.time_base, now.sample_rate) != (
                before.codec,
                before.time_base,
                before.sample_rate,
            ):
                raise MediaError("RTSP", "the stream has other tracks now than were described")
            if now.config:
                source.packetizer.configure(now.config)

    def begin(self, frame: Frame) -> list[tuple[int, int, int]]:
        """The first frame is here: track, sequence number and timestamp of where each begins."""
        zero = self._begin_at(frame)
        return [(place, source.sequence, source.timestamp(zero)) for place, source in self._sources.items()]

    def _begin_at(self, frame: Frame) -> int:
        if self._zero_ns is None:
            self._zero_ns = to_ns(frame.pts, self._tracks[frame.track].time_base)
        return self._zero_ns

    def frame(self, frame: Frame) -> Iterator[Sent]:
        """The packets of one frame: copies, to be checked by ``frame.is_intact()`` then.

        Raises:
            MediaError: a configuration that can't be read.
        """
        source = self._sources.get(frame.track)
        if source is None:
            return
        payload = bytes(frame.data)
        if frame.is_config:
            source.packetizer.configure(payload)
            return
        placed = self._timeline.place(frame.track, pts=frame.pts, dts=frame.dts, duration=None)
        timestamp = source.timestamp_of(placed.pts)
        at_ns = to_ns(placed.pts, source.track.time_base)
        if source.reported_ns is None or at_ns - source.reported_ns >= REPORT_NS:
            source.reported_ns = at_ns
            wall_ns = self._wall_ns + at_ns - self._begin_at(frame)
            yield Sent(frame.track, control=True, data=source.report(timestamp, wall_ns))
        try:
            for data in source.pack(payload, timestamp, keyframe=frame.keyframe):
                yield Sent(frame.track, control=False, data=data)
        except MediaError as error:  # one that is damaged; those behind it are not
            log.debug("a frame is left out: %s", error)

    def end(self) -> Iterator[Sent]:
        """The stream is over."""
        for place, source in self._sources.items():
            yield Sent(place, control=True, data=source.bye())

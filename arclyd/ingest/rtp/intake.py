"""From the packets of one stream to frames in the ring. No I/O of its own, but for the publisher it is given.

What a description leaves out is only known from the packets; so frames are held, within bounds, until the stream can be
claimed (`wants_claim`). The same happens again when a track's sound becomes another.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError, WireError
from arclyd.ingest.claimed import Claimed
from arclyd.ingest.holding import Bounds, Holding
from arclyd.ingest.rtp.lane import Lane, Timed
from arclyd.media.codecs import TrackKind
from arclyd.protocols.rtp import rtcp
from arclyd.protocols.rtp.clock import Line
from arclyd.protocols.rtp.packet import RtpPacket

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from arclyd.client.publisher import Publisher
    from arclyd.media.track import Track
    from arclyd.protocols.rtp.formats import Format
    from arclyd.protocols.rtp.rtcp import SenderReport

log = logging.getLogger(__name__)

HELD: Final = Bounds(ticks=3 * 90_000, size=8 << 20, frames=1024, together=90_000 // 4)
"""How much is held while a track is not configured, or no keyframe came; then those there are must do."""

MOST_BYTES: Final = 16 << 20
"""Held while the daemon is asked; what comes beyond that is left out."""


class Intake:
    """One stream on its way in, by ``protocol``; its media are known by their places in the description."""

    def __init__(self, protocol: str) -> None:
        self._protocol = protocol
        self._stream = Claimed(protocol)
        self.counts = self._stream.counts
        self.left_out: list[str] = []
        """Why some of the media are not carried."""
        self._lanes: dict[int, Lane] = {}
        self._held: Holding[Timed] = Holding(HELD)
        self._ssrc = int.from_bytes(os.urandom(4), "big")

    def describe(self, formats: Mapping[int, Format]) -> None:
        """These are its media, by their places.

        Raises:
            WireError: none of them can be carried.
        """
        line = Line()
        for medium, kind in formats.items():
            try:
                self._lanes[medium] = Lane(kind, line)
            except MediaError as error:
                self.left_out.append(error.problem)
        if not self._lanes:
            raise WireError(self._protocol, f"nothing that can be carried: {'; '.join(self.left_out)}")

    @property
    def media(self) -> Sequence[int]:
        """The places of the media that are carried."""
        return tuple(self._lanes)

    def kind(self, medium: int) -> TrackKind:
        """What a medium is, of those that are carried."""
        return self._lanes[medium].kind

    def only(self, media: Iterable[int]) -> None:
        """No others will come than these."""
        wanted = set(media)
        self._lanes = {medium: lane for medium, lane in self._lanes.items() if medium in wanted}

    def keep_order(self, medium: int) -> None:
        """What carries a medium's packets keeps their order."""
        if medium in self._lanes:
            self._lanes[medium].keep_order()

    @property
    def live(self) -> bool:
        """Frames go into the ring."""
        return self._stream.publisher is not None

    @property
    def keyframe_requested(self) -> bool:
        """A reader asked for a keyframe since this was looked at last."""
        return self._stream.publisher is not None and self._stream.publisher.keyframe_requested()

    @property
    def losses(self) -> int:
        """Times at which pictures lost what others refer to."""
        pictures = [lane for lane in self._lanes.values() if lane.kind is TrackKind.VIDEO]
        return sum(lane.corrupt + lane.damaged + lane.reorder.lost for lane in pictures)

    def faults(self) -> dict[str, int]:
        """What went wrong on the way here, by its name in the stream's metadata."""
        lanes = self._lanes.values()
        return {
            "packets_lost": sum(lane.reorder.lost for lane in lanes),
            "packets_reordered": sum(lane.reorder.reordered for lane in lanes),
            "frames_damaged": sum(lane.corrupt for lane in lanes),
            "packets_damaged": sum(lane.damaged for lane in lanes),
        }

    # ------------------------------------------------------------------- in

    def packet(self, medium: int, data: bytes, now: float) -> None:
        """One packet of RTP, or of RTCP that comes by the same way. ``now``: seconds.

        Raises:
            PublisherClosed: the stream is over for this publisher.
        """
        lane = self._lanes.get(medium)
        if lane is None:
            return
        if rtcp.is_rtcp(data):  # both in one (RFC 5761), or channels the wrong way round
            self.control(medium, data, now)
            return
        try:
            packet = RtpPacket.parse(data)
        except WireError:
            lane.damaged += 1
            return
        self.receive(medium, packet, now)

    def receive(self, medium: int, packet: RtpPacket, now: float) -> None:
        """One packet of RTP, read. Raises as `packet`."""
        if (lane := self._lanes.get(medium)) is not None:
            self._take(lane.receive(packet, now))

    def report(self, medium: int, report: SenderReport, now: float) -> None:
        """The sender says what time it is."""
        if (lane := self._lanes.get(medium)) is not None:
            lane.statistics.sender_report(report, now)
            lane.clock.report(report)

    def control(self, medium: int, data: bytes, now: float) -> None:
        """One packet of RTCP."""
        lane = self._lanes.get(medium)
        if lane is None:
            return
        try:
            packets = rtcp.parse(data)
        except WireError:
            return
        for packet in packets:
            if isinstance(packet, rtcp.SenderReport):
                self.report(medium, packet, now)

    def expire(self, now: float) -> None:
        """About once a second: what waits for a late packet may not do so for ever. Raises as `packet`."""
        for lane in self._lanes.values():
            self._take(lane.expire(now))

    def finish(self, now: float) -> None:
        """No more will come. Raises as `packet`."""
        for lane in self._lanes.values():
            self._take(lane.flush(now))

    def reports(self, now: float) -> list[tuple[int, bytes]]:
        """What the sender is told of each medium that came."""
        name = rtcp.SourceName(self._ssrc, "arclyd")
        found = []
        for medium, lane in self._lanes.items():
            if (block := lane.statistics.block(now)) is not None:
                found.append((medium, rtcp.serialize((rtcp.ReceiverReport(self._ssrc, (block,)), name))))
        return found

    def _take(self, units: Iterable[Timed]) -> None:
        for timed in units:
            if self._stream.publisher is not None and timed.lane.as_declared:
                self._publish(timed)
            elif self._held.size >= MOST_BYTES:
                self.counts.gated += 1
            else:
                self._held.put(timed)

    # ---------------------------------------------------------------- claims

    @property
    def wants_claim(self) -> bool:
        """True: the stream is to be claimed, with `tracks`, and `begin` to be called."""
        if not self._held:
            return False
        lanes = self._lanes.values()
        pictures = [lane for lane in lanes if lane.kind is TrackKind.VIDEO]
        goes_on = self._stream.publisher is not None and all(lane.place >= 0 for lane in pictures)
        joinable = not pictures or goes_on or self._held.startable
        return (joinable and all(lane.ready for lane in lanes)) or self._held.full

    def tracks(self) -> list[Track]:
        """The tracks there are now, in the order of the ring's; those that are not ready yet are left out.

        Raises:
            WireError: they changed too often.
        """
        lanes = sorted((lane for lane in self._lanes.values() if lane.ready), key=lambda lane: lane.kind)
        for lane in self._lanes.values():
            lane.place = -1
        return self._stream.anew([lane.declare(place) for place, lane in enumerate(lanes)])

    def begin(self, publisher: Publisher) -> None:
        """The claim of `tracks` was granted: what was held goes out."""
        self._stream.publisher = publisher
        for timed in self._held.take():
            if timed.lane.place < 0:
                self.counts.damaged += 1
            else:
                self._publish(timed)

    def release(self) -> Publisher | None:
        """The stream is over: its publisher, if there is one, to be ended."""
        return self._stream.release()

    def interrupt(self) -> None:
        """It broke off, and may go on: by the next connection, or with other tracks."""
        self._held.clear()
        self._stream.interrupt()

    # ------------------------------------------------------------------- out

    def _publish(self, timed: Timed) -> None:
        publisher = self._stream.publisher
        assert publisher is not None
        if not self._stream.admits(starts=timed.starts):
            return
        lane, unit = timed.lane, timed.unit
        if timed.config and timed.config != lane.config:
            lane.config = timed.config
            publisher.set_config(lane.place, timed.config)
        self._stream.publish(
            lane.place,
            unit.payload,
            pts=timed.pts,
            dts=timed.dts,
            duration=unit.duration,
            keyframe=unit.keyframe,
            lost=timed.lost,
            corrupt=unit.corrupt,
        )

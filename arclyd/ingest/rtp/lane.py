"""One track of a stream that comes by RTP: from its packets to access units with their times."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.codecs.describe import describe_config
from arclyd.media.decoding_order import DecodingTimes
from arclyd.media.track import Track
from arclyd.protocols.rtp.clock import Line, SourceClock
from arclyd.protocols.rtp.formats import Format, depacketizer_of
from arclyd.protocols.rtp.reorder import WAIT_SECONDS, ReorderBuffer
from arclyd.protocols.rtp.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arclyd.protocols.rtp.packet import RtpPacket
    from arclyd.protocols.rtp.payload import AccessUnit
    from arclyd.protocols.rtp.reorder import Ordered

USUAL_FPS: Final = 25


class Timed:
    """An access unit and its times, in ticks of its lane."""

    __slots__ = ("config", "dts", "lane", "lost", "pts", "unit")

    def __init__(self, lane: Lane, unit: AccessUnit, pts: int, dts: int, *, config: bytes, lost: bool) -> None:
        self.lane = lane
        self.unit = unit
        self.pts = pts
        self.dts = dts
        self.config = config
        self.lost = lost

    @property
    def time(self) -> int:
        """Decoding time in ticks of 90 kHz."""
        return self.dts * 90_000 // self.lane.rate

    @property
    def size(self) -> int:
        """Bytes of its payload."""
        return len(self.unit.payload)

    @property
    def is_picture(self) -> bool:
        """It is one of video."""
        return self.lane.kind is TrackKind.VIDEO

    @property
    def starts(self) -> bool:
        """Decoding of the whole stream can start here."""
        return self.is_picture and self.unit.keyframe and not self.unit.corrupt


class Lane:
    """A track. ``place`` is its id in the ring, once it was declared there, with ``config`` and ``shape``.

    Args:
        format: of its packets.
        line: that the stream's tracks share.

    Raises:
        MediaError: packets of that format can't be read.
    """

    def __init__(self, format: Format, line: Line) -> None:
        self.format = format
        self.place = -1
        self.config = b""
        self.shape = (0, 0)
        self.damaged = 0
        """Packets that could not be made sense of, and access units that came before they could be declared."""
        self.corrupt = 0
        """Access units with a part missing."""
        self.statistics = Statistics(format.clock_rate)
        self._wait = WAIT_SECONDS
        self.reorder = ReorderBuffer(self._wait)
        self.clock = SourceClock(line, format.clock_rate)
        self._depacketizer = depacketizer_of(format)
        self._ssrc: int | None = None
        self._lost = False
        self._times: DecodingTimes | None = None
        self._timed_by = b""

    @property
    def codec(self) -> CodecId:
        """Its codec."""
        return self.format.codec

    @property
    def kind(self) -> TrackKind:
        """Picture or sound."""
        return self.codec.kind

    @property
    def rate(self) -> int:
        """Ticks a second."""
        return self.format.clock_rate

    @property
    def ready(self) -> bool:
        """All that has to be declared is known."""
        return self._depacketizer.ready

    @property
    def as_declared(self) -> bool:
        """Nothing of what stands in the ring's table of tracks is another than when it was declared."""
        return self.place >= 0 and (self.kind is TrackKind.VIDEO or self.shape == self._depacketizer.shape)

    def keep_order(self) -> None:
        """What carries the packets keeps their order: none is waited for."""
        self._wait = 0.0
        self.reorder = ReorderBuffer(self._wait)

    def receive(self, packet: RtpPacket, now: float) -> Iterator[Timed]:
        """One packet. ``now``: seconds."""
        if packet.payload_type != self.format.payload_type:
            return
        if packet.ssrc != self._ssrc:
            if self._ssrc is not None:
                yield from self.flush(now)
                self.clock.restart()
                self.reorder = ReorderBuffer(self._wait)
                self._lost = True
            self._ssrc = packet.ssrc
        self.statistics.packet(packet, now)
        yield from self._take(self.reorder.push(packet, now), now)

    def expire(self, now: float) -> Iterator[Timed]:
        """What need not wait any longer."""
        yield from self._take(self.reorder.expire(now), now)

    def flush(self, now: float) -> Iterator[Timed]:
        """What waits: no more will come."""
        yield from self._take(self.reorder.flush(), now)

    def _take(self, packets: Iterable[Ordered], now: float) -> Iterator[Timed]:
        for packet, missing, restarted in packets:
            if restarted:
                self.clock.restart()
            lost = missing > 0 or restarted
            self._lost = self._lost or lost
            try:
                for unit in self._depacketizer.push(packet, lost=lost):
                    yield from self._time(unit, now)
            except MediaError:
                self.damaged += 1
                self._lost = True

    def _time(self, unit: AccessUnit, now: float) -> Iterator[Timed]:
        if not self.ready:
            self.damaged += 1
            return
        self.corrupt += unit.corrupt
        pts = dts = self.clock.place(unit.timestamp, now)
        if self.kind is TrackKind.VIDEO:
            dts = self._decoding().place(pts)
        lost, self._lost = self._lost, False
        yield Timed(self, unit, pts, dts, config=self._depacketizer.config, lost=lost)

    def _decoding(self) -> DecodingTimes:
        config = self._depacketizer.config
        if self._times is None or config != self._timed_by:
            self._timed_by = config
            try:
                fps = describe_config(self.codec, config).fps
            except MediaError:
                fps = None
            step = int(self.rate / fps) if fps and 1 <= fps <= 1000 else self.rate // USUAL_FPS
            self._times = DecodingTimes(self._depacketizer.reorder, step)
        return self._times

    def declare(self, place: int) -> Track:
        """The track as it is declared to the ring, where it is the one at ``place``."""
        self.place, self.config, self.shape = place, self._depacketizer.config, self._depacketizer.shape
        base = Fraction(1, self.rate)
        one, other = self.shape
        if self.kind is TrackKind.VIDEO:
            return Track.video(self.codec, config=self.config, width=one, height=other, time_base=base)
        return Track.audio(self.codec, config=self.config, sample_rate=one, channels=other, time_base=base)

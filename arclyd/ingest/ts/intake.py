"""From the bytes of a transport stream to frames in the ring. No I/O of its own, but for the publisher it is given.

What tracks there are, and how they are configured, is only known from what comes; so frames are held, within bounds,
until the stream can be claimed (`wants_claim`). The same happens again when the program's streams change.

Frames are copied into the ring whole, not written there as they come (`Publisher.reserve`): packets of several tracks
interleave, how long a picture is is known at its end, and what it is framed by there (start codes, ADTS, LATM) goes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.ingest.claimed import Claimed
from arclyd.ingest.holding import Bounds, Holding
from arclyd.ingest.limits import Limits
from arclyd.ingest.ts.lane import Lane
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.mpegts import demuxer
from arclyd.media.formats.mpegts.demuxer import Demuxer, Program, Unit

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from arclyd.client.publisher import Publisher
    from arclyd.media.formats.mpegts.demuxer import Counts as Faults
    from arclyd.media.formats.mpegts.units import AccessUnit
    from arclyd.media.track import Track

log = logging.getLogger(__name__)

HELD: Final = Bounds(ticks=3 * 90_000, size=8 << 20, frames=1024, together=90_000 // 4)
"""How much is held while a track is not configured, or no keyframe came; then those there are must do."""

MOST_BYTES: Final = 16 << 20
MOST_FRAMES: Final = 1 << 14
"""Held while the daemon is asked; what comes beyond that is left out."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A frame, and what it goes out with. ``lost``: something of its track is missing before it."""

    lane: Lane
    unit: AccessUnit
    config: bytes
    lost: bool

    @classmethod
    def of(cls, lane: Lane, unit: AccessUnit) -> _Held:
        """The next one of ``lane``."""
        lost, lane.lost = lane.lost, False
        return cls(lane, unit, lane.framer.config, lost)

    @property
    def time(self) -> int | None:
        """When it is decoded, if that was said."""
        return self.unit.dts

    @property
    def size(self) -> int:
        """Bytes."""
        return memoryview(self.unit.payload).nbytes

    @property
    def is_picture(self) -> bool:
        """It is one of video."""
        return self.lane.kind is TrackKind.VIDEO

    @property
    def starts(self) -> bool:
        """Decoding of the whole stream can start here."""
        return self.is_picture and self.unit.keyframe and not self.unit.corrupt


class Intake:
    """One transport stream on its way in.

    Args:
        program: the program that is published; None: the first.
        limits: of what is put together.
    """

    def __init__(self, program: int | None = None, limits: Limits | None = None) -> None:
        self._stream = Claimed("MPEG-TS")
        self.counts = self._stream.counts
        limits = limits or Limits()
        self._demuxer = Demuxer(program, demuxer.Limits(limits.video, limits.audio))
        self._lanes: dict[int, Lane] = {}
        self._held: Holding[_Held] = Holding(HELD)

    @property
    def faults(self) -> Faults:
        """What went wrong on the way here."""
        return self._demuxer.counts

    @property
    def live(self) -> bool:
        """Frames go into the ring."""
        return self._stream.publisher is not None

    @property
    def begun(self) -> bool:
        """The program's map came."""
        return bool(self._lanes)

    def data_tracks(self) -> dict[int, str]:
        """What the tracks of data carry, by their ids."""
        lanes = [lane for lane in self._lanes.values() if lane.kind is TrackKind.DATA and lane.place >= 0]
        return {lane.place: lane.stream.content.value for lane in lanes}

    def news(self) -> dict[str, object]:
        """What there is to say of the stream now, as fields of the daemon's metadata."""
        faults, counts = self.faults, self.counts
        said = {
            "data_tracks": ", ".join(f"{place} {name}" for place, name in self.data_tracks().items()),
            "continuity_errors": str(faults.continuity or ""),
            "skipped_bytes": str(faults.skipped_bytes or ""),
            "scrambled_packets": str(faults.scrambled or ""),
            "dropped": f"{counts.dropped} ({counts.gated} before a keyframe)" if counts.dropped else "",
        }
        return {"tags": {name: text for name, text in said.items() if text}}

    # ------------------------------------------------------------------- in

    def receive(self, data: Buffer) -> None:
        """The next bytes. Raises `PublisherClosed`: the stream is over for this publisher."""
        for event in self._demuxer.receive(data):
            self._take(event)

    def finish(self) -> None:
        """No more will come: takes what has no end of its own."""
        for event in self._demuxer.finish():
            self._take(event)
        self._held.finish()

    def _take(self, event: Program | Unit) -> None:
        if isinstance(event, Program):
            self._restart(event)
            return
        lane = self._lanes.get(event.pid)
        if lane is None:
            return
        lane.lost = lane.lost or event.lost
        try:
            for unit in lane.framer.push(event):
                self._receive(lane, unit)
        except MediaError as error:
            log.debug("a packet is left out: %s", error)
            self.counts.damaged += 1
            lane.lost = True

    def _restart(self, program: Program) -> None:
        """The program has these streams from now on; those it had before go on as they are."""
        before = self._lanes
        self._lanes = {}
        for stream in program.streams:
            lane = before.get(stream.pid)
            self._lanes[stream.pid] = lane if lane is not None and lane.stream == stream else Lane.of(stream)
        if list(before.values()) != list(self._lanes.values()):
            for lane in (*before.values(), *self._lanes.values()):
                lane.place = -1  # also of one that is claimed just now: it has to be claimed anew

    def _receive(self, lane: Lane, unit: AccessUnit) -> None:
        if lane.kind is TrackKind.DATA and unit.dts is None:  # it goes with what is shown when it comes
            unit = replace(unit, pts=self._demuxer.clock, dts=self._demuxer.clock)
        if not lane.framer.ready or (unit.dts is None and lane.kind is not TrackKind.VIDEO):
            self.counts.damaged += 1
        elif self._stream.publisher is None or lane.place < 0 or lane.sound != lane.framer.sound:
            self._hold(lane, unit)
        else:
            self._publish(_Held.of(lane, unit))

    def _hold(self, lane: Lane, unit: AccessUnit) -> None:
        if self._held.size >= MOST_BYTES or len(self._held) >= MOST_FRAMES:
            self.counts.gated += 1
            lane.lost = True
        else:
            self._held.put(_Held.of(lane, unit))

    # ---------------------------------------------------------------- claims

    @property
    def wants_claim(self) -> bool:
        """True: the stream is to be claimed, with `tracks`, and `begin` to be called."""
        if not self._held:
            return False
        pictures = [lane for lane in self._lanes.values() if lane.kind is TrackKind.VIDEO]
        goes_on = self._stream.publisher is not None and all(lane.place >= 0 for lane in pictures)
        joinable = not pictures or goes_on or self._held.startable
        return (joinable and all(lane.framer.ready for lane in self._lanes.values())) or self._held.full

    def tracks(self) -> list[Track]:
        """The tracks there are now, in the order of the ring's; those that are not ready yet are left out.

        Raises:
            WireError: they changed too often.
        """
        lanes = sorted((lane for lane in self._lanes.values() if lane.framer.ready), key=lambda lane: lane.kind)
        for lane in self._lanes.values():
            lane.place = -1
        return self._stream.anew([lane.declare(place) for place, lane in enumerate(lanes)])

    def begin(self, publisher: Publisher) -> None:
        """The claim of `tracks` was granted: what was held goes out."""
        self._stream.publisher = publisher
        for item in self._held.take():
            if item.lane.place >= 0:
                self._publish(item)
            elif item.lane in self._lanes.values():  # it came, or became another, while the daemon was asked
                self._held.put(item)
            else:
                self.counts.damaged += 1

    def release(self) -> Publisher | None:
        """The stream is over: its publisher, if there is one, to be ended."""
        return self._stream.release()

    def interrupt(self) -> None:
        """It broke off, and may go on: by the next connection, or with other tracks."""
        self._held.clear()
        self._stream.interrupt()

    # ------------------------------------------------------------------- out

    def _publish(self, item: _Held) -> None:
        assert self._stream.publisher is not None
        if not self._stream.admits(starts=item.starts):
            return
        lane, unit = item.lane, item.unit
        if item.config and item.config != lane.config:
            lane.config = item.config
            self._stream.publisher.set_config(lane.place, item.config)
        self._stream.publish(
            lane.place,
            unit.payload,
            pts=unit.pts,
            dts=unit.dts,
            duration=unit.duration,
            keyframe=unit.keyframe,
            lost=item.lost,
            corrupt=unit.corrupt,
        )

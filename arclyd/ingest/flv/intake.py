"""From the tags of one published stream to frames in the ring. No I/O of its own, but for the publisher it is given.

Tags come first, and what tracks there are is only known from them; so they are held, within bounds, until the stream
can be claimed (`wants_claim`). The same happens again when a track comes that was not declared.

Frames are copied into the ring whole, not written there as they come (`Publisher.reserve`): a stream has one writer,
and tags of its other tracks may come between the pieces of one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

from arclyd.errors import MediaError
from arclyd.ingest.claimed import Claimed
from arclyd.ingest.flv import about
from arclyd.ingest.flv.lane import MILLISECOND, NANOSECOND, Lane
from arclyd.ingest.holding import Bounds, Holding
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.flv_tags import Part, What, audio_parts, video_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.client.publisher import Publisher
    from arclyd.media.track import Track
    from arclyd.protocols.rtmp.amf3 import Value

log = logging.getLogger(__name__)

HELD: Final = Bounds(ticks=1000, size=4 << 20, frames=512, together=250)
"""How much is held while it is not known what tracks will come; then those there are must do. Ticks: milliseconds."""

MAX_LANES: Final = 16
"""Tracks a stream may have in the ring."""

_HALF: Final = 1 << 31
_WRAP: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class _Held:
    """A frame that waits for the claim; its payload is a copy of its own."""

    lane: Lane
    time: int
    part: Part

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.part.payload)

    @property
    def is_picture(self) -> bool:
        """It is one of video."""
        return self.lane.kind is TrackKind.VIDEO

    @property
    def starts(self) -> bool:
        """Decoding of the whole stream can start here."""
        return self.is_picture and self.part.keyframe


class Intake:
    """One stream on its way in."""

    def __init__(self) -> None:
        self._stream = Claimed("RTMP")
        self.counts = self._stream.counts
        self.left_out: set[TrackKind] = set()
        """Kinds of tracks of which there is one whose codec arclyd does not carry."""
        self.color: bytes | None = None
        """What the picture's newest metadata packet says (colours, HDR), AMF values."""
        self._said: dict[str, object] = {}
        self._lanes: dict[tuple[TrackKind, int], Lane] = {}
        self._expected: frozenset[TrackKind] = frozenset()
        self._picture = (0, 0)
        self._unreadable = 0
        self._held: Holding[_Held] = Holding(HELD)
        self._scale = 1
        self._time: int | None = None

    # ------------------------------------------------------------------- in

    def data(self, values: Sequence[Value]) -> None:
        """The values of a script tag, the name first: ``onMetaData`` says what is to come."""
        said = values[1] if len(values) > 1 else None
        if values[:1] == ["onMetaData"] and isinstance(said, Mapping):
            self._said = about.metadata(said)
            self._expect(said)

    def news(self) -> dict[str, object]:
        """What there is to say of the stream now, as fields of the daemon's metadata."""
        fields = dict(self._said)
        said = fields.get("tags")
        tags = dict(said) if isinstance(said, dict) else {}
        if self.counts.dropped:
            tags["dropped"] = (
                f"{self.counts.dropped} ({self.counts.gated} before a keyframe, {self.counts.damaged} damaged)"
            )
        if self.left_out:
            tags["left_out"] = ", ".join(kind.label for kind in sorted(self.left_out))
        if self.color is not None and (text := about.color_tag(self.color)):
            tags[about.COLOR_TAG] = text
        return {**fields, "tags": tags}

    def _expect(self, said: Mapping[str, Value]) -> None:
        """Which kinds of tracks are to be waited for, and the picture's size."""
        kinds = []
        if any(name in said for name in ("videocodecid", "width")):
            kinds.append(TrackKind.VIDEO)
        if any(name in said for name in ("audiocodecid", "audiosamplerate")):
            kinds.append(TrackKind.AUDIO)
        self._expected = frozenset(kinds)
        width, height = said.get("width"), said.get("height")
        if _is_side(width) and _is_side(height):
            self._picture = int(width), int(height)

    def receive(self, kind: TrackKind, timestamp: int, body: bytes | bytearray | memoryview) -> None:
        """One tag, its time in milliseconds modulo 2**32.

        Raises:
            PublisherClosed: the stream is over for this publisher.
            WireError: the tracks change again and again.
        """
        time_ms = self._unwrap(timestamp)
        try:
            parts = video_parts(body) if kind is TrackKind.VIDEO else audio_parts(body)
        except MediaError as error:
            log.debug("a tag is left out: %s", error)
            self.counts.damaged += 1
            return
        for part in parts:
            self._receive(part, time_ms)

    def finish(self) -> None:
        """No more will come: what waits for other tracks waits no longer."""
        self._held.finish()

    def _receive(self, part: Part, time_ms: int) -> None:
        if part.codec is None:
            self.left_out.add(part.kind)
            return
        if part.what is What.METADATA:
            self.color = bytes(part.payload)
            return
        lane = self._lanes.get((part.kind, part.id))
        if lane is None or lane.codec is not part.codec:
            lane = self._open(part)
            if lane is None:
                return
        if part.what is What.CONFIG:
            self._configure(lane, bytes(part.payload))
            return
        self._learn(lane, part)
        if not lane.ready or not len(part.payload):
            self.counts.damaged += 1
        elif self._stream.publisher is None or lane.place < 0:
            part.payload = memoryview(bytes(part.payload))
            self._held.put(_Held(lane, time_ms, part))
        else:
            self._publish(_Held(lane, time_ms, part))

    def _learn(self, lane: Lane, part: Part) -> None:
        before = lane.sound
        try:
            config = lane.learn(part)
        except MediaError as error:
            log.debug("a frame that does not say what it is: %s", error)
            return
        if config:
            self._configure(lane, config)
        elif lane.sound != before:
            lane.place = -1

    def _open(self, part: Part) -> Lane | None:
        assert part.codec is not None
        key = part.kind, part.id
        if key not in self._lanes and len(self._lanes) >= MAX_LANES:
            return None
        lane = self._lanes[key] = Lane(part.kind, part.id, part.codec)
        if part.kind is TrackKind.VIDEO:
            lane.width, lane.height = self._picture
        return lane

    def _configure(self, lane: Lane, config: bytes) -> None:
        if config == lane.config:
            return
        before = lane.sound
        try:
            lane.configure(config)
        except MediaError as error:
            self._warn(error)
            if lane.kind is not TrackKind.VIDEO or not config:
                return
            lane.config = config  # its readers may know better
        if self._stream.publisher is None or lane.place < 0:
            return
        if before != lane.sound:
            lane.place = -1
            return
        self._stream.publisher.set_config(lane.place, config, width=lane.width, height=lane.height)

    def _warn(self, error: MediaError) -> None:
        """Of a configuration that can't be read: the 1st, 2nd, 4th, 8th …; encoders say it with every keyframe."""
        self._unreadable += 1
        if self._unreadable & (self._unreadable - 1) == 0:
            log.warning("a configuration that can't be read: %s (%d so far)", error, self._unreadable)

    def _unwrap(self, timestamp: int) -> int:
        """The time on a line without end: what looks like a step of more than 24 days is a wrap."""
        if self._time is None:
            self._time = timestamp
        else:
            self._time += ((timestamp - self._time + _HALF) & _WRAP) - _HALF
        return self._time

    # ---------------------------------------------------------------- claims

    @property
    def wants_claim(self) -> bool:
        """True: the stream is to be claimed, with `tracks`, and `begin` to be called."""
        if not self._held:
            return False
        ready = {lane.kind for lane in self._lanes.values() if lane.ready}
        complete = (self._expected or {TrackKind.VIDEO, TrackKind.AUDIO}) <= ready
        joinable = TrackKind.VIDEO not in ready or self._held.startable
        return self._stream.publisher is not None or (complete and joinable) or self._held.full

    @property
    def begun(self) -> bool:
        """There is a track."""
        return bool(self._lanes)

    @property
    def live(self) -> bool:
        """Frames go into the ring."""
        return self._stream.publisher is not None

    def tracks(self) -> list[Track]:
        """The tracks there are now, in the order of the ring's; those that are not ready yet are left out.

        Raises:
            WireError: they changed too often.
        """
        exact = any(held.part.nanoseconds for held in self._held)
        self._scale = 1_000_000 if exact else 1
        base = NANOSECOND if exact else MILLISECOND
        lanes = sorted((lane for lane in self._lanes.values() if lane.ready), key=lambda lane: (lane.kind, lane.id))
        for lane in self._lanes.values():
            lane.place = lanes.index(lane) if lane in lanes else -1
        return self._stream.anew([lane.track(base) for lane in lanes])

    def begin(self, publisher: Publisher) -> None:
        """The claim of `tracks` was granted: what was held goes out."""
        self._stream.publisher = publisher
        for item in self._held.take():
            if item.lane.place < 0:
                self.counts.damaged += 1
            else:
                self._publish(item)

    def release(self) -> Publisher | None:
        """The stream is over: its publisher, if there is one, to be ended."""
        return self._stream.release()

    def interrupt(self) -> None:
        """It broke off, and may go on: by the next connection, or with other tracks."""
        self._held.clear()
        self._stream.interrupt()

    # ------------------------------------------------------------------- out

    def _publish(self, item: _Held) -> None:
        if not self._stream.admits(starts=item.starts):
            return
        part = item.part
        dts = item.time * self._scale + (part.nanoseconds if self._scale > 1 else 0)
        self._stream.publish(
            item.lane.place,
            part.payload,
            pts=dts + part.composition_ms * self._scale,
            dts=dts,
            keyframe=part.keyframe,
            droppable=part.droppable,
        )


def _is_side(value: object) -> TypeGuard[float]:
    return isinstance(value, float) and 1 <= value < 1e6  # neither is true of what is no number

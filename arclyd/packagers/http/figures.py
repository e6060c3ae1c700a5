"""What the page shows of each stream: its figures now, and its bitrate over the last minute, second by second."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arclyd.packagers.channel import Channel
    from arclyd.packagers.http.viewers import Viewers
    from arclyd.packagers.roster import Roster

SECOND: Final = 1.0
"""Between two looks."""

KEPT: Final = 60
"""Seconds of bitrate."""

STEADY: Final = 4
"""Looks that the picture rate is taken over: one second of it would jump by a picture."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One stream as the page shows it.

    ``state``: words of `StreamInfo`. ``bitrate``: bits in the last second; ``history``: the same of each second of the
    last minute, oldest first. ``fps``: pictures a second. ``viewers``: how many. ``lag``: seconds that the packager is
    behind the newest frame. ``codecs``: RFC 6381. ``width``, ``height``: of the picture, 0 without one.
    """

    key: str
    state: tuple[str, ...]
    bitrate: int
    fps: float
    viewers: int
    lag: float
    codecs: tuple[str, ...]
    width: int
    height: int
    history: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Look:
    """What had been read of a channel at a time, monotonic seconds."""

    at: float
    bytes: int
    pictures: int


@dataclass(slots=True)
class _Minute:
    """The looks at one channel, and the bitrates they gave; those go on when a channel takes another's place."""

    channel: Channel
    bitrates: deque[int] = field(default_factory=lambda: deque(maxlen=KEPT))
    looks: deque[_Look] = field(default_factory=lambda: deque(maxlen=STEADY + 1))

    def picture_rate(self) -> float:
        """Pictures a second over the last looks."""
        if len(self.looks) < 2:
            return 0.0
        first, last = self.looks[0], self.looks[-1]
        return round((last.pictures - first.pictures) / (last.at - first.at), 2)


class Gauge:
    """Looks at the channels of ``roster`` once a second. What is read to catch up with the ring is not counted."""

    def __init__(self, roster: Roster, viewers: Viewers) -> None:
        self._roster = roster
        self._viewers = viewers
        self._minutes: dict[str, _Minute] = {}
        self.figures: list[Figures] = []
        """Of every stream, by key."""

    async def run(self) -> None:
        """Look for ever."""
        while True:
            self.look(time.monotonic())
            await asyncio.sleep(SECOND)

    def look(self, now: float) -> None:
        """Take the figures at ``now``, monotonic seconds."""
        channels = self._roster.channels()
        viewers = self._viewers.counts()
        self._minutes = {channel.key: self._looked(channel, now) for channel in channels}
        self.figures = [self._figures(channel, viewers) for channel in channels]

    def _looked(self, channel: Channel, now: float) -> _Minute:
        minute = self._minutes.get(channel.key) or _Minute(channel)
        if minute.channel is not channel or not channel.ready:
            minute = _Minute(channel, minute.bitrates)
        if channel.ready:
            look = _Look(now, channel.received.bytes, channel.received.pictures)
            if minute.looks:
                last = minute.looks[-1]
                minute.bitrates.append(round((look.bytes - last.bytes) * 8 / (look.at - last.at)))
            minute.looks.append(look)
        return minute

    def _figures(self, channel: Channel, viewers: Mapping[str, int]) -> Figures:
        minute = self._minutes[channel.key]
        period = channel.window.period
        lanes = list(period.lanes.values()) if period else []
        picture = next((lane.track for lane in lanes if lane.is_video), None)
        return Figures(
            channel.key,
            self._roster.state(channel.key),
            minute.bitrates[-1] if minute.bitrates else 0,
            minute.picture_rate(),
            viewers.get(channel.key, 0),
            round(channel.lag_seconds, 3),
            tuple(lane.codec for lane in lanes),
            picture.width if picture else 0,
            picture.height if picture else 0,
            tuple(minute.bitrates),
        )

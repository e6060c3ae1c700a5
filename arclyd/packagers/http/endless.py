"""A stream as one response without end: MPEG-TS or FLV, from the newest keyframe a segment starts with.

It is made once for all who watch it, as long as somebody does, and kept for as long as the segments it is made of: who
does not read costs nothing but what is already on its way.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

from arclyd.errors import MediaError
from arclyd.media.formats.container import FORMATS, Muxer
from arclyd.media.formats.ts_joined import JoinedTransport
from arclyd.packagers.hls.transport import transport_part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from arclyd.packagers.channel import Channel
    from arclyd.packagers.pieces import Part, Period


@dataclass(frozen=True, slots=True)
class _Unit:
    """One access unit as a muxer takes it; times in units of its lane."""

    track: int
    pts: int
    dts: int
    duration: int
    keyframe: bool
    payload: memoryview
    is_config: bool = False

    def tobytes(self) -> bytes:
        return bytes(self.payload)


class _Maker(Protocol):
    """Makes one container of parts; ``head`` comes before what a viewer begins with, once something was made."""

    head: bytes

    def make(self, part: Part) -> bytes | None:
        """The bytes of the next part; None: the container can't go on with it."""


class _Transport:
    """MPEG-TS: every part has its tables."""

    def __init__(self) -> None:
        self.head = b""
        self._joined = JoinedTransport()

    def make(self, part: Part) -> bytes:
        return self._joined.join(transport_part(part))


class _Flv:
    """FLV: one header, which holds for as long as the configuration does."""

    def __init__(self) -> None:
        self.head = b""
        self._written: list[bytes] = []
        self._muxer: Muxer | None = None
        self._period: Period | None = None

    def write(self, data: bytes, /) -> int:
        """Take what the muxer writes."""
        self._written.append(bytes(data))
        return len(data)

    def make(self, part: Part) -> bytes | None:
        if self._muxer is None or self._period is None:
            self._muxer = self._opened(part.period)
        elif not _alike(self._period, part.period):
            return None
        self._period = part.period
        for unit in _units(part):
            self._muxer.write(unit)
        if not self.head and self._written:
            self.head = self._written.pop(0)
        data = b"".join(self._written)
        self._written.clear()
        return data

    def _opened(self, period: Period) -> Muxer:
        lead = period.lanes[period.lead].track.codec
        if lead not in FORMATS["flv"].codecs:  # sound alone is not what was asked for
            raise MediaError("FLV", f"it can't hold {lead.label}")
        tracks = [replace(lane.track, time_base=Fraction(1, lane.scale)) for lane in period.lanes.values()]
        return Muxer(self, FORMATS["flv"], tracks, seekable=False)


MAKERS: Final[Mapping[str, Callable[[], _Maker]]] = MappingProxyType({"ts": _Transport, "flv": _Flv})


@dataclass(frozen=True, slots=True)
class _Piece:
    """The container's bytes of one part, with which a viewer can begin if ``starts``."""

    data: bytes
    segment: int
    starts: bool


class Endless:
    """The containers of channels that are being watched, each made once however many watch it."""

    def __init__(self) -> None:
        self._lines: dict[tuple[int, str], _Line] = {}

    async def watch(self, channel: Channel, name: str) -> AsyncIterator[bytes]:
        """The container ``name`` of the stream piece by piece, until it ends or its reader is a whole window behind.

        Where the configuration changes MPEG-TS goes on with it; FLV, which has one header, ends.

        Raises:
            MediaError: the picture, or in a stream without one the sound, does not fit the container.
        """
        key = (id(channel), name)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(channel, name)
        line.watchers += 1
        try:
            async for data in line.watch():
                yield data
        finally:
            line.watchers -= 1
            if not line.watchers:
                self._lines.pop(key, None)
                line.stop()


class _Line:
    """One container of one channel: what was made of it lately, and the making of it."""

    def __init__(self, channel: Channel, name: str) -> None:
        self.watchers = 0
        self._channel = channel
        self._maker = MAKERS[name]()
        self._pieces: deque[_Piece] = deque()
        self._gone = 0
        self._changed = asyncio.Event()
        self._making = asyncio.create_task(self._make(), name=f"{name} of {channel.key}")
        self._making.add_done_callback(lambda _: self._changed.set())

    def stop(self) -> None:
        """Nobody watches any more."""
        self._making.cancel()

    async def watch(self) -> AsyncIterator[bytes]:
        """What begins with the newest segment that there is something of."""
        await self._reach(0)
        starts = [number for number, piece in enumerate(self._pieces, self._gone) if piece.starts]
        at = starts[-1] if starts else self._gone
        begun = False
        while await self._reach(at) and at >= self._gone:
            yield (b"" if begun else self._maker.head) + self._pieces[at - self._gone].data
            begun = True
            at += 1

    async def _reach(self, number: int) -> bool:
        """Wait until there is such a piece; False: there will be none."""
        while number >= self._gone + len(self._pieces):
            if self._making.done():
                if self._making.cancelled():
                    return False
                self._making.result()
                return False
            await self._changed.wait()
        return True

    async def _make(self) -> None:
        async for part in _parts(self._channel):
            data = self._maker.make(part)
            if data is None:
                return
            self._add(data, part)

    def _add(self, data: bytes, part: Part) -> None:
        lead = part.chunks.get(part.period.lead)
        self._put(_Piece(data, part.segment, starts=part.index == 0 and lead is not None and lead.independent))

    def _put(self, piece: _Piece) -> None:
        if piece.data:
            self._pieces.append(piece)
        held = self._channel.window.segments
        while len(self._pieces) > 1 and held and 0 <= self._pieces[0].segment < held[0].number:
            self._pieces.popleft()
            self._gone += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _parts(channel: Channel) -> AsyncIterator[Part]:
    """Every part from the start of the newest segment on."""
    window = channel.window
    await channel.until(lambda: bool(window.segments) or channel.over)
    number = window.segments[-1].number if window.segments else 0
    index = 0
    while True:
        await channel.until(partial(_goes_on, channel, number, index))
        segment = window.segment(number)
        if segment is None:  # ended, or the reader fell behind all that is held
            return
        if index < len(segment.parts):
            yield segment.parts[index]
            index += 1
        elif segment.complete:
            number, index = number + 1, 0
        else:
            return


def _goes_on(channel: Channel, number: int, index: int) -> bool:
    """Part ``index`` is there, or will never be."""
    window = channel.window
    segment = window.segment(number)
    if segment is None:
        return channel.over or (bool(window.segments) and number < window.segments[0].number)
    return index < len(segment.parts) or segment.complete or channel.over


def _alike(one: Period, other: Period) -> bool:
    return [lane.name for lane in one.lanes.values()] == [lane.name for lane in other.lanes.values()]


def _units(part: Part) -> list[_Unit]:
    """The samples of all lanes in the order they are decoded in."""
    units = []
    for place, lane in enumerate(part.period.lanes.values()):
        chunk = part.chunks.get(lane.id)
        for sample in chunk.samples if chunk else ():
            payload = memoryview(sample.data)
            unit = _Unit(place, sample.pts, sample.dts, sample.duration, sample.keyframe, payload)
            units.append((Fraction(sample.dts, lane.scale), unit))
    return [unit for _, unit in sorted(units, key=lambda pair: pair[0])]

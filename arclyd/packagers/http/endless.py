"""A stream as one response without end: MPEG-TS or FLV, from the newest keyframe a segment starts with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from arclyd.errors import MediaError
from arclyd.media.formats.container import FORMATS, Muxer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arclyd.media.formats.container import Format
    from arclyd.packagers.channel import Channel
    from arclyd.packagers.pieces import Part, Period
    from arclyd.packagers.window import Window


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


class _Collected:
    """What a muxer wrote since it was last asked."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


async def endless(channel: Channel, name: str) -> AsyncIterator[bytes]:
    """The container ``name`` of the stream piece by piece, until it ends or its reader is a whole window behind.

    Where the configuration changes MPEG-TS goes on with it; FLV, which has one header, ends.

    Raises:
        MediaError: the picture, or in a stream without one the sound, does not fit the container.
    """
    sink, container = _Collected(), FORMATS[name]
    muxer: Muxer | None = None
    period: Period | None = None
    async for part in _parts(channel):
        if muxer is None or period is None or not _alike(period, part.period):
            if muxer is not None and container.single:
                return
            muxer = _muxer(sink, container, part.period)
        period = part.period
        for unit in _units(part):
            muxer.write(unit)
        if data := sink.take():
            yield data
    if muxer is not None:
        muxer.close()
        yield sink.take()


async def _parts(channel: Channel) -> AsyncIterator[Part]:
    """Every part from the start of the newest segment on."""
    window = channel.window
    await channel.until(lambda: bool(window.segments) or window.ended)
    number = window.segments[-1].number if window.segments else 0
    index = 0
    while True:
        await channel.until(partial(_goes_on, window, number, index))
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


def _goes_on(window: Window, number: int, index: int) -> bool:
    """Part ``index`` is there, or will never be."""
    segment = window.segment(number)
    if segment is None:
        return window.ended or (bool(window.segments) and number < window.segments[0].number)
    return index < len(segment.parts) or segment.complete or window.ended


def _muxer(sink: _Collected, container: Format, period: Period) -> Muxer:
    lead = period.lanes[period.lead].track.codec
    if lead not in container.codecs:  # sound alone is not what was asked for
        raise MediaError(f"{container.name} container", f"it can't hold {lead.label}")
    tracks = [replace(lane.track, time_base=Fraction(1, lane.scale)) for lane in period.lanes.values()]
    return Muxer(sink, container, tracks, seekable=False)


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

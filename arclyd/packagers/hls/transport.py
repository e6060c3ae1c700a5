"""A segment's lanes together as MPEG-TS, made from the chunks when a player asks for it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

from arclyd.errors import MediaError
from arclyd.media.formats.container import FORMATS
from arclyd.media.formats.libav import open_ts_piece, open_ts_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from arclyd.media.formats.libav import LibavOutput
    from arclyd.packagers.pieces import Chunk, Lane, Part, Period
    from arclyd.packagers.window import Segment


def transportable(period: Period) -> list[Lane]:
    """The lanes that MPEG-TS can hold in a way others read; none without the lead."""
    lanes = [lane for lane in period.lanes.values() if lane.track.codec in FORMATS["ts"].codecs]
    return lanes if any(lane.id == period.lead for lane in lanes) else []


def transport_segment(segment: Segment) -> bytes:
    """The segment as MPEG-TS that stands alone, with its timestamps as they are.

    Raises:
        MediaError: FFmpeg refuses it.
    """
    return _transport(segment.period, {lane: segment.chunks(lane) for lane in segment.period.lanes}, open_ts_segment)


def transport_part(part: Part) -> bytes:
    """The part as MPEG-TS, to be joined to those before.

    Raises:
        MediaError: FFmpeg refuses it, or its lead.
    """
    if not transportable(part.period):
        raise MediaError("MPEG-TS", f"it can't hold {part.period.lanes[part.period.lead].track.codec.label}")
    return _transport(part.period, {lane: [chunk] for lane, chunk in part.chunks.items()}, open_ts_piece)


def _transport(period: Period, chunks: Mapping[int, Sequence[Chunk]], opened: Callable[..., LibavOutput]) -> bytes:
    lanes = transportable(period)
    sink = BytesIO()
    output = opened(sink, [replace(lane.track, time_base=Fraction(1, lane.scale)) for lane in lanes])
    samples = [
        (Fraction(sample.dts, lane.scale), place, sample)
        for place, lane in enumerate(lanes)
        for chunk in chunks.get(lane.id, ())
        for sample in chunk.samples
    ]
    for _, place, sample in sorted(samples, key=lambda item: item[:2]):
        output.write(
            place,
            bytes(sample.data),
            pts=max(sample.pts, sample.dts),  # other than in an MP4, it can't be shown before it is decoded
            dts=sample.dts,
            duration=sample.duration,
            keyframe=sample.keyframe,
        )
    output.close()
    return sink.getvalue()

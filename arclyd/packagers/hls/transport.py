"""A segment's lanes together as MPEG-TS, made from the chunks when a player asks for it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

from arclyd.media.formats.container import FORMATS
from arclyd.media.formats.libav import open_ts_segment

if TYPE_CHECKING:
    from arclyd.packagers.pieces import Lane, Period
    from arclyd.packagers.window import Segment


def transportable(period: Period) -> list[Lane]:
    """The lanes that MPEG-TS can hold in a way others read; none without the lead."""
    lanes = [lane for lane in period.lanes.values() if lane.track.codec in FORMATS["ts"].codecs]
    return lanes if any(lane.id == period.lead for lane in lanes) else []


def transport_segment(segment: Segment) -> bytes:
    """The segment as MPEG-TS, with its timestamps as they are.

    Raises:
        MediaError: FFmpeg refuses it.
    """
    lanes = transportable(segment.period)
    sink = BytesIO()
    output = open_ts_segment(sink, [replace(lane.track, time_base=Fraction(1, lane.scale)) for lane in lanes])
    samples = [
        (Fraction(sample.dts, lane.scale), place, sample)
        for place, lane in enumerate(lanes)
        for chunk in segment.chunks(lane.id)
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

"""What manifests say of a stream's rates, measured over what they list."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.packagers.pieces import Lane
    from arclyd.packagers.window import Segment, Window


def bandwidth(window: Window, lanes: Sequence[Lane]) -> tuple[int, int]:
    """Bits a second of ``lanes`` together: of the densest segment, and on average (RFC 8216bis, 4.4.6.2)."""
    sizes = [
        (sum(segment.size(lane.id) for lane in lanes) * 8, segment.lead_duration)
        for segment in _recent(window)
        if segment.lead_duration
    ]
    if not sizes:
        return 1, 1
    peak = max(Fraction(bits) / seconds for bits, seconds in sizes)
    average = Fraction(sum(bits for bits, _ in sizes)) / sum((seconds for _, seconds in sizes), Fraction(0))
    return max(1, round(peak)), max(1, round(average))


def frame_rate(window: Window, video: Lane) -> Fraction | None:
    """Pictures a second of a lane; None: there are none."""
    segments = [segment for segment in _recent(window) if video.id in segment.period.lanes]
    seconds = sum((segment.duration(video.id) for segment in segments), Fraction(0))
    pictures = sum(len(chunk.samples) for segment in segments for chunk in segment.chunks(video.id))
    return pictures / seconds if seconds else None


def _recent(window: Window) -> list[Segment]:
    return [segment for segment in window.listed if segment.period is window.period] or window.listed

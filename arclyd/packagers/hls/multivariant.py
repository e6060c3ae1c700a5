"""Multivariant playlists (RFC 8216bis, 4.4.6): the renditions ``name`` and ``name~variant`` of a stream as one."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.packagers import names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.packagers.pieces import Lane
    from arclyd.packagers.window import Segment, Window

VERSION: Final = 7
"""What the CHANNELS and independent segments of these playlists ask for at most (RFC 8216bis, 8)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition: ``folder`` is where its playlists lie, seen from the one that names it; ``label`` names it."""

    folder: str
    label: str
    window: Window


def multivariant(variants: Sequence[Variant], *, transport: bool = False, query: str = "") -> str:
    """The playlist of ``variants``, each with a period; ``transport``: of their MPEG-TS playlists."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}", "#EXT-X-INDEPENDENT-SEGMENTS"]
    if not transport:
        for variant in variants:
            lines += _audio_group(variant, query)
    for variant in variants:
        lines += _stream(variant, query, transport=transport)
    return "\n".join(lines) + "\n"


def _audio_group(variant: Variant, query: str) -> list[str]:
    lanes = _lanes(variant)
    audio = [lane for lane in lanes if not lane.is_video]
    if len(lanes) == len(audio) == 1:
        return []  # sound alone is the variant itself
    lines = []
    for place, lane in enumerate(audio):
        words = [
            "TYPE=AUDIO",
            f'GROUP-ID="audio-{variant.label}"',
            f'NAME="Audio {place + 1}"',
            f"DEFAULT={'NO' if place else 'YES'}",
            "AUTOSELECT=YES",
            f'CHANNELS="{lane.track.channels}"',
            f'URI="{variant.folder}{names.playlist(lane.id)}{query}"',
        ]
        lines.append("#EXT-X-MEDIA:" + ",".join(words))
    return lines


def _stream(variant: Variant, query: str, *, transport: bool) -> list[str]:
    lanes = _lanes(variant)
    video = next((lane for lane in lanes if lane.is_video), None)
    grouped = len(lanes) > 1 and any(not lane.is_video for lane in lanes)
    peak, average = _bandwidth(variant.window, lanes)
    words = [f"BANDWIDTH={peak}", f"AVERAGE-BANDWIDTH={average}"]
    words.append(f'CODECS="{",".join(dict.fromkeys(lane.codec for lane in lanes))}"')
    if video is not None:
        words.append(f"RESOLUTION={video.track.width}x{video.track.height}")
        if rate := _frame_rate(variant.window, video):
            words.append(f"FRAME-RATE={rate}")
    if grouped and not transport:
        words.append(f'AUDIO="audio-{variant.label}"')
    words.append(f'STABLE-VARIANT-ID="{variant.label}"')
    lead = video or lanes[0]
    name = names.TRANSPORT_PLAYLIST if transport else names.playlist(lead.id)
    return ["#EXT-X-STREAM-INF:" + ",".join(words), f"{variant.folder}{name}{query}"]


def _lanes(variant: Variant) -> list[Lane]:
    period = variant.window.period
    return list(period.lanes.values()) if period else []


def _recent(window: Window) -> list[Segment]:
    return [segment for segment in window.listed if segment.period is window.period] or window.listed


def _bandwidth(window: Window, lanes: Sequence[Lane]) -> tuple[int, int]:
    """Bits a second: of the largest segment, and on average (4.4.6.2)."""
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


def _frame_rate(window: Window, video: Lane) -> str:
    segments = [segment for segment in _recent(window) if video.id in segment.period.lanes]
    seconds = sum((segment.duration(video.id) for segment in segments), Fraction(0))
    pictures = sum(len(chunk.samples) for segment in segments for chunk in segment.chunks(video.id))
    return f"{float(pictures / seconds):.3f}" if seconds else ""

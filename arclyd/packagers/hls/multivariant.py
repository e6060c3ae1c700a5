"""Multivariant playlists (RFC 8216bis, 4.4.6): the renditions ``name`` and ``name~variant`` of a stream as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.packagers import names
from arclyd.packagers.hls.transport import transportable
from arclyd.packagers.rates import bandwidth, frame_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.packagers.pieces import Lane
    from arclyd.packagers.window import Window

VERSION: Final = 7
"""What these playlists ask for at most (RFC 8216bis, 8)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition: ``folder`` is where its playlists lie, seen from the one that names it; ``label`` names it."""

    folder: str
    label: str
    window: Window


def multivariant(variants: Sequence[Variant], *, transport: bool = False, query: str = "") -> str:
    """The playlist of ``variants``, each with a period; ``transport``: of their MPEG-TS playlists."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{VERSION}"]
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
    period = variant.window.period
    lanes = transportable(period) if transport and period else _lanes(variant)
    if not lanes:
        return []
    video = next((lane for lane in lanes if lane.is_video), None)
    grouped = len(lanes) > 1 and any(not lane.is_video for lane in lanes)
    peak, average = bandwidth(variant.window, lanes)
    words = [f"BANDWIDTH={peak}", f"AVERAGE-BANDWIDTH={average}"]
    words.append(f'CODECS="{",".join(dict.fromkeys(lane.codec for lane in lanes))}"')
    if video is not None:
        words.append(f"RESOLUTION={video.track.width}x{video.track.height}")
        if rate := frame_rate(variant.window, video):
            words.append(f"FRAME-RATE={float(rate):.3f}")
    if grouped and not transport:
        words.append(f'AUDIO="audio-{variant.label}"')
    words.append(f'STABLE-VARIANT-ID="{variant.label}"')
    lead = video or lanes[0]
    name = names.TRANSPORT_PLAYLIST if transport else names.playlist(lead.id)
    return ["#EXT-X-STREAM-INF:" + ",".join(words), f"{variant.folder}{name}{query}"]


def _lanes(variant: Variant) -> list[Lane]:
    period = variant.window.period
    return list(period.lanes.values()) if period else []

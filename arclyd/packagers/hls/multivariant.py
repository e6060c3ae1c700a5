"""Multivariant playlists (RFC 8216bis, 4.4.6): the renditions ``name`` and ``name~variant`` of a stream as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.packagers import names
from arclyd.packagers.hls.transport import transportable
from arclyd.packagers.rates import bandwidth, frame_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.packagers.pieces import Lane
    from arclyd.packagers.variant import Variant

VERSION: Final = 7
"""What these playlists ask for at most (RFC 8216bis, 8)."""


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
    lanes = variant.lanes
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
    lanes = transportable(period) if transport and period else variant.lanes
    if not lanes:
        return []
    video = next((lane for lane in lanes if lane.is_video), None)
    grouped = len(lanes) > 1 and any(not lane.is_video for lane in lanes)
    peak, average = _rates(variant, lanes, together=transport)
    words = [f"BANDWIDTH={peak}", f"AVERAGE-BANDWIDTH={average}"]
    words.append(f'CODECS="{",".join(dict.fromkeys(lane.codec for lane in lanes))}"')
    if video is not None:
        if video.track.width and video.track.height:
            words.append(f"RESOLUTION={video.track.width}x{video.track.height}")
        if rate := frame_rate(variant.window, video):
            words.append(f"FRAME-RATE={float(rate):.3f}")
    if grouped and not transport:
        words.append(f'AUDIO="audio-{variant.label}"')
    words.append(f'STABLE-VARIANT-ID="{variant.label}"')
    lead = video or lanes[0]
    name = names.TRANSPORT_PLAYLIST if transport else names.playlist(lead.id)
    return ["#EXT-X-STREAM-INF:" + ",".join(words), f"{variant.folder}{name}{query}"]


def _rates(variant: Variant, lanes: Sequence[Lane], *, together: bool) -> tuple[int, int]:
    """Peak and average of what is played: all lanes ``together``, or the picture with any one sound (4.4.6.2)."""
    video = [lane for lane in lanes if lane.is_video]
    sounds = [lane for lane in lanes if not lane.is_video]
    played = [lanes] if together or not sounds else [[*video, sound] for sound in sounds]
    rates = [bandwidth(variant.window, each) for each in played]
    return max(peak for peak, _ in rates), max(average for _, average in rates)

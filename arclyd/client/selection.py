"""What a subscriber asks for, in the ring's terms: where to start, which tracks."""

from __future__ import annotations

from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError, RegionCorrupt, RequestRefused
from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.track import Track

if TYPE_CHECKING:
    from arclyd.ring._ring import Region, TrackInfo

PLACES: Final = ("keyframe", "live", "oldest")

ALL_TRACKS: Final = 0xFFFFFFFF

_KINDS: Final = MappingProxyType({int(kind): kind.label for kind in TrackKind})


def ring_start(start: str | float) -> tuple[str, int]:
    """``start`` of a subscriber as the ring's reader takes it: a place, a sequence, or ns ago.

    Raises:
        RequestRefused: it is none of these.
    """
    if isinstance(start, str):
        if start in PLACES:
            return (start, 0)
    elif start < 0:
        return ("ago", int(-start * 1e9))
    elif isinstance(start, int) and not isinstance(start, bool):
        return ("seq", start)
    raise RequestRefused(f"start is one of {', '.join(PLACES)}, a sequence, or minus so many seconds, not {start!r}")


def track_mask(region: Region, wanted: tuple[int | str, ...] | None) -> int:
    """The bits of the tracks wanted, by id or by kind; None: all.

    Raises:
        RequestRefused: a kind the stream has no track of, or something that names no track.
    """
    if wanted is None:
        return ALL_TRACKS
    mask = 0
    for one in wanted:
        mask |= _bits(region, one)
    return mask


def _bits(region: Region, wanted: int | str) -> int:
    if isinstance(wanted, str):
        if mask := sum(1 << info.id for info in region.tracks() if wanted == _KINDS.get(info.kind)):
            return mask
    elif 0 <= wanted < region.max_tracks:
        return 1 << wanted
    raise RequestRefused(f"stream {region.key!r} has no track {wanted!r}")


def tracks_of(region: Region) -> list[Track]:
    """The tracks of a region, each with the configuration in force.

    Raises:
        RegionCorrupt: an entry of the track table makes no sense.
    """
    configs = {config.generation: config.data for config in region.configs()}
    return [_track(info, configs.get(info.config_generation, b"")) for info in region.tracks()]


def _track(info: TrackInfo, config: bytes) -> Track:
    try:
        return Track(
            kind=TrackKind(info.kind),
            codec=CodecId.from_byte(info.codec),
            config=config,
            time_base=Fraction(*info.time_base),
            width=info.width,
            height=info.height,
            sample_rate=info.sample_rate,
            channels=info.channels,
        )
    except (ValueError, ZeroDivisionError, ArclydError) as error:
        raise RegionCorrupt(f"track {info.id}", str(error)) from error

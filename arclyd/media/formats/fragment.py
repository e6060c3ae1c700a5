"""Movie fragments (ISO/IEC 14496-12, 8.8): samples of one track as ``moof`` and ``mdat``, the chunks of CMAF.

The other half of `arclyd.media.formats.fmp4`. A fragment comes out at once and stands for itself: its first decoding
time is written in full, so that no rounding adds up from one to the next.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.formats.fmp4 import box, full_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

_SYNC: Final = 0x02000000
"""Flags of a sample that depends on no other one (8.8.3.1)."""
_DEPENDENT: Final = 0x01010000
"""It depends on others, and decoding can't start here."""
_DISPOSABLE: Final = 0x00800000
"""No other sample depends on it."""

_BASE_IS_MOOF: Final = 0x020000
_DEFAULT_DURATION: Final = 0x08
_DEFAULT_FLAGS: Final = 0x20
_DATA_OFFSET: Final = 0x001
_FIRST_FLAGS: Final = 0x004
_DURATION: Final = 0x100
_SIZE: Final = 0x200
_FLAGS: Final = 0x400
_COMPOSITION: Final = 0x800

_U32: Final = 0xFFFF_FFFF
_MAX_TICKS: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One access unit; times in units of the track's timescale, ``pts`` may be before ``dts``."""

    dts: int
    pts: int
    duration: int
    keyframe: bool
    data: Buffer
    droppable: bool = False


def sample_flags(sample: Sample) -> int:
    """What a player may know of a sample before it decodes it (14496-12, 8.8.3.1)."""
    if sample.keyframe:
        return _SYNC
    return _DEPENDENT | (_DISPOSABLE if sample.droppable else 0)


def fragment(number: int, track_id: int, samples: Sequence[Sample]) -> bytes:
    """One ``moof`` and its ``mdat``.

    Args:
        number: the fragment's place in its stream; only its low 32 bits are kept.
        track_id: the track's id in the init segment.
        samples: in decoding order, at least one, each lasting until the next one's dts. What the last one lasts
            until is where the next fragment begins.

    Raises:
        MediaError: times that a fragment can't hold.
    """
    views = [memoryview(sample.data).cast("B") for sample in samples]
    _check(samples)
    head = _moof(number, track_id, samples, [view.nbytes for view in views], data_offset=0)
    # The offset has a fixed size, so that it can be written once the length of what holds it is known.
    head = _moof(number, track_id, samples, [view.nbytes for view in views], data_offset=len(head) + 8)
    size = sum(view.nbytes for view in views)
    if 8 + size > _U32:
        raise MediaError("movie fragment", f"{size} bytes of samples")
    return b"".join((head, struct.pack(">I4s", 8 + size, b"mdat"), *views))


def _check(samples: Sequence[Sample]) -> None:
    if not samples:
        raise MediaError("movie fragment", "no samples")
    at = samples[0].dts
    for sample in samples:
        if sample.dts != at:
            raise MediaError("movie fragment", f"a sample at {sample.dts} where the one before ends at {at}")
        if not 0 < sample.duration <= _U32 or not -(1 << 31) <= sample.pts - sample.dts < 1 << 31:
            raise MediaError("movie fragment", f"a duration of {sample.duration}, pts {sample.pts}, dts {sample.dts}")
        at += sample.duration
    if samples[0].dts < 0 or at > _MAX_TICKS:
        raise MediaError("movie fragment", f"a decoding time of {samples[0].dts}")


def _moof(number: int, track_id: int, samples: Sequence[Sample], sizes: Sequence[int], *, data_offset: int) -> bytes:
    durations = {sample.duration for sample in samples}
    flags = [sample_flags(sample) for sample in samples]
    later = set(flags[1:])
    one_duration, one_later = len(durations) == 1, len(later) <= 1
    default_flags = flags[-1]

    tfhd_flags = _BASE_IS_MOOF | (_DEFAULT_DURATION if one_duration else 0) | (_DEFAULT_FLAGS if one_later else 0)
    defaults = [samples[0].duration] if one_duration else []
    defaults += [default_flags] if one_later else []
    tfhd = full_box(b"tfhd", 0, tfhd_flags, struct.pack(f">I{len(defaults)}I", track_id, *defaults))
    tfdt = full_box(b"tfdt", 1, 0, struct.pack(">Q", samples[0].dts))

    composed = any(sample.pts != sample.dts for sample in samples)
    trun_flags = _DATA_OFFSET | _SIZE | (0 if one_duration else _DURATION) | (_COMPOSITION if composed else 0)
    first: tuple[int, ...] = ()
    if not one_later:
        trun_flags |= _FLAGS
    elif flags[0] != default_flags:
        trun_flags |= _FIRST_FLAGS
        first = (flags[0],)
    rows = [_row(sample, size, flag, trun_flags) for sample, size, flag in zip(samples, sizes, flags, strict=True)]
    head = struct.pack(f">Ii{len(first)}I", len(samples), data_offset, *first)
    trun = full_box(b"trun", 1, trun_flags, head, *rows)  # version 1: composition offsets are signed
    mfhd = full_box(b"mfhd", 0, 0, struct.pack(">I", number & _U32))
    return box(b"moof", mfhd, box(b"traf", tfhd, tfdt, trun))


def _row(sample: Sample, size: int, flags: int, trun_flags: int) -> bytes:
    duration = struct.pack(">I", sample.duration) if trun_flags & _DURATION else b""
    own_flags = struct.pack(">I", flags) if trun_flags & _FLAGS else b""
    composition = struct.pack(">i", sample.pts - sample.dts) if trun_flags & _COMPOSITION else b""
    return duration + struct.pack(">I", size) + own_flags + composition

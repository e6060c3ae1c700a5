"""The GOP index as the region has it, and a watch for GOPs nobody can join at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arclyd.control.reports import GopEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.ring._ring import GopInfo

_SECOND = 1_000_000_000

Limits = tuple[int, int, int]
"""GOP limits: frames, bytes, ms; 0 is none."""


def entries(gops: Sequence[GopInfo], limits: Limits, now_ns: int) -> tuple[GopEntry, ...]:
    """The index as the control protocol shows it. ``now_ns``: monotonic."""
    return tuple(
        GopEntry(
            number=gop.number,
            key_seq=gop.key_seq,
            join_seq=gop.join_seq,
            track=gop.track,
            epoch=gop.epoch,
            pts=gop.pts,
            frames=gop.frames,
            bytes=gop.bytes,
            duration_seconds=gop.duration_ns / _SECOND,
            age_seconds=max(0, now_ns - gop.publish_ns) / _SECOND,
            intact=gop.intact,
            joinable=gop.joinable,
            problem=problem(gop, limits),
        )
        for gop in gops
    )


def problem(gop: GopInfo, limits: Limits) -> str:
    """Why the GOP can't be joined at; "" where it can."""
    if gop.joinable:
        return ""
    if not gop.intact:
        return "no longer whole in the ring"
    frames, size, ms = limits
    if frames and gop.frames > frames:
        return f"{gop.frames} frames, gop_frames is {frames}"
    if size and gop.bytes > size:
        return f"{gop.bytes} bytes, gop_bytes is {size}"
    if ms and gop.duration_ns > ms * 1_000_000:
        return f"{gop.duration_ns // 1_000_000} ms, gop_ms is {ms}"
    return "past a limit of its region"


class GopWatch:
    """Tells each GOP that a joiner can't use once, while it is the newest or the one before."""

    def __init__(self) -> None:
        self._told = -1

    def unjoinable(self, gops: Sequence[GopInfo], limits: Limits) -> list[tuple[int, str]]:
        """(number, why) of those not told yet. An older GOP that left the ring is the normal course."""
        found = []
        for gop in gops[-2:]:
            newest = gop is gops[-1]
            if gop.number > self._told and not gop.joinable and (newest or gop.intact):
                found.append((gop.number, problem(gop, limits) if gop.intact else "larger than the ring"))
                self._told = gop.number
        return found

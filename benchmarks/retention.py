"""How many seconds of a stream the default ring holds, by bit rate: 30 pictures a second, a keyframe every two seconds.

Taken from the join points that can still be joined, so in steps of a GOP, which is what a late reader can have.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import arclyd
from benchmarks.harness.script import Settings, main

if TYPE_CHECKING:
    from benchmarks.harness.report import Measured
    from benchmarks.harness.stage import Stage

FPS = 30
GOP = 2 * FPS
TICKS = 90_000 // FPS


def held_seconds(stage: Stage, megabits: int) -> float:
    """Media time between the oldest frame that can be joined and the newest one."""
    size = megabits * 1_000_000 // 8 // FPS
    key, tracks = f"bench/retention-{megabits}", [arclyd.Track.video("h264")]
    with arclyd.Publisher(key, tracks, socket=stage.socket) as publisher:
        frames = 3 * (32 << 20) // size // GOP * GOP
        for number in range(frames):
            # A keyframe is ten times another; together they make the bit rate.
            part = 10 if number % GOP == 0 else 1
            payload = bytes(size * GOP * part // (GOP + 9))
            publisher.publish(0, payload, pts=number * TICKS, keyframe=part == 10)
        with arclyd.connect(stage.socket) as control:
            joinable = [entry.pts for entry in control.gop_index(key) if entry.intact]
    return ((frames - 1) * TICKS - min(joinable)) / 90_000


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """Three bit rates."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure

    stage.daemon()
    return [
        Measured(
            "retention of the default ring",
            "s",
            {"transport": "arclyd", "rate": f"{megabits} Mb/s"},
            Figure.of([held_seconds(stage, megabits)]),
        )
        for megabits in settings.by_scale((25,), (2, 8, 25), (2, 8, 25))
    ]


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

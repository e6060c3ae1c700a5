"""What receiving a frame costs by its size, by view: frames that are already there, one `recv` and its view each."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import arclyd
from benchmarks.harness.job import MIB
from benchmarks.harness.script import Settings, main

if TYPE_CHECKING:
    from benchmarks.harness.report import Measured
    from benchmarks.harness.stage import Stage

SIZES: Final = (200, 4096, 65536, MIB)
FRAMES: Final = 24
"""As many as a ring of 32 MiB holds of 1 MiB, with room to spare."""


def nanoseconds(subscriber: arclyd.Subscriber, first: int) -> float:
    """Of one frame, over all that are there from sequence ``first`` on."""
    recv = subscriber.recv
    begin = time.perf_counter_ns()
    for _ in range(FRAMES):
        recv().data  # noqa: B018 # making the view is what is measured
    spent = time.perf_counter_ns() - begin
    assert subscriber.dropped == 0, first
    return spent / FRAMES


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """Each size in turn, again and again."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure

    stage.daemon()
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    tracks = [arclyd.Track.data("raw")]
    publishers = {
        size: arclyd.Publisher(f"bench/receive-{size}", tracks, ring_bytes=32 * MIB, socket=stage.socket)
        for size in SIZES
    }
    for _ in range(settings.by_scale(2, 200, 1000)):
        for size, publisher in publishers.items():
            with arclyd.Subscriber(publisher.key, start="live", socket=stage.socket) as subscriber:
                for _ in range(FRAMES):
                    publisher.publish(0, bytes(size), pts=0)
                spent[size].append(nanoseconds(subscriber, 0))
    for publisher in publishers.values():
        publisher.end()
    return [
        Measured("receiving by view", "ns a frame", {"transport": "arclyd", "size": size}, Figure.of(values))
        for size, values in spent.items()
    ]


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

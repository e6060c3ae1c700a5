"""From the `Subscriber` call to the first frame that can be decoded, on a running stream."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import arclyd
from benchmarks.harness.script import Settings, main
from benchmarks.harness.worker import started

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage

KEY: Final = "bench/attach"
FPS: Final = 30


def publish(socket: str, ready: Event, stop: Event) -> None:
    """30 frames of 16 KiB a second, a keyframe every two seconds, until told to stop."""
    tracks = [arclyd.Track.video("h264", config=bytes(range(1, 40)), width=1280, height=720)]
    with arclyd.Publisher(KEY, tracks, socket=socket) as publisher:
        number = 0
        while not stop.wait(1 / FPS):
            publisher.publish(0, bytes(16384), pts=number * 3000, keyframe=number % (2 * FPS) == 0)
            number += 1
            ready.set()


def milliseconds(socket: str) -> float:
    """Of one attach."""
    begin = time.perf_counter_ns()
    with arclyd.Subscriber(KEY, socket=socket) as subscriber:
        frame = subscriber.recv(10)
        while not frame.keyframe:
            frame = subscriber.recv(10)
        return (time.perf_counter_ns() - begin) / 1e6


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """One after the other, in a process whose library is loaded."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure

    stage.daemon()
    with started(stage, publish, stage.socket):
        taken = sorted(milliseconds(stage.socket) for _ in range(settings.by_scale(3, 200, 1000)))
    p99 = taken[min(len(taken) - 1, int(len(taken) * 0.99))]
    whom: Labels = {"transport": "arclyd"}
    return [
        Measured("attach to first decodable frame", "ms", whom, Figure.of(taken)),
        Measured("attach to first decodable frame, p99", "ms", whom, Figure.of([p99])),
    ]


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

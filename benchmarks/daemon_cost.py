"""What a frame and a stream cost the daemon: its processor time as the frame rate grows, and as streams grow."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import arclyd
from benchmarks.harness.job import Job
from benchmarks.harness.script import Settings, main
from benchmarks.harness.worker import started
from benchmarks.resources import pss_mib, run_seconds

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage


def hold_streams(socket: str, count: int, ready: Event, stop: Event) -> None:
    """Claim so many small streams, publish a frame into each, and wait."""
    tracks = [arclyd.Track.data("raw")]
    publishers = []
    for number in range(count):
        publisher = arclyd.Publisher(f"bench/held-{number}", tracks, ring_bytes=65536, slots=64, socket=socket)
        publisher.publish(0, bytes(1000), pts=0)
        publishers.append(publisher)
    ready.set()
    stop.wait()
    for publisher in publishers:
        publisher.end()


def by_rate(stage: Stage, settings: Settings) -> list[Measured]:
    """One stream, one reader, more and more frames a second; 0 stands for as fast as it goes."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.run import run
    from benchmarks.harness.series import Figure

    daemon, seconds = stage.daemon(), settings.by_scale(0.1, 0.5, 5.0)
    shares: dict[float, list[float]] = {rate: [] for rate in (100.0, 1000.0, 10000.0, 0.0)}
    for _ in range(settings.by_scale(1, 3, 5)):
        for rate, found in shares.items():
            began, before = time.monotonic(), run_seconds(daemon.pid)
            run(stage, Job("arclyd", 1024, 1, seconds=seconds, rate=rate))
            found.append(1e3 * (run_seconds(daemon.pid) - before) / (time.monotonic() - began))
    return [
        Measured(
            "processor time of the daemon, one stream",
            "ms a second, with its claim and attach",
            {"transport": "arclyd", "pace": f"{rate:,.0f} frames/s" if rate else "as fast as it goes"},
            Figure.of(found),
        )
        for rate, found in shares.items()
    ]


def by_streams(stage: Stage, settings: Settings) -> list[Measured]:
    """More and more streams that nobody reads."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure

    daemon, seconds = stage.daemon(), settings.by_scale(0.1, 2.0, 10.0)
    figures = []
    for count in settings.by_scale((1,), (1, 200), (1, 50, 200, 1000)):
        with started(stage, hold_streams, stage.socket, count):
            before = run_seconds(daemon.pid)
            time.sleep(seconds)
            spent = 1e3 * (run_seconds(daemon.pid) - before) / seconds
            labels: Labels = {"transport": "arclyd", "streams": count}
            figures.append(Measured("processor time of the daemon", "ms a second", labels, Figure.of([spent])))
            figures.append(Measured("memory of the daemon (PSS)", "MiB", labels, Figure.of([pss_mib(daemon.pid)])))
    return figures


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """By frame rate, then by streams."""
    return by_rate(stage, settings) + by_streams(stage, settings)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

"""What a frame costs its publisher as blocked readers grow: where frames come fast, and at 1,000 a second.

The cost is the time inside the publishing call, frame by frame; waiting for slow readers (the harness's flow control)
is not in it. At 1,000 a second also how long the last of the readers takes to have the frame.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

from benchmarks.harness.job import Job
from benchmarks.harness.script import Settings, main

if TYPE_CHECKING:
    from benchmarks.harness.job import Result
    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage

SIZE = 4096
FAST = "as fast as it goes"


def slowest_us(result: Result) -> float:
    """Median over the frames of the slowest reader's latency."""
    columns = []
    for blob in result.latencies_ns:
        values = array("I")
        values.frombytes(blob)
        columns.append(values)
    latest = sorted(max(each) for each in zip(*columns, strict=False))
    return float(latest[len(latest) // 2]) / 1000


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """0, 1 and more readers, interleaved."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure, interleave, percentile_us

    figures = []
    for pace, rate in ((FAST, 0.0), ("1,000 frames/s", 1000.0)):
        jobs = [
            Job(
                name,
                SIZE,
                readers,
                seconds=settings.by_scale(0.05, 0.4, 1.5),
                rate=rate,
                costs=True,
                latencies=bool(rate),
            )
            for name in settings.chosen(settings.by_scale(("arclyd",), ("arclyd",), ("arclyd", "C core")))
            for readers in settings.by_scale((2,), (0, 1, 64), (0, 1, 4, 16, 64))
        ]
        results = interleave(stage, jobs, settings.by_scale(1, 3, 5), settings.say)
        for job, found in results.items():
            labels: Labels = {"transport": job.transport, "subscribers": job.subscribers, "pace": pace}
            for what, quantile in (("publish cost p50", 0.5), ("publish cost p99", 0.99)):
                cost = Figure.of(percentile_us([result.costs_ns], quantile) for result in found)
                figures.append(Measured(what, "us", labels, cost))
            if rate and job.subscribers:
                last = Figure.of(slowest_us(result) for result in found)
                figures.append(Measured("last reader has the frame after (p50)", "us", labels, last))
    return figures


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

"""One way, from just before a frame is published to just after it is in a subscriber's hands, at 1,000 frames a second.

Blocking, by asyncio, and spinning (where a transport can); every subscriber's frames count.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from benchmarks.harness.job import Job
from benchmarks.harness.script import Settings, main
from benchmarks.transports import PEERS

if TYPE_CHECKING:
    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage

RATE: Final = 1000.0
WHO: Final = ("arclyd", "arclyd asyncio", "arclyd spinning", "C core", "C core spinning", *PEERS)
SPINNING: Final = ("arclyd spinning", "C core spinning", "iceoryx2")
"""These need a processor each: measured with one subscriber."""
QUANTILES: Final = {"latency p50": 0.5, "latency p99": 0.99, "latency p99.9": 0.999}


def points(settings: Settings) -> list[tuple[int, int]]:
    """Sizes and numbers of subscribers."""
    full = [(size, subscribers) for subscribers in (1, 4, 16) for size in (4096, 65536)]
    return settings.by_scale([(4096, 2)], [(4096, 1)], full)


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """All points, interleaved at each."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure, interleave, percentile_us

    figures = []
    seconds, repeats = settings.by_scale((0.05, 1), (0.5, 3), (3.0, 5))
    for size, subscribers in points(settings):
        jobs = [
            Job(name, size, subscribers, seconds=seconds, rate=RATE, latencies=True)
            for name in settings.chosen(WHO)
            if subscribers == 1 or name not in SPINNING
        ]
        results = interleave(stage, jobs, repeats, settings.say)
        for what, quantile in QUANTILES.items():
            for job, found in results.items():
                of = Figure.of(percentile_us(result.latencies_ns, quantile) for result in found)
                labels: Labels = {"transport": job.transport, "size": size, "subscribers": subscribers}
                figures.append(Measured(what, "us", labels, of))
    return figures


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

"""Single points by hand: ``python -m benchmarks.point --size 4096 --subscribers 1 arclyd 'C core' pyzmq``.

Frames a second of each transport named, interleaved, as ratios to the first; with ``--rate`` latencies.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.harness.build import ensure
from benchmarks.harness.job import MIB, Job, Result
from benchmarks.harness.stage import Stage
from benchmarks.transports import TRANSPORTS


def show(jobs: list[Job], results: dict[Job, list[Result]]) -> None:
    """A line for each transport."""
    from benchmarks.harness.series import Figure, percentile_us

    first = None
    for job in jobs:
        if job not in results:
            continue
        rate = Figure.of(result.rate for result in results[job])
        first = first or rate.median
        cpu = Figure.of(result.cpu_per_million for result in results[job])
        line = f"{job.transport:26} {rate.median:12,.0f}/s ({rate.least:,.0f} .. {rate.most:,.0f})"
        line += f"  x{rate.median / first:.2f}  {cpu.median:7.2f} CPU s/M"
        for kind, blobs in (("latency", latencies(results[job])), ("publish", [r.costs_ns for r in results[job]])):
            if any(blobs):
                at = [percentile_us(blobs, quantile) for quantile in (0.5, 0.99, 0.999)]
                line += f"  {kind} us p50 {at[0]:.1f} p99 {at[1]:.1f} p99.9 {at[2]:.1f}"
        print(line)


def latencies(results: list[Result]) -> list[bytes]:
    """Every subscriber's."""
    return [blob for result in results for blob in result.latencies_ns]


def main() -> int:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("transports", nargs="+", metavar="TRANSPORT", help=f"of: {', '.join(TRANSPORTS)}")
    parser.add_argument("--size", type=int, default=4096, help="bytes of a frame (%(default)s)")
    parser.add_argument("--subscribers", type=int, default=1, help="processes that receive (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="of each, interleaved (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each repeat (%(default)s)")
    parser.add_argument("--rate", type=float, default=0.0, help="frames a second, with latencies (as fast as it goes)")
    parser.add_argument("--costs", action="store_true", help="what publishing took, frame by frame")
    parser.add_argument("--ring-mib", type=int, default=32, help="payload ring of arclyd and the C core (%(default)s)")
    options = parser.parse_args()
    if unknown := set(options.transports) - set(TRANSPORTS):
        parser.error(f"no such transport: {', '.join(sorted(unknown))}; there are {', '.join(TRANSPORTS)}")
    ensure()
    from benchmarks.harness.series import interleave

    jobs = [
        Job(
            name,
            options.size,
            options.subscribers,
            seconds=options.seconds,
            rate=options.rate,
            latencies=bool(options.rate),
            costs=options.costs,
            ring_bytes=options.ring_mib * MIB,
        )
        for name in options.transports
    ]
    with Stage() as stage:
        show(jobs, interleave(stage, jobs, options.repeats, say=lambda line: print(line, file=sys.stderr)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Interleaved repeats, and the statistics that are reported: medians over repeats, least and most."""

from __future__ import annotations

import statistics
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.harness.job import RunFailed
from benchmarks.harness.run import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.harness.job import Job, Result
    from benchmarks.harness.stage import Stage


@dataclass(frozen=True, slots=True)
class Figure:
    """Repeats of one measurement: their median, the least and the most."""

    median: float
    least: float
    most: float
    repeats: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        """The figure of at least one value."""
        known = list(values)
        return cls(statistics.median(known), min(known), max(known), len(known))


def interleave(stage: Stage, jobs: Sequence[Job], repeats: int, say: Callable[[str], None]) -> dict[Job, list[Result]]:
    """Each job once, then each once again …, so that what changes with time meets all alike.

    A job that fails is told of by ``say`` and left out: no figure comes of a run that lost a frame.
    """
    results: dict[Job, list[Result]] = {job: [] for job in jobs}
    for _ in range(repeats):
        for job in [job for job in jobs if job in results]:
            try:
                results[job].append(run(stage, job))
            except RunFailed as failure:
                del results[job]
                say(f"left out, it failed: {str(failure).strip()}")
    return results


def percentile_us(blobs: Iterable[bytes], quantile: float) -> float:
    """That quantile of uint32 nanoseconds, in microseconds."""
    values = array("I")
    for blob in blobs:
        values.frombytes(blob)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * quantile))] / 1000

"""Interleaved repeats, and the statistics that are reported: median, least, most, ratios of medians."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.harness.job import RunFailed
from benchmarks.harness.run import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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


def interleave(
    stage: Stage, jobs: Sequence[Job], repeats: int, say: Callable[[str], None] | None = None
) -> dict[Job, list[Result]]:
    """Each job once, then each once again …, so that what changes with time meets all alike.

    A job that fails is told of and left out: no figure comes of a run that lost a frame.
    """
    results: dict[Job, list[Result]] = {job: [] for job in jobs}
    failed: set[Job] = set()
    for _ in range(repeats):
        for job in jobs:
            if job in failed:
                continue
            try:
                results[job].append(run(stage, job))
            except RunFailed as failure:
                failed.add(job)
                if say:
                    say(f"left out: {str(failure).strip()}")
    return {job: found for job, found in results.items() if job not in failed}


def rates(results: Mapping[Job, Sequence[Result]]) -> dict[Job, Figure]:
    """Frames a second of each job."""
    return {job: Figure.of(result.rate for result in found) for job, found in results.items()}

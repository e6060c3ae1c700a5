"""Requests a second over the control socket, and how long one takes, with many streams registered."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import arclyd
from benchmarks.daemon_cost import hold_streams
from benchmarks.harness.script import Settings, main
from benchmarks.harness.worker import started

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage


def asked(ask: Callable[[], object], seconds: float) -> tuple[float, float]:
    """(requests a second, p99 in us) of one client that asks again as soon as it is answered."""
    taken = []
    begin = now = time.perf_counter_ns()
    while now - begin < seconds * 1e9:
        ask()
        taken.append(time.perf_counter_ns() - now)
        now = time.perf_counter_ns()
    taken.sort()
    return len(taken) * 1e9 / (now - begin), taken[min(len(taken) - 1, int(len(taken) * 0.99))] / 1000


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """Each request in turn."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure

    stage.daemon()
    streams = settings.by_scale(5, 1000, 1000)
    figures = []
    with started(stage, hold_streams, stage.socket, streams), arclyd.connect(stage.socket) as control:
        requests: dict[str, Callable[[], object]] = {
            "version": control.version,
            "info": lambda: control.info("bench/held-0"),
            "qos": lambda: control.qos("bench/held-0"),
            "list_streams": control.list_streams,
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in requests}
        for _ in range(settings.by_scale(1, 3, 5)):
            for name, ask in requests.items():
                found[name].append(asked(ask, settings.by_scale(0.05, 0.5, 2.0)))
    for name, pairs in found.items():
        labels: Labels = {"request": name, "streams": streams}
        figures.append(Measured("control requests", "a second", labels, Figure.of(rate for rate, _ in pairs)))
        figures.append(Measured("control request p99", "us", labels, Figure.of(p99 for _, p99 in pairs)))
    return figures


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

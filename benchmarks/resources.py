"""What sits there and does nothing: processor time of a blocked reader, memory of one reader more.

Memory is the proportional set size (PSS) of proc(5): a page that n processes map counts 1/n for each, so that the sum
over all says what they take together.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import arclyd
from benchmarks.harness.job import MIB
from benchmarks.harness.script import Settings, main
from benchmarks.harness.worker import started

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess
    from multiprocessing.synchronize import Event

    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage

KEY: Final = "bench/resources"
REGION: Final = "/arclyd."
"""In the name of a region's file."""


def read_and_block(socket: str, ready: Event, stop: Event) -> None:
    """Read every byte that is there, then block until the stream ends."""
    with arclyd.Subscriber(KEY, start="oldest", socket=socket) as subscriber:
        with contextlib.suppress(TimeoutError):
            while True:
                sum(memoryview(subscriber.recv(0.2).data)[::4096])
        ready.set()
        with contextlib.suppress(arclyd.EndOfStream):
            subscriber.recv()
    stop.wait()


def fill(socket: str) -> arclyd.Publisher:
    """A stream of the default size, its ring full."""
    publisher = arclyd.Publisher(KEY, [arclyd.Track.data("raw")], socket=socket)
    for number in range(40):
        publisher.publish(0, bytes(MIB), pts=number * 90_000)
    return publisher


def run_seconds(pid: int) -> float:
    """Time on a processor so far, all threads, in seconds; field 1 of schedstat, which counts nanoseconds."""
    stats = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(int(text.split()[0]) for text in stats) / 1e9


def pss_mib(pid: int, mapping: str = "") -> float:
    """PSS of a process, or of its mappings of files whose name has ``mapping`` in it."""
    if not mapping:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return sum(map(int, re.findall(r"^Pss: +(\d+) kB", text, re.MULTILINE))) / 1024
    total, wanted = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-", line):
            wanted = mapping in line
        elif wanted and line.startswith("Pss:"):
            total += int(line.split()[1])
    return total / 1024


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """Readers one by one, each of which has read the whole ring."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure

    stage.daemon()
    seconds, most = settings.by_scale(0.2, 10.0, 60.0), settings.by_scale(2, 4, 8)
    figures = []
    with contextlib.ExitStack() as readers:
        publisher = readers.enter_context(fill(stage.socket))
        processes: list[SpawnProcess] = []
        for count in range(1, most + 1):
            processes.append(readers.enter_context(started(stage, read_and_block, stage.socket)))
            pids = [process.pid or 0 for process in processes]
            shared = [pss_mib(pid, REGION) for pid in pids]
            facts = {
                "memory of the region, over all processes that map it (PSS)": sum(shared)
                + pss_mib(os.getpid(), REGION),
                "memory of the readers besides (PSS)": sum(map(pss_mib, pids)) - sum(shared),
            }
            for what, mebibytes in facts.items():
                labels: Labels = {"transport": "arclyd", "subscribers": count}
                figures.append(Measured(what, "MiB", labels, Figure.of([mebibytes])))
        before = [run_seconds(pid) for pid in pids]
        time.sleep(seconds)
        idle = Figure.of(1e3 * (run_seconds(pid) - was) for pid, was in zip(pids, before, strict=True))
        publisher.end()
    figures.append(
        Measured("processor time of a blocked reader", "ms", {"transport": "arclyd", "over": f"{seconds:g} s"}, idle)
    )
    return figures


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

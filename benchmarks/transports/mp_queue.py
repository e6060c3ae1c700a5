"""multiprocessing.Queue: one to each subscriber, each frame put into all as bytes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.queues import Queue
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[list[Queue[bytes]]]:
    """A queue for each subscriber."""
    del folder
    queues: list[Queue[bytes]] = [stage.context.Queue() for _ in range(job.subscribers)]
    yield queues
    for queue in queues:
        queue.close()


def publish(endpoint: list[Queue[bytes]], job: Job, gate: Gate) -> None:
    """Put each frame into each queue."""
    del job
    puts = [queue.put for queue in endpoint]
    for source in gate:
        payload = bytes(source)
        for put in puts:
            put(payload)


def subscribe(endpoint: list[Queue[bytes]], job: Job, index: int, check: Check) -> None:
    """Get frame after frame."""
    del job
    check.attached()
    get = endpoint[index].get
    while check(get()):
        pass

"""multiprocessing.Pipe: one to each subscriber, send_bytes and recv_bytes_into."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage

    Ends = list[tuple[Connection, Connection]]


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[Ends]:
    """A one-way pipe, receiving end first, for each subscriber."""
    del folder
    pipes = [stage.context.Pipe(duplex=False) for _ in range(job.subscribers)]
    yield pipes
    for receiver, sender in pipes:
        receiver.close()
        sender.close()


def publish(endpoint: Ends, job: Job, gate: Gate) -> None:
    """Send each frame down each pipe."""
    del job
    sends = [sender.send_bytes for _, sender in endpoint]
    for source in gate:
        for send in sends:
            send(source)


def subscribe(endpoint: Ends, job: Job, index: int, check: Check) -> None:
    """Receive into the same memory again and again."""
    frame = bytearray(job.size)
    receive = endpoint[index][0].recv_bytes_into
    check.attached()
    more = True
    while more:
        receive(frame)
        more = check(frame)

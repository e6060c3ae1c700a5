"""pynng: Pub0 and Sub0 over ipc, with buffers above the window, so that nothing is dropped."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pynng

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage

LARGEST_BUFFER: Final = 8192
"""Messages that nng queues at most (its documentation of NNG_OPT_SENDBUF)."""


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[str]:
    """Where the publisher listens."""
    del stage, job
    yield f"ipc://{folder}/nng"


def buffered(job: Job) -> int:
    """Messages that either side may queue."""
    return min(LARGEST_BUFFER, 2 * job.window)


def publish(endpoint: str, job: Job, gate: Gate) -> None:
    """Send each frame as bytes: what pynng takes."""
    with pynng.Pub0(send_buffer_size=buffered(job)) as sock:
        sock.listen(endpoint)
        send = sock.send
        for source in gate:
            send(bytes(source))
        while sock.pipes:  # what is still queued would go with the socket
            import time

            time.sleep(0.001)


def subscribe(endpoint: str, job: Job, index: int, check: Check) -> None:
    """Receive bytes."""
    del index
    with pynng.Sub0(recv_buffer_size=buffered(job), recv_max_size=0, topics=[b""]) as sock:
        sock.dial(endpoint, block=False)
        check.attached()
        recv = sock.recv
        while check(recv()):
            pass

"""pyzmq: PUB and SUB over ipc.

High-water marks above the window, so that nothing is dropped. Messages are copied by libzmq below 64 KiB
(``copy=False`` costs more there, says its documentation, and so did we measure) and handed over without above.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import zmq

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage

COPY_BELOW: Final = 65536


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[str]:
    """Where the publisher binds."""
    del stage, job
    yield f"ipc://{folder}/zmq"


def publish(endpoint: str, job: Job, gate: Gate) -> None:
    """Send each frame, as a message of its own memory."""
    with zmq.Context() as context, context.socket(zmq.PUB) as sock:
        sock.set_hwm(4 * job.window)
        sock.bind(endpoint)
        send = sock.send
        if job.size < COPY_BELOW:
            for source in gate:
                send(source, copy=True)
        else:
            for source in gate:
                send(bytes(source), copy=False)


def subscribe(endpoint: str, job: Job, index: int, check: Check) -> None:
    """Receive into bytes, or as libzmq's own memory."""
    del index
    with zmq.Context() as context, context.socket(zmq.SUB) as sock:
        sock.set_hwm(4 * job.window)
        sock.setsockopt(zmq.SUBSCRIBE, b"")
        sock.connect(endpoint)
        check.attached()
        recv = sock.recv
        if job.size < COPY_BELOW:
            while check(recv()):
                pass
        else:
            while check(recv(copy=False).buffer):
                pass

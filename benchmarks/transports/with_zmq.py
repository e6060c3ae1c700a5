"""pyzmq: PUB and SUB over ipc.

No high-water marks: the window bounds what waits, and libzmq drops nothing. Option ``copy``: no, to hand messages over
without libzmq's copy (``copy=False``), which its documentation recommends for large ones; both ways are measured.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import zmq

from benchmarks.transports import of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[str]:
    """Where the publisher binds."""
    del stage, job
    yield f"ipc://{folder}/zmq"


def copies(job: Job) -> bool:
    """Whether libzmq copies each message."""
    return of(job.transport).options.get("copy") != "no"


def publish(endpoint: str, job: Job, gate: Gate) -> None:
    """Send each frame, as a message of its own memory."""
    with zmq.Context() as context, context.socket(zmq.PUB) as sock:
        sock.set_hwm(0)
        sock.bind(endpoint)
        send = sock.send
        if copies(job):
            for source in gate:
                send(source, copy=True)
        else:
            for source in gate:
                send(bytes(source), copy=False)


def subscribe(endpoint: str, job: Job, index: int, check: Check) -> None:
    """Receive into bytes, or as libzmq's own memory."""
    del index
    with zmq.Context() as context, context.socket(zmq.SUB) as sock:
        sock.set_hwm(0)
        sock.setsockopt(zmq.SUBSCRIBE, b"")
        sock.connect(endpoint)
        check.attached()
        recv = sock.recv
        if copies(job):
            while check(recv()):
                pass
        else:
            while check(recv(copy=False).buffer):
                pass

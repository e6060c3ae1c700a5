"""arclyd through its public API, nothing else.

Options: ``write``: publish or reserve (in place); ``read``: recv, recv_many, copying, spinning
(for `SPIN` seconds before it sleeps) or asyncio.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import arclyd
from benchmarks.transports import of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage

BATCH = 64
"""Frames asked for at once by recv_many."""
SPIN = 0.002
"""Seconds that a spinning subscriber looks before it sleeps: longer than frames are apart at 1,000 a second."""


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[tuple[str, str]]:
    """The daemon's socket and a stream key that was not used before."""
    del job, folder
    stage.daemon()
    yield stage.socket, f"bench/{stage.unique()}"


def publish(endpoint: tuple[str, str], job: Job, gate: Gate) -> None:
    """Publish each frame, by `publish` or written in place."""
    socket, key = endpoint
    tracks = [arclyd.Track.data("raw")]
    with arclyd.Publisher(key, tracks, ring_bytes=job.ring_bytes, socket=socket) as publisher:
        if of(job.transport).options.get("write") == "reserve":
            reserve, size = publisher.reserve, job.size
            for source in gate:
                with reserve(0, size) as span:
                    span.buffer[:] = source
                    span.commit(size, pts=0)
        else:
            send = publisher.publish
            for source in gate:
                send(0, source, pts=0)


def subscribe(endpoint: tuple[str, str], job: Job, index: int, check: Check) -> None:
    """Read from now on, as the options say; a view is checked after it was used."""
    del index
    socket, key = endpoint
    how = of(job.transport).options.get("read", "recv")
    if how == "asyncio":
        asyncio.run(awaiting(key, socket, check))
        return
    spin = SPIN if how == "spinning" else 0.0
    with arclyd.Subscriber(key, start="live", socket=socket, wait=60.0, spin=spin) as subscriber:
        check.attached()
        {"recv": by_view, "spinning": by_view, "recv_many": in_batches, "copying": copying}[how](subscriber, check)


def by_view(subscriber: arclyd.Subscriber, check: Check) -> None:
    """One frame a call, its payload where it lies."""
    recv, more = subscriber.recv, True
    while more:
        frame = recv()
        more = check(frame)
        if not frame.is_intact():
            raise ValueError(f"frame {frame.seq} was overwritten while it was read")


def in_batches(subscriber: arclyd.Subscriber, check: Check) -> None:
    """What is there at once."""
    recv_many, more = subscriber.recv_many, True
    while more:
        for frame in recv_many(BATCH):
            more = check(frame)
            if not frame.is_intact():
                raise ValueError(f"frame {frame.seq} was overwritten while it was read")


def copying(subscriber: arclyd.Subscriber, check: Check) -> None:
    """One frame a call, as bytes of our own."""
    recv = subscriber.recv
    while check(recv().tobytes()):
        pass


async def awaiting(key: str, socket: str, check: Check) -> None:
    """One frame an `await`."""
    async with arclyd.AsyncSubscriber(key, start="live", socket=socket, wait=60.0) as subscriber:
        check.attached()
        recv, more = subscriber.recv, True
        while more:
            frame = await recv()
            more = check(frame)
            if not frame.is_intact():
                raise ValueError(f"frame {frame.seq} was overwritten while it was read")

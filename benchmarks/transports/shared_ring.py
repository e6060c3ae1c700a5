"""A ring in multiprocessing.shared_memory under one Condition, as a user would write it in an afternoon.

Slots of one frame each; the writer copies in and notifies under the lock, a reader waits for the head to move and
copies out under the lock. It is lossless only because the harness holds the writer back.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.synchronize import Condition
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage

HEAD: Final = struct.Struct("<Q")
FIRST: Final = 64
"""Where the slots begin."""


def slots(job: Job) -> int:
    """Frames that the ring holds."""
    return 2 * job.window


def bytes_of(memory: SharedMemory) -> memoryview:
    """The memory; it is open."""
    assert memory.buf is not None
    return memory.buf


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[tuple[str, Condition]]:
    """The memory's name, and what guards it."""
    del folder
    memory = SharedMemory(create=True, size=FIRST + slots(job) * job.size)
    try:
        HEAD.pack_into(bytes_of(memory), 0, 0)
        yield memory.name, stage.context.Condition()
    finally:
        memory.close()
        memory.unlink()


def publish(endpoint: tuple[str, Condition], job: Job, gate: Gate) -> None:
    """Copy in, move the head, notify: under the lock."""
    name, changed = endpoint
    memory = SharedMemory(name)
    buffer, count, size, head = bytes_of(memory), slots(job), job.size, 0
    for source in gate:
        at = FIRST + head % count * size
        with changed:
            buffer[at : at + size] = source
            head += 1
            HEAD.pack_into(buffer, 0, head)
            changed.notify_all()
    memory.close()


def subscribe(endpoint: tuple[str, Condition], job: Job, index: int, check: Check) -> None:
    """Wait for the head to move, copy out: under the lock."""
    del index
    name, changed = endpoint
    memory = SharedMemory(name)
    buffer, count, size, more = bytes_of(memory), slots(job), job.size, True
    (cursor,) = HEAD.unpack_from(buffer)
    check.attached()
    while more:
        at = FIRST + cursor % count * size
        with changed:
            while HEAD.unpack_from(buffer)[0] == cursor:
                changed.wait()
            frame = bytes(buffer[at : at + size])
        cursor += 1
        more = check(frame)
    memory.close()

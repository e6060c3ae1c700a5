"""memcpy into a shared mapping of the ring's size, around and around, read by nobody: the bound of any writer."""

from __future__ import annotations

import mmap
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[str]:
    """The path of so much shared memory, reserved."""
    del stage
    path = folder / "mapping"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(fd, 0, job.ring_bytes)
    finally:
        os.close(fd)
    yield str(path)


def publish(endpoint: str, job: Job, gate: Gate) -> None:
    """Copy each frame to the next place."""
    from benchmarks.harness._native import copy_around

    fd = os.open(endpoint, os.O_RDWR)
    try:
        with mmap.mmap(fd, job.ring_bytes) as mapping:
            copy_around(mapping, gate)
    finally:
        os.close(fd)


def subscribe(endpoint: str, job: Job, index: int, check: Check) -> None:
    """Nobody reads."""
    del endpoint, index, check
    raise ValueError(f"{job.transport} has no subscribers: nobody reads it")

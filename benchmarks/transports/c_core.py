"""The C core alone: the same ring, no Python in the loop, no daemon. The yardstick of the Python side."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from arclyd.ring import _ring
from benchmarks.transports import of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage

SLOTS: Final = 8192
"""The default of a stream."""


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[str]:
    """The path of an empty region, its memory reserved as the daemon does."""
    del stage
    path = folder / "region"
    size = _ring.region_size(ring_bytes=job.ring_bytes, slots=SLOTS)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        _ring.format_region(fd, key="bench/core", ring_bytes=job.ring_bytes, slots=SLOTS)
    finally:
        os.close(fd)
    yield str(path)


def publish(endpoint: str, job: Job, gate: Gate) -> None:
    """Reserve, memcpy, commit."""
    from benchmarks.harness._native import core_publish

    del job
    fd = os.open(endpoint, os.O_RDWR)
    try:
        core_publish(fd, gate)
    finally:
        os.close(fd)


def subscribe(endpoint: str, job: Job, index: int, check: Check) -> None:
    """Read by view, or (option ``read``) into memory of our own."""
    from benchmarks.harness._native import core_read

    del index
    options = of(job.transport).options
    fd = os.open(endpoint, os.O_RDONLY)
    try:
        core_read(fd, check, options.get("read") == "copying", int(float(options.get("spin", 0)) * 1e9))
    finally:
        os.close(fd)

"""How the tests' own process is scheduled: as it was before, whatever an encoder does."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def scheduling() -> tuple[int, int]:
    """Policy and priority of the calling thread."""
    return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority


@contextmanager
def scheduled_as_before() -> Iterator[None]:
    """SVT-AV1, as root, makes the thread that opens it a real-time one; what is started from there inherits that,
    and two such processes that never sleep leave two processors to nobody else."""
    policy, priority = scheduling()
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, os.sched_param(priority))

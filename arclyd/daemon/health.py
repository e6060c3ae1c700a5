"""Named checks of what would soon refuse a publisher or slow the daemon down."""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.control.reports import Check, Health
from arclyd.daemon.admission import KEPT_BACK
from arclyd.daemon.stream import Phase
from arclyd.ring import region

if TYPE_CHECKING:
    from arclyd.daemon.streams import Streams

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
_WORST_LAST: Final = (HEALTHY, DEGRADED, UNHEALTHY)

NEARLY: Final = 0.9
"""A limit that is used to this share is worth a word."""

LATE_SECONDS: Final = 0.5
"""A tick this late means that something blocks the daemon's loop."""


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the checks need besides the registry. ``late_seconds``: how late the worst recent tick was."""

    connections: int
    late_seconds: float


def check(streams: Streams, vitals: Vitals) -> Health:
    """All checks, and the worst of them."""
    config = streams.config
    interrupted = sum(stream.phase is Phase.INTERRUPTED for stream in streams)
    checks = (
        _shared_memory(streams),
        _share("publishers", streams.publishers, config.max_publishers),
        _share("memory_budget", streams.memory, config.memory_budget),
        _share("connections", vitals.connections, config.max_connections),
        _share("descriptors", _descriptors(), max(1, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - KEPT_BACK)),
        Check("streams", DEGRADED if interrupted else HEALTHY, f"{interrupted} of {len(streams)} interrupted"),
        Check(
            "loop",
            DEGRADED if vitals.late_seconds > LATE_SECONDS else HEALTHY,
            f"at most {vitals.late_seconds * 1000:.0f} ms late",
        ),
    )
    worst = max((one.status for one in checks), key=_WORST_LAST.index)
    return Health(worst, checks)


def _shared_memory(streams: Streams) -> Check:
    """Room for one more region of the default size is the least there should be."""
    free, needed = region.free_space(), streams.config.default.ring_bytes
    status = UNHEALTHY if free < needed else DEGRADED if free < 4 * needed else HEALTHY
    return Check("shared_memory", status, f"{free} bytes free, a default ring has {needed}")


def _share(name: str, used: int, limit: int) -> Check:
    if not limit:
        return Check(name, HEALTHY, f"{used}, no limit")
    status = UNHEALTHY if used >= limit else DEGRADED if used >= NEARLY * limit else HEALTHY
    return Check(name, status, f"{used} of {limit}")


def _descriptors() -> int:
    try:
        with os.scandir("/proc/self/fd") as entries:
            return sum(1 for _ in entries) - 1  # without the one that looks
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # not one is left to look with

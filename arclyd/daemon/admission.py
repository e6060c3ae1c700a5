"""Who may connect: how many there may be, how much of that one process may have, and how fast it may come.

A process that connects without end, or holds on to all it can get, leaves room for the others: a fixed share of
the connections, and of the descriptors that streams need. What it does not leave is refused with a reason, at
little cost, so that those who wait behind it are reached soon.
"""

from __future__ import annotations

import resource
from collections import Counter
from typing import TYPE_CHECKING, Final

from arclyd.daemon.stream import SECOND
from arclyd.errors import ConnectionLimit, DescriptorLimit

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.errors import ArclydError

KEPT_BACK: Final = 24
"""Descriptors that connections leave for regions and for handing them over: a claim takes three, for a moment four."""

RESERVED: Final = 64
"""Connections (a tenth of the limit where that is less) that one process must leave to others."""

PACE: Final = 256
"""Connections a second that one process may open without end."""

BURST: Final = 1024
"""How many it may open at once; where the limit is higher, as many as that: its readers come back together after a
restart."""


class Admission:
    """Counts connections by process. ``limit`` tells the most there may be."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._count = 0
        self._of_process: Counter[int] = Counter()
        self._debts: dict[int, tuple[float, int]] = {}
        """Of each process: connections it opened beyond its pace, and when that was so."""

    def rushes(self, pid: int, now_ns: int) -> bool:
        """Process ``pid`` opens one more connection: faster than it may?"""
        debt = self._debt(pid, now_ns) + 1
        if debt > max(self._limit(), BURST):
            return True
        self._debts[pid] = (debt, now_ns)
        return False

    def refusal(self, pid: int, fd: int) -> ArclydError | None:
        """Why process ``pid`` may not have the new connection ``fd``; None: it may."""
        limit = self._limit()
        share = limit - min(RESERVED, limit // 10)
        if self._count >= limit:
            return ConnectionLimit(limit)
        if self._of_process[pid] >= share:
            return ConnectionLimit(share)
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        # A new descriptor gets the lowest number that is free: all below it are in use.
        return DescriptorLimit(files) if fd >= files - KEPT_BACK else None

    def enter(self, pid: int) -> None:
        """A connection of process ``pid`` is there."""
        self._count += 1
        self._of_process[pid] += 1

    def leave(self, pid: int) -> None:
        """It is gone."""
        self._count -= 1
        self._of_process[pid] -= 1
        if not self._of_process[pid]:
            del self._of_process[pid]

    def tick(self, now_ns: int) -> None:
        """Forget the debts that time has paid."""
        self._debts = {pid: debt for pid, debt in self._debts.items() if self._debt(pid, now_ns) > 0}

    def _debt(self, pid: int, now_ns: int) -> float:
        debt, since_ns = self._debts.get(pid, (0.0, now_ns))
        return max(0.0, debt - (now_ns - since_ns) * PACE / SECOND)

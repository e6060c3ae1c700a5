"""Memory for large regions: reserved aside, so that the daemon answers others meanwhile, for one claim at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future

    from arclyd.daemon.regions import Store
    from arclyd.daemon.stream import Claim
    from arclyd.ring.region import Memory

LARGE: Final = 64 << 20
"""Bytes from which reserving a region is left to a thread: the kernel clears some 3 GiB a second."""


class Reserving(Exception):
    """The claim's memory is not there yet; it is to be looked at again later."""


class Reservations:
    """Gives each claim the memory it needs. However many claim, no more is reserved than one of them asks for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._claim: Claim | None = None
        self._memory: Future[Memory] | None = None

    def take(self, claim: Claim, size: int) -> Memory | None:
        """Memory of ``size`` bytes for the region of ``claim``; None: so little that it is reserved on the spot.

        Raises:
            Reserving: it has to wait.
            NoSpace: shared memory can't hold it.
        """
        if size < LARGE:
            return None
        if self._memory is None:
            self._claim = claim
            self._memory = self._store.reserve(claim.request.key, size, sealed=claim.app.hardened)
        if self._claim is not claim or not self._memory.done():
            raise Reserving
        memory, self._claim, self._memory = self._memory, None, None
        return memory.result()

    def tend(self, claims: Iterable[Claim]) -> None:
        """Of all claims ``claims`` still wait: what was reserved for another is given back, once it is all there."""
        if not any(claim is self._claim for claim in claims):
            self._claim = None
        if self._claim is None and self._memory is not None and self._memory.done():
            self._memory = None

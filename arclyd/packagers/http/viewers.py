"""How many view each stream. A player that fetches pieces has no connection: it is there as long as it comes back."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ABSENT_SECONDS: Final = 15.0
"""Without a request for this long, a viewer is gone: longer than any playlist's reload."""

MOST: Final = 100_000
"""Viewers told apart at most; more are not counted, so that made-up names can't fill the memory."""


class Viewers:
    """Viewers by stream. Time is monotonic seconds."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], float] = {}
        self._connected: Counter[str] = Counter()

    def seen(self, key: str, who: str, now: float | None = None) -> None:
        """``who``, as far as one viewer can be told from another, fetched something of ``key``."""
        now = time.monotonic() if now is None else now
        if (key, who) in self._seen or len(self._seen) < MOST:
            self._seen[key, who] = now

    @contextmanager
    def connected(self, key: str) -> Iterator[None]:
        """One that stays connected, while entered."""
        self._connected[key] += 1
        try:
            yield
        finally:
            self._connected[key] -= 1

    def counts(self, now: float | None = None) -> Counter[str]:
        """Viewers of each stream that has some."""
        now = time.monotonic() if now is None else now
        self._seen = {viewer: at for viewer, at in self._seen.items() if now - at < ABSENT_SECONDS}
        return Counter(key for key, _ in self._seen) + self._connected

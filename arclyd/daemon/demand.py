"""Streams that are wanted and not there, for those who would publish them then."""

from __future__ import annotations

from typing import Final

from arclyd.daemon.stream import SECOND

OFFERED_SECONDS: Final = 10
"""An offer holds for so long: whoever makes it asks again before that."""

WANTED_SECONDS: Final = 5
"""A wish counts for so long."""

MOST: Final = 4096
"""Offers that are kept; the oldest goes first."""


class Demand:
    """Keys that somebody offers to publish, and when they were asked for in vain. What nobody offers is not kept."""

    def __init__(self) -> None:
        self._offered: dict[str, int] = {}
        self._asked: dict[str, int] = {}

    def offer(self, key: str, now_ns: int) -> bool:
        """Somebody would publish it. True: it was asked for, of late."""
        self._offered.pop(key, None)
        self._offered[key] = now_ns
        for old in [key for key, at in self._offered.items() if now_ns - at > OFFERED_SECONDS * SECOND]:
            self._forget(old)
        while len(self._offered) > MOST:
            self._forget(next(iter(self._offered)))
        asked = self._asked.get(key)
        return asked is not None and now_ns - asked <= WANTED_SECONDS * SECOND

    def ask(self, key: str, now_ns: int) -> None:
        """Somebody asked for it, and there was none."""
        if key in self._offered:
            self._asked[key] = now_ns

    def _forget(self, key: str) -> None:
        del self._offered[key]
        self._asked.pop(key, None)

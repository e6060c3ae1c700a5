"""How many frames a reader may lose: a budget that refills, so that only a reader that keeps losing is evicted."""

from __future__ import annotations

import time
from typing import Final

from arclyd.errors import RequestRefused

REFILL: Final = 3600.0
"""Seconds in which an empty allowance is full again: a hiccup a day is forgiven, one a minute adds up."""


class Allowance:
    """``frames`` at first and at most; refills evenly over `REFILL` seconds of monotonic time."""

    def __init__(self, frames: int, now: float | None = None) -> None:
        self._most = float(frames)
        self._left = float(frames)
        self._at = time.monotonic() if now is None else now

    @classmethod
    def of(cls, own: int | None, granted: int | None) -> Allowance | None:
        """The stricter of the reader's own bound and its application's; None: neither has one.

        Raises:
            RequestRefused: a negative bound.
        """
        bounds = [bound for bound in (own, granted) if bound is not None]
        if any(bound < 0 for bound in bounds):
            raise RequestRefused("max_lag is a number of frames, 0 or more")
        return cls(min(bounds)) if bounds else None

    def spend(self, frames: int, now: float | None = None) -> bool:
        """Take ``frames`` lost off the allowance; False: that was more than was left."""
        now = time.monotonic() if now is None else now
        self._left = min(self._most, self._left + (now - self._at) * self._most / REFILL) - frames
        self._at = now
        return self._left >= 0

"""Decoding times for pictures that come in decoding order with nothing but the times they are shown at."""

from __future__ import annotations

from bisect import insort
from typing import Final

MOST: Final = 16
"""Pictures in a decoded picture buffer (H.264 A.3.1, H.265 A.4.2): no more can wait for an earlier one."""


class DecodingTimes:
    """Gives each picture a decoding time that rises and is never after the one it is shown at.

    The decoding time of a picture is the earliest time to be shown among it and the ``reorder`` ones before it; that of
    the first ones is ``step`` apart before that.

    Args:
        reorder: pictures that may be decoded before one that is shown earlier; None: not known, it is found out, at
            the price of a picture whose times are bent.
        step: from picture to picture, in ticks.
    """

    def __init__(self, reorder: int | None, step: int) -> None:
        self._depth = min(reorder or 0, MOST)
        self._step = step
        self._waiting: list[int] = []
        self._last: int | None = None

    def place(self, pts: int) -> int:
        """The decoding time of the next picture, which is shown at ``pts``."""
        if self._last is not None and pts <= self._last:
            if self._last - pts > MOST * self._step * 4:  # the times begin anew, this is no order of pictures
                self._waiting.clear()
                self._last = None
            elif self._depth < MOST:
                self._depth += 1
        insort(self._waiting, pts)
        if len(self._waiting) > self._depth:
            dts = self._waiting.pop(0)
        else:
            dts = self._waiting[0] - self._step * (self._depth - len(self._waiting) + 1)
        if self._last is not None:
            dts = max(dts, self._last + 1)
        self._last = dts
        return dts

"""When a frame is due: media time against a monotonic clock. Pure, time is an argument."""

from __future__ import annotations

from typing import Final

MAX_BEHIND_NS: Final = 1_000_000_000
"""A source further behind than this goes on from now instead of catching up in a burst."""


class Pacer:
    """Maps media time to the clock, anchored at the first frame.

    A source that was slow is let catch up while it is less than `MAX_BEHIND_NS` behind; past that the anchor moves,
    since a burst would only push readers out of a small ring.
    """

    def __init__(self, max_behind_ns: int = MAX_BEHIND_NS) -> None:
        self._max_behind_ns = max_behind_ns
        self._offset_ns: int | None = None
        self._newest_ns = 0
        self.slips = 0
        self.slipped_ns = 0

    def wait_ns(self, media_ns: int, now_ns: int) -> int:
        """Nanoseconds until the frame is due; 0: it is due now.

        Args:
            media_ns: the frame's decoding time.
            now_ns: the monotonic clock, any origin.
        """
        if self._offset_ns is None:
            self._offset_ns = now_ns - media_ns
            self._newest_ns = media_ns
        behind = now_ns - self._offset_ns - media_ns
        if media_ns < self._newest_ns:
            return 0  # a track that lags another in the file; being late is its nature, not the source's
        self._newest_ns = media_ns
        if behind > self._max_behind_ns:
            self._offset_ns += behind
            self.slips += 1
            self.slipped_ns += behind
            return 0
        return max(0, -behind)

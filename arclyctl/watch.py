"""Looking again and again: evenly spaced moments, by the monotonic clock."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def ticks(interval: float, count: int | None = None, *, wait: Callable[[float], None] = time.sleep) -> Iterator[int]:
    """Numbers 0, 1, 2 … the first at once, the next each ``interval`` seconds later; ``count`` of them, or no end.

    A moment missed because the work in between took longer is left out, not caught up with. ``wait`` gets the
    seconds until the next moment.
    """
    due = time.monotonic()
    for number in itertools.count() if count is None else range(count):
        if number:
            now = time.monotonic()
            due = max(due + interval, now - (now - due) % interval)
            wait(max(0.0, due - now))
        yield number

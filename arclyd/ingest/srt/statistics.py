"""What libsrt counted, as it is told: tags of a stream's metadata, and the end of a connection in the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.ingest.srt.library import Figures

FRESH_SECONDS: Final = 5.0
"""Between two looks: each that shows something new is an event of the stream."""


def tags(figures: Figures) -> dict[str, str]:
    """Of a connection that is received from."""
    return {
        "srt_rtt_ms": f"{figures.rtt_ms:.1f}",
        "srt_latency_ms": str(figures.latency_ms),
        "srt_buffer_ms": str(figures.receiving_ms),
        "srt_received": str(figures.received),
        "srt_lost": str(figures.lost),
        "srt_retransmitted": str(figures.retransmitted),
        "srt_dropped": str(figures.dropped),
    }


def summary(figures: Figures | None) -> str:
    """In a line, with a comma before it; empty: nothing is known."""
    if figures is None:
        return ""
    said = [
        f"rtt {figures.rtt_ms:.1f} ms",
        f"{figures.sent or figures.received} packets",
        f"{figures.lost} lost",
        f"{figures.retransmitted} retransmitted",
        f"{figures.dropped} dropped",
    ]
    if figures.undecryptable:
        said.append(f"{figures.undecryptable} not decrypted")
    return f" ({', '.join(said)})"


class Watched:
    """The tags of a connection, looked up anew from time to time."""

    def __init__(self, look: Callable[[], Figures | None]) -> None:
        self._look = look
        self._tags: dict[str, str] = {}
        self._looked_at = float("-inf")

    def tags(self) -> dict[str, str]:
        """As of some seconds ago at most."""
        now = time.monotonic()
        if now - self._looked_at >= FRESH_SECONDS and (figures := self._look()) is not None:
            self._looked_at, self._tags = now, tags(figures)
        return self._tags

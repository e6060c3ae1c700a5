"""A stream as a gateway has it: claimed, let go, claimed anew when its tracks change; and what was left out of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from arclyd.client.publisher import Publisher
    from arclyd.errors import FrameTooLarge

log = logging.getLogger(__name__)

MAX_CLAIMS: Final = 32
"""Times the tracks may change in one connection; each costs every reader a new start."""


@dataclass(slots=True)
class Counts:
    """What was left out: frames ``damaged`` (or of a track that was not described), ``too_large``, ``gated``.

    Gated is what came before the first keyframe.
    """

    damaged: int = 0
    too_large: int = 0
    gated: int = 0

    @property
    def dropped(self) -> int:
        """All of them."""
        return self.damaged + self.too_large + self.gated


class Claimed:
    """One stream. ``protocol``: which brings it; ``publisher``: None while it is not claimed."""

    def __init__(self, protocol: str) -> None:
        self.counts = Counts()
        self.publisher: Publisher | None = None
        self._protocol = protocol
        self._claims = 0

    def anew(self) -> None:
        """Let go of it, to claim it with other tracks.

        Raises:
            WireError: they changed too often.
        """
        self._claims += 1
        if self._claims > MAX_CLAIMS:
            raise WireError(self._protocol, f"the tracks changed {MAX_CLAIMS} times")
        self.interrupt()

    def interrupt(self) -> None:
        """It broke off, and may go on: by the next connection, or with other tracks."""
        publisher = self.release()
        if publisher is not None:
            publisher.interrupt()

    def release(self) -> Publisher | None:
        """The stream is over: its publisher, if there is one, to be ended."""
        publisher, self.publisher = self.publisher, None
        return publisher

    def leave_out(self, error: FrameTooLarge) -> None:
        """A frame that the ring can't hold: told of the 1st, 2nd, 4th, 8th …"""
        self.counts.too_large += 1
        if self.counts.too_large & (self.counts.too_large - 1) == 0:
            log.warning("%s (%d left out so far)", error, self.counts.too_large)

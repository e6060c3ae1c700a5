"""A stream as a gateway has it: claimed, let go, claimed anew when its tracks change; and what was left out of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import FrameTooLarge, WireError
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.continuity import Timeline

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from arclyd.client.publisher import Publisher
    from arclyd.media.track import Track

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
        self._timeline = Timeline([])
        self._gate = False

    def anew(self, tracks: list[Track]) -> list[Track]:
        """Let go of it, to claim it with ``tracks``, which are returned: nothing goes out before a keyframe then.

        Raises:
            WireError: they changed too often.
        """
        self._claims += 1
        if self._claims > MAX_CLAIMS:
            raise WireError(self._protocol, f"the tracks changed {MAX_CLAIMS} times")
        self.interrupt()
        self._timeline = Timeline([track.time_base for track in tracks])
        self._gate = any(track.kind is TrackKind.VIDEO for track in tracks)
        return tracks

    def admits(self, *, starts: bool) -> bool:
        """A frame may go out: one that ``starts`` has come, from which the whole stream can be decoded. Counts."""
        self._gate = self._gate and not starts
        self.counts.gated += self._gate
        return not self._gate

    def publish(
        self,
        track: int,
        payload: Buffer,
        *,
        pts: int | None,
        dts: int | None,
        duration: int | None = None,
        keyframe: bool,
        lost: bool = False,
        droppable: bool = False,
        corrupt: bool = False,
    ) -> None:
        """Put a frame into the ring, its times on the line on which each track's rise; ``lost``: some before it are.

        Raises:
            PublisherClosed: the stream is over for this publisher.
        """
        assert self.publisher is not None
        placed = self._timeline.place(track, pts=pts, dts=dts, duration=duration)
        try:
            self.publisher.publish(
                track,
                payload,
                pts=placed.pts,
                dts=placed.dts,
                duration=duration,
                keyframe=keyframe,
                discontinuity=placed.jumped or lost,
                droppable=droppable,
                corrupt=corrupt,
            )
        except FrameTooLarge as error:
            self.leave_out(error)

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

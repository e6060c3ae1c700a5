"""What everything that takes frames wants to know of one: whose it is, when, and whether decoding can start there."""

from __future__ import annotations

from typing import Protocol


class TimedFrame(Protocol):
    """A frame without its payload; `arclyd.Frame` has more. Times are in the time base of the track."""

    @property
    def track(self) -> int:
        """The track's id."""

    @property
    def pts(self) -> int:
        """When it is shown."""

    @property
    def dts(self) -> int:
        """When it is decoded."""

    @property
    def duration(self) -> int | None:
        """How long it is shown, if known."""

    @property
    def keyframe(self) -> bool:
        """Decoding can start here."""

    @property
    def is_config(self) -> bool:
        """A decoder configuration, no media."""

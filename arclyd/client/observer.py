"""What a program can be told of a publisher or subscriber beside the frames themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arclyd.ring._ring import Frame, Gap


class Observer:
    """Callbacks that do nothing; override those of interest and pass an instance as ``observer``.

    They run in the thread that published, received or closed, but for those an order of the daemon causes
    (`on_publish_ended`, `on_reaped` of a publisher), which run in the library's own thread. What a callback
    raises leaves the call that ran it; in the library's own thread it is logged.
    """

    def on_frame(self, key: str, frame: Frame) -> None:
        """A frame was published (not: committed through a span), or is about to be returned to the reader."""

    def on_gap(self, key: str, gap: Gap) -> None:
        """The reader lost frames."""

    def on_evicted(self, key: str, dropped: int) -> None:
        """The reader lost more than its ``max_lag`` allows and is out; ``dropped`` frames in all."""

    def on_publish_started(self, key: str, epoch: int) -> None:
        """A publisher started: this one, or the one whose first frame the reader just met."""

    def on_publish_ended(self, key: str, reason: str) -> None:
        """The stream is over for this side: an end-of-stream reason, or "replaced" for a publisher."""

    def on_joined(self, key: str, subscribers: int) -> None:
        """This reader attached, or one more attached to this publisher; with so many there are now."""

    def on_left(self, key: str, subscribers: int) -> None:
        """This reader detached, or one detached from this publisher; with so many there are now."""

    def on_reaped(self, key: str) -> None:
        """The daemon ended the stream because nothing was published for too long."""

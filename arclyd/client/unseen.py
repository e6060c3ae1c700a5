"""A reader of a region whose first publisher has not said yet what tracks there are.

Which tracks are video, or audio, can't be told before. A reader gets there by attaching early, or by following a
stream into a new region as soon as the old one is superseded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arclyd.ring._ring import STATE_NEW

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.ring._ring import Frame, Gap, Reader, Region


class UnseenReader:
    """Stands in for the ring's `Reader` until the tracks can be told, and takes nothing.

    Once there is something to read it calls ``seen``, which is to put the right reader in its place.
    """

    def __init__(self, reader: Reader, region: Region, seen: Callable[[UnseenReader], None]) -> None:
        self.reader = reader
        self._region = region
        self._seen = seen

    @property
    def cursor(self) -> int:
        """As of `Reader`."""
        return self.reader.cursor

    @property
    def missed(self) -> int:
        """As of `Reader`: none, so far."""
        return self.reader.missed

    @property
    def closed(self) -> int:
        """As of `Reader`."""
        return self.reader.closed

    def recv(self, timeout_ns: int) -> Frame | Gap | None:
        """None: nothing within the time, it is over, or there is another reader by now."""
        if self.reader.wait(timeout_ns):
            if self._region.state != STATE_NEW:
                self._seen(self)
            else:  # closed before anybody published, or kicked
                self.reader.recv(0)
        return None

    def recv_many(self, _max_frames: int, timeout_ns: int) -> list[Frame | Gap]:
        """Empty, for the reasons of `recv`."""
        self.recv(timeout_ns)
        return []

    def wait(self, timeout_ns: int) -> bool:
        """As of `Reader`."""
        return self.reader.wait(timeout_ns)

    def lag(self) -> tuple[int, int, int]:
        """As of `Reader`."""
        return self.reader.lag()

    def kick(self, closed: int) -> None:
        """As of `Reader`."""
        self.reader.kick(closed)

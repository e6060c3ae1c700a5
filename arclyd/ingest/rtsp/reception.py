"""The stream that one connection records: its packets, its claim, and what the daemon is told of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError
from arclyd.ingest.publication import Publication
from arclyd.ingest.rtp.intake import Intake
from arclyd.protocols.rtp.formats import formats_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from arclyd.ingest.gateway import Gateway, Publishing
    from arclyd.protocols.sdp.description import SessionDescription

log: Final = logging.getLogger(__name__)

MOST_NAME: Final = 1024
"""Characters of a tag, by the daemon's rule."""


class Reception:
    """A stream on its way in.

    Args:
        gateway: of this process.
        key: the stream.
        address: host:port of the sender.
        connection: whose it is.
        description: what was announced.
        fail: called with why it can't go on.

    Raises:
        WireError: nothing of what was announced can be carried.
    """

    def __init__(
        self,
        gateway: Gateway,
        key: str,
        address: str,
        connection: Publishing,
        *,
        description: SessionDescription,
        fail: Callable[[ArclydError], None],
    ) -> None:
        self.key = key
        self.intake = Intake("RTSP")
        formats, self.intake.left_out = formats_of(description)
        self.intake.describe(formats)
        self._gateway = gateway
        self._name = description.name
        self._fail = fail
        self._claiming: asyncio.Task[None] | None = None
        self._ended = False
        self._publication = Publication(
            gateway, key, address, connection=connection, intake=self.intake, news=self._news
        )
        for reason in self.intake.left_out:
            log.warning("%s: a medium is left out: %s", key, reason)

    async def admit(self, shown: Mapping[str, str]) -> None:
        """Have the daemon judge who publishes here. Raises what it refuses with."""
        await self._publication.admit(shown)

    def receive(self, medium: int, data: bytes, now: float, *, control: bool) -> None:
        """One packet. Raises `PublisherClosed`."""
        if control:
            self.intake.control(medium, data, now)
            return
        self.intake.packet(medium, data, now)
        self._claim_if_wanted()

    def tick(self, now: float) -> None:
        """About once a second. Raises `PublisherClosed`."""
        self.intake.expire(now)
        self._claim_if_wanted()
        self._publication.tell(now)

    def _claim_if_wanted(self) -> None:
        if self._claiming is None and not self._publication.over and self.intake.wants_claim:
            self._claiming = self._gateway.start(self._claim())

    async def _claim(self) -> None:
        try:
            await self._publication.claim()
        except ArclydError as error:
            self._fail(error)
        finally:
            self._claiming = None

    def end(self, now: float) -> None:
        """The encoder is done; a claim that is under way comes first."""
        self._ended = True
        try:
            self.intake.finish(now)
        except ArclydError as error:
            log.debug("%s: %s", self.key, error)
        if self._claiming is not None:
            self._gateway.start(self._end_when_claimed(self._claiming))
        else:
            self._publication.end()

    async def _end_when_claimed(self, claiming: asyncio.Task[None]) -> None:
        await claiming
        self._publication.end()

    def interrupt(self) -> None:
        """The connection is gone, and may come back, unless it is done. Idempotent."""
        if not self._ended:
            self._publication.interrupt()

    def _news(self) -> dict[str, object]:
        """What there is to say now."""
        tags = {name: str(number) for name, number in self.intake.faults().items() if number}
        if self.intake.counts.dropped:
            tags["dropped"] = f"{self.intake.counts.dropped} ({self.intake.counts.gated} before a keyframe)"
        if self._name.strip(" -"):
            tags["session"] = self._name[:MOST_NAME]
        return {"tags": tags}

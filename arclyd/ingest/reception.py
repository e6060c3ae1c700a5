"""A stream on its way in as bytes, over one connection: judged, claimed, and refused where it may not go on."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from arclyd.errors import ArclydError
from arclyd.ingest.publication import Publication

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Buffer

    from arclyd.client.publisher import Publisher
    from arclyd.ingest.gateway import Gateway, Publishing
    from arclyd.media.track import Track

log: Final = logging.getLogger(__name__)


class Bytes(Protocol):
    """What becomes a stream: `gateway.Intake`, and where its bytes go in."""

    @property
    def begun(self) -> bool:
        """It is known what tracks come."""

    @property
    def live(self) -> bool:
        """Frames go into the ring."""

    @property
    def wants_claim(self) -> bool:
        """The stream is to be claimed, with the tracks there are now."""

    def receive(self, data: Buffer) -> None:
        """The next bytes. Raises `ArclydError`: it can't go on."""

    def finish(self) -> None:
        """No more will come. Raises as `receive` does."""

    def news(self) -> dict[str, object]:
        """What there is to say of it now, as fields of the daemon's metadata."""

    def tracks(self) -> list[Track]:
        """As an intake."""

    def begin(self, publisher: Publisher) -> None:
        """As an intake."""

    def release(self) -> Publisher | None:
        """As an intake."""

    def interrupt(self) -> None:
        """As an intake."""


class Reception:
    """What ``connection`` publishes as ``key``.

    Args:
        gateway: of this process.
        key: the stream.
        address: host:port of the sender.
        connection: whose it is; to be closed when there is a `refusal`.
        shown: credentials that its protocol carried.
        intake: where the bytes go.
        carriage: what there is to say of what carries them, as tags of the stream's metadata.
    """

    def __init__(
        self,
        gateway: Gateway,
        key: str,
        address: str,
        connection: Publishing,
        *,
        shown: Mapping[str, str],
        intake: Bytes,
        carriage: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self.key = key
        self._carriage = carriage
        self._gateway = gateway
        self._address = address
        self._shown = shown
        self._intake = intake
        self._claiming: asyncio.Task[None] | None = None
        self._admitted = False
        self._publication = Publication(gateway, key, address, connection=connection, intake=intake, news=self._news)
        self.refusal: ArclydError | None = None
        """Why it may not go on; what is received then is nobody's."""

    @property
    def begun(self) -> bool:
        """It is known what tracks come."""
        return self._intake.begun

    @property
    def claiming(self) -> bool:
        """The daemon is being asked; what is received meanwhile is held, within bounds."""
        return self._claiming is not None

    def receive(self, data: Buffer) -> None:
        """The next bytes."""
        if self._publication.over:
            return
        try:
            self._intake.receive(data)
        except ArclydError as error:
            self._refuse(error)
            return
        if self._intake.wants_claim and self._claiming is None:
            self._claiming = self._gateway.start(self._claim())

    async def settled(self) -> None:
        """Until the daemon has answered."""
        if self._claiming is not None:
            await asyncio.wait([self._claiming])

    async def admit(self) -> None:
        """Ask the daemon, and take the key's place in this process. Raises what it refuses with."""
        await self._publication.admit(self._shown)
        self._admitted = True

    async def _claim(self) -> None:
        try:
            if not self._admitted:
                await self.admit()
            await self._publication.claim()
            if self._intake.live:
                log.info("%s: publishes %s", self._address, self.key)
        except ArclydError as error:
            self._refuse(error)
        finally:
            self._claiming = None

    def _refuse(self, error: ArclydError) -> None:
        if not self._publication.over:
            self.refusal = error
            self.interrupt()

    def tell(self, now: float) -> None:
        """Tell the daemon what is new, from time to time."""
        self._publication.tell(now)

    async def conclude(self) -> None:
        """The sender is done; a stream too short to have been claimed by then is now, and ended. May be refused."""
        await self.settled()
        if not self._publication.over:
            self._finish()
            if self._intake.wants_claim:
                self._claiming = self._gateway.start(self._claim())
                await self.settled()
        if not self._publication.over:
            self._publication.end()

    def fall_silent(self) -> None:
        """It said nothing more after a whole packet, and may come back."""
        if not self._publication.over:
            self._finish()
            self.interrupt()

    def _finish(self) -> None:
        try:
            self._intake.finish()
        except ArclydError as error:
            log.debug("%s: %s", self.key, error)

    def interrupt(self) -> None:
        """It is gone, and may come back. Idempotent."""
        self._publication.interrupt()

    def _news(self) -> dict[str, object]:
        """What there is to say of the stream now, and of what carries it."""
        news = self._intake.news()
        tags = news.get("tags")
        if self._carriage is None:
            return news
        return {**news, "tags": {**(tags if isinstance(tags, dict) else {}), **self._carriage()}}

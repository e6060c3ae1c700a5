"""What one connection publishes: its place in the process, its claims, and what the daemon is told of it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import TYPE_CHECKING, Final

from arclyd.errors import AlreadyPublishing, ArclydError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from arclyd.ingest.gateway import Gateway, Intake, Publishing

log: Final = logging.getLogger(__name__)

TELL_SECONDS: Final = 2.0
"""Between two words to the daemon, each of which is an event."""


class Publication:
    """The stream ``key``, as ``connection`` brings it.

    Args:
        gateway: of this process.
        key: the stream.
        address: host:port of the sender.
        connection: whose it is.
        intake: where its frames go through.
        news: what there is to say of it now: fields of the daemon's metadata. Without a word of the protocol that is
            the gateway's.
    """

    def __init__(
        self,
        gateway: Gateway,
        key: str,
        address: str,
        *,
        connection: Publishing,
        intake: Intake,
        news: Callable[[], dict[str, object]],
    ) -> None:
        self.key = key
        self.over = False
        """It was ended or interrupted; a claim that was under way comes to nothing."""
        self._gateway = gateway
        self._address = address
        self._connection = connection
        self._intake = intake
        self._news = news
        self._take_over = False
        self._told: dict[str, object] = {}
        self._told_at = 0.0

    async def admit(self, shown: Mapping[str, str]) -> None:
        """Ask the daemon, and take the key's place in this process. Raises what it refuses with."""
        is_ours = False
        try:
            await self._gateway.admit(self.key, "publish", self._address, shown)
        except AlreadyPublishing as error:
            is_ours = error.pid == os.getpid()
            if not is_ours:
                raise
        self._take_over = await self._gateway.enter(self.key, self._connection) or is_ours
        if self.over:  # it went away meanwhile
            self._gateway.leave(self.key, self._connection)

    async def claim(self) -> None:
        """Claim the stream with the tracks it has now; what waited goes out. Raises as `arclyd.Publisher` does."""
        if self.over:
            return
        news = self._news()
        publisher = await self._gateway.claim(
            self.key,
            self._intake,
            name=f"{self._gateway.protocol} {self._address}",
            metadata={"ingest_protocol": self._gateway.protocol, "publisher_addr": self._address, **news},
            take_over=self._take_over,
        )
        self._take_over = True  # the next claim is from this one
        self._told, self._told_at = news, time.monotonic()
        if self.over:
            publisher.interrupt()
        else:
            self._intake.begin(publisher)

    def tell(self, now: float) -> None:
        """Tell the daemon what is new, from time to time."""
        if self._intake.live and now - self._told_at >= TELL_SECONDS and (news := self._news()) != self._told:
            self._told, self._told_at = news, now
            self._gateway.start(self._update(news))

    async def _update(self, fields: dict[str, object]) -> None:
        try:
            await self._gateway.control.update_metadata(self.key, **fields)
        except ArclydError as error:
            log.debug("%s: %s", self.key, error)

    def end(self) -> None:
        """The sender is done."""
        self._gateway.leave(self.key, self._connection)
        self.over = True
        if (publisher := self._intake.release()) is not None:
            self._gateway.start(asyncio.to_thread(publisher.end))

    def interrupt(self) -> None:
        """It is gone, and may come back. Idempotent."""
        self._gateway.leave(self.key, self._connection)
        self.over = True
        self._intake.interrupt()

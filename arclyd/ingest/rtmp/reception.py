"""The stream that one connection publishes: its tags, its claim, and what the daemon is told of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError
from arclyd.ingest.rtmp import about
from arclyd.ingest.rtmp.intake import Intake
from arclyd.media.codecs import TrackKind
from arclyd.protocols.rtmp.messages import Type

if TYPE_CHECKING:
    from arclyd.ingest.rtmp.gateway import Gateway, Publishing
    from arclyd.protocols.rtmp.chunks import Message
    from arclyd.protocols.rtmp.messages import Data

log: Final = logging.getLogger(__name__)

TELL_SECONDS: Final = 2.0
"""Between two words to the daemon, each of which is an event."""


class Reception:
    """A stream on its way in, by the message stream ``stream`` of a connection."""

    def __init__(self, gateway: Gateway, key: str, address: str, stream: int, connection: Publishing) -> None:
        self.key = key
        self.stream = stream
        self.take_over = False
        """The stream is claimed from an earlier connection of the same encoder."""
        self._gateway = gateway
        self._address = address
        self._connection = connection
        self._intake = Intake()
        self._fields: dict[str, object] = {}
        self._tags: dict[str, str] = {}
        self._told: dict[str, object] = {}
        self._told_at = 0.0
        self._over = False

    @property
    def wants_claim(self) -> bool:
        """True: `claim` has to be awaited before more is received."""
        return self._intake.wants_claim

    def receive(self, message: Message) -> None:
        """One message of audio or video. Raises `ArclydError`."""
        kind = TrackKind.VIDEO if message.type == Type.VIDEO else TrackKind.AUDIO
        self._intake.receive(kind, message.timestamp, message.payload)

    def data(self, data: Data) -> None:
        """A data message: ``onMetaData`` says what is to come."""
        said = data.values[0] if data.values else None
        if data.name == "onMetaData" and isinstance(said, Mapping):
            self._intake.describe(said)
            self._fields = about.metadata(said)
            tags = self._fields.pop("tags", {})
            self._tags.update(tags if isinstance(tags, dict) else {})

    async def claim(self) -> None:
        """Claim the stream and publish what was held. Raises as `arclyd.Publisher` does."""
        again = self._told != {}
        fields = self._news()
        origin = {"ingest_protocol": self._gateway.protocol, "publisher_addr": self._address}
        publisher = await self._gateway.claim(
            self.key,
            self._intake,
            name=f"{self._gateway.protocol} {self._address}",
            metadata={**fields, **origin},
            take_over=self.take_over or again,
        )
        self._told, self._told_at = fields, time.monotonic()
        if self._over:  # the connection went away meanwhile
            publisher.interrupt()
            return
        self._intake.begin(publisher)

    def tell(self, now: float) -> None:
        """Tell the daemon what is new, from time to time."""
        for kind in sorted(self._intake.unsupported):
            log.warning("%s: a %s track of a codec that is not carried here is left out", self.key, kind)
        self._intake.unsupported.clear()
        if self._intake.live and now - self._told_at >= TELL_SECONDS and (news := self._news()) != self._told:
            self._told, self._told_at = news, now
            self._gateway.start(self._update(news))

    def end(self) -> None:
        """The encoder is done."""
        self._gateway.leave(self.key, self._connection)
        self._over = True
        if (publisher := self._intake.release()) is not None:
            self._gateway.start(asyncio.to_thread(publisher.end))

    def interrupt(self) -> None:
        """The connection is gone, and may come back. Idempotent."""
        self._gateway.leave(self.key, self._connection)
        self._over = True
        self._intake.interrupt()

    def _news(self) -> dict[str, object]:
        """What there is to say now."""
        counts = self._intake.counts
        tags = dict(self._tags)
        if counts.dropped:
            tags["dropped"] = f"{counts.dropped} ({counts.gated} before a keyframe, {counts.damaged} damaged)"
        if self._intake.color is not None and (text := about.color_tag(self._intake.color)):
            tags[about.COLOR_TAG] = text
        return {**self._fields, "tags": tags}

    async def _update(self, fields: dict[str, object]) -> None:
        try:
            await self._gateway.control.update_metadata(self.key, **fields)
        except ArclydError as error:
            log.debug("%s: %s", self.key, error)

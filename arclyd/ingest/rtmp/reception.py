"""The stream that one connection publishes: its tags, its claim, and what the daemon is told of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from arclyd.ingest.flv.intake import Intake
from arclyd.ingest.publication import Publication
from arclyd.media.codecs import TrackKind
from arclyd.protocols.rtmp.messages import Type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arclyd.ingest.gateway import Gateway, Publishing
    from arclyd.protocols.rtmp.chunks import Message
    from arclyd.protocols.rtmp.messages import Data

log: Final = logging.getLogger(__name__)


class Reception:
    """A stream on its way in, by the message stream ``stream`` of a connection."""

    def __init__(self, gateway: Gateway, key: str, address: str, stream: int, connection: Publishing) -> None:
        self.key = key
        self.stream = stream
        self._intake = Intake()
        self._warned: set[TrackKind] = set()
        self._publication = Publication(
            gateway, key, address, connection=connection, intake=self._intake, news=self._intake.news
        )

    async def admit(self, shown: Mapping[str, str]) -> None:
        """Have the daemon judge who publishes here. Raises what it refuses with."""
        await self._publication.admit(shown)

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
        self._intake.data([data.name, *data.values])

    async def claim(self) -> None:
        """Claim the stream and publish what was held. Raises as `arclyd.Publisher` does."""
        await self._publication.claim()

    def tell(self, now: float) -> None:
        """Tell the daemon what is new, from time to time."""
        for kind in sorted(self._intake.left_out - self._warned):
            log.warning("%s: a %s track of a codec that is not carried here is left out", self.key, kind.label)
            self._warned.add(kind)
        self._publication.tell(now)

    def end(self) -> None:
        """The encoder is done."""
        self._publication.end()

    def interrupt(self) -> None:
        """The connection is gone, and may come back. Idempotent."""
        self._publication.interrupt()

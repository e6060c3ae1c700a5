"""A transport stream on its way in over one connection: its claim, and what the daemon is told of it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError
from arclyd.ingest.publication import Publication
from arclyd.ingest.ts.intake import Intake
from arclyd.media.formats.mpegts import demuxer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Buffer

    from arclyd.ingest.gateway import Gateway, Publishing

log: Final = logging.getLogger(__name__)


class Reception:
    """What the connection ``connection`` publishes as ``key``.

    Args:
        gateway: of this process.
        key: the stream.
        address: host:port of the sender.
        connection: whose it is; closed when the daemon refuses.
        shown: credentials that its protocol carried.
        program: which one of the transport stream; None: the first.
        carriage: what there is to say of what carries it, as tags of the stream's metadata.
    """

    def __init__(
        self,
        gateway: Gateway,
        key: str,
        address: str,
        connection: Publishing,
        *,
        shown: Mapping[str, str],
        program: int | None = None,
        carriage: Callable[[], Mapping[str, str]] | None = None,
    ) -> None:
        self.key = key
        self._carriage = carriage
        self._gateway = gateway
        self._address = address
        self._shown = shown
        self._intake = Intake(program, demuxer.Limits(gateway.limits.video, gateway.limits.audio))
        self._claiming: asyncio.Task[None] | None = None
        self._admitted = False
        self._publication = Publication(
            gateway, key, address, connection=connection, intake=self._intake, news=self._news
        )
        self.refusal: ArclydError | None = None
        """Why it may not go on; what is received then is nobody's."""

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

    def end(self) -> None:
        """The sender is done."""
        if not self._publication.over:
            self._finish()
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
        """What there is to say now."""
        faults, counts = self._intake.faults, self._intake.counts
        said = {
            "data_tracks": ", ".join(f"{place} {name}" for place, name in self._intake.data_tracks().items()),
            "continuity_errors": str(faults.continuity or ""),
            "skipped_bytes": str(faults.skipped_bytes or ""),
            "scrambled_packets": str(faults.scrambled or ""),
            "dropped": f"{counts.dropped} ({counts.gated} before a keyframe)" if counts.dropped else "",
        }
        tags = {name: text for name, text in said.items() if text}
        return {"tags": {**tags, **(self._carriage() if self._carriage else {})}}

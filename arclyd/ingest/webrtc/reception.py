"""The stream that one connection publishes: its packets, its claim, and the keyframes its sender is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError
from arclyd.ingest.publication import Publication
from arclyd.ingest.rtp.intake import Intake
from arclyd.media.codecs import TrackKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from arclyd.ingest.gateway import Gateway, Publishing
    from arclyd.ingest.webrtc.engine import Peer
    from arclyd.protocols.rtp.packet import RtpPacket
    from arclyd.protocols.rtp.rtcp import SenderReport

ASK_SECONDS: Final = 0.5
"""Between two requests for a keyframe: an encoder needs a moment, and each costs bits."""


class Reception:
    """A stream on its way in.

    Args:
        gateway: of this process.
        key: the stream.
        address: host:port of the sender.
        connection: whose it is.
        close: called with why it can't go on.
        keyframe_seconds: from one keyframe that is asked for to the next; 0: only when somebody needs one.
    """

    def __init__(
        self,
        gateway: Gateway,
        key: str,
        address: str,
        connection: Publishing,
        *,
        close: Callable[[str], None],
        keyframe_seconds: float,
    ) -> None:
        self.key = key
        self._gateway = gateway
        self._close = close
        self._keyframe_seconds = keyframe_seconds
        self._peer: Peer | None = None
        self._pictures: list[int] = []
        self._asked_at = 0.0
        self._losses = 0
        self._claiming: asyncio.Task[None] | None = None
        self._intake = Intake("WebRTC")
        self._publication = Publication(
            gateway, key, address, connection=connection, intake=self._intake, news=self._news
        )

    async def admit(self, shown: Mapping[str, str]) -> None:
        """Have the daemon judge who publishes here. Raises what it refuses with."""
        await self._publication.admit(shown)

    def agree(self, peer: Peer) -> None:
        """What will come was agreed on. Raises `WireError`: nothing that can be carried."""
        self._intake.describe(peer.formats)
        self._peer = peer
        self._pictures = [medium for medium, agreed in peer.formats.items() if agreed.kind is TrackKind.VIDEO]

    def packet(self, medium: int, packet: RtpPacket, now: float) -> None:
        """One packet."""
        try:
            self._intake.receive(medium, packet, now)
        except ArclydError as error:
            self._close(str(error))
            return
        self._claim_if_wanted()
        if medium in self._pictures and self._wants_keyframe(now):
            self.ask(now)

    def report(self, medium: int, report: SenderReport, now: float) -> None:
        """The sender says what time it is."""
        self._intake.report(medium, report, now)

    def tick(self, now: float) -> None:
        """About once a second."""
        try:
            self._intake.expire(now)
        except ArclydError as error:
            self._close(str(error))
            return
        self._claim_if_wanted()
        self._publication.tell(now)

    def _wants_keyframe(self, now: float) -> bool:
        """Somebody who reads asks for one, what refers to others has lost them, or it is time."""
        since = now - self._asked_at
        if since < ASK_SECONDS:
            return False
        lost, self._losses = self._intake.losses > self._losses, self._intake.losses
        due = 0 < self._keyframe_seconds <= since
        return self._intake.keyframe_requested or lost or due or not self._intake.live

    def ask(self, now: float) -> None:
        """Ask the sender for a keyframe."""
        self._asked_at = now
        if self._peer is not None:
            for medium in self._pictures:
                self._gateway.start(self._peer.request_keyframe(medium))

    def _claim_if_wanted(self) -> None:
        if self._claiming is None and not self._publication.over and self._intake.wants_claim:
            self._claiming = self._gateway.start(self._claim())

    async def _claim(self) -> None:
        try:
            await self._publication.claim()
        except ArclydError as error:
            self._close(str(error))
        finally:
            self._claiming = None

    def end(self) -> None:
        """The sender is done."""
        self._publication.end()

    def interrupt(self) -> None:
        """The connection is gone, and may come back. Idempotent."""
        self._publication.interrupt()

    def _news(self) -> dict[str, object]:
        """What there is to say now."""
        tags = {name: str(number) for name, number in self._intake.faults().items() if number}
        if self._intake.counts.dropped:
            tags["dropped"] = f"{self._intake.counts.dropped} ({self._intake.counts.gated} before a keyframe)"
        return {"tags": tags}

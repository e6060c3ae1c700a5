"""One connection of WebRTC, from its offer to its end: one that publishes, or one that plays."""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.ingest.limits import Bucket
from arclyd.ingest.webrtc.player import Player
from arclyd.ingest.webrtc.reception import Reception
from arclyd.serving import host_port

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.webrtc.engine import Engine, Peer
    from arclyd.protocols.rtp.packet import RtpPacket
    from arclyd.protocols.rtp.rtcp import SenderReport

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who makes a request: address, port, and the credentials shown; ``local``: from this very machine."""

    host: str
    port: int
    shown: Mapping[str, str]
    local: bool

    @property
    def address(self) -> str:
        """Host and port."""
        return host_port(self.host, self.port)


class Session:
    """A connection of ``visitor`` for the stream ``key``; ``ended`` is called once it is over.

    ``keyframe_seconds``: as for `Reception`.
    """

    def __init__(
        self, gateway: Gateway, key: str, visitor: Visitor, *, ended: Callable[[Session], None], keyframe_seconds: float
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        """By which it is asked for; nobody guesses it."""
        self.key = key
        self.visitor = visitor
        self.closing: asyncio.Task[None] | None = None
        self.heard_at = self._began_at = time.monotonic()
        self._gateway = gateway
        self._ended = ended
        self._keyframe_seconds = keyframe_seconds
        self._bucket = Bucket(gateway.limits.rate, self.heard_at)
        self._connected = False
        self._reason = ""
        self._peer: Peer | None = None
        self._reception: Reception | None = None
        self._player: Player | None = None
        gateway.tell("connected", visitor.address)

    # ----------------------------------------------------------------- making

    async def publish(self, engine: Engine, offer: str) -> Peer:
        """Publish what is offered.

        Raises:
            Unauthorized, AlreadyPublishing: it may not.
            WireError, MediaError: the offer is none, or nothing of it can be carried.
        """
        self._reception = reception = Reception(
            self._gateway,
            self.key,
            self.visitor.address,
            self,
            close=self.close,
            keyframe_seconds=self._keyframe_seconds,
        )
        await reception.admit(self.visitor.shown)
        self._peer = peer = await engine.publishing(offer, self, local=self.visitor.local)
        reception.agree(peer)
        log.info("%s: publishes %s (%s)", self.visitor.address, self.key, _codecs(peer))
        return peer

    async def play(self, engine: Engine, offer: str) -> tuple[Peer, Sequence[str]]:
        """Play to who made the offer; also why some tracks are not sent.

        Raises:
            Unauthorized, StreamNotFound: it may not, or there is none.
            WireError, MediaError: the offer is none, or nothing of the stream can be sent.
        """
        await self._gateway.admit(self.key, "play", self.visitor.address, self.visitor.shown)
        name = f"{self._gateway.protocol} {self.visitor.address}"
        self._player = player = Player(self._gateway, self.key, name, self.close)
        wanted = await player.look()
        self._peer = peer = await engine.playing(offer, wanted, self, local=self.visitor.local)
        log.info("%s: plays %s (%s)", self.visitor.address, self.key, _codecs(peer))
        return peer, player.left_out

    async def candidates(self, lines: Sequence[str]) -> None:
        """More addresses of the other side."""
        if self._peer is not None:
            await self._peer.candidates(lines)

    @property
    def tag(self) -> str:
        """Of its ICE session."""
        return self._peer.tag if self._peer else ""

    # --------------------------------------------------------------- Listener

    def connected(self) -> None:
        """As `Listener.connected`."""
        self._connected = True
        self.heard_at = time.monotonic()
        log.debug("%s: connected", self.visitor.address)
        if self._player is not None and self._peer is not None and not self._reason:
            self._player.begin(self._peer)

    def packet(self, medium: int, packet: RtpPacket) -> None:
        """As `Listener.packet`."""
        if self._reception is None or self._reason:
            return
        self.heard_at = now = time.monotonic()
        if self._bucket.take(len(packet.payload), now):
            self.close(f"more than {self._gateway.limits.rate} bytes a second")
            return
        self._reception.packet(medium, packet, now)

    def report(self, medium: int, report: SenderReport) -> None:
        """As `Listener.report`."""
        if self._reception is not None:
            self._reception.report(medium, report, time.monotonic())

    def keyframe_wanted(self, medium: int) -> None:
        """As `Listener.keyframe_wanted`."""
        del medium
        if self._player is not None:
            self._player.ask()

    def lost(self, reason: str) -> None:
        """As `Listener.lost`."""
        self.close(reason)

    # ------------------------------------------------- Connection, Publishing

    @property
    def owner(self) -> tuple[str, Mapping[str, str]]:
        """Its address, and what it showed."""
        return self.visitor.host, self.visitor.shown

    def give_way(self) -> None:
        """The same sender came back by another connection."""
        self.close("its sender came back by another connection")

    def tick(self, now: float) -> None:
        """About once a second: whoever is over a limit is let go."""
        limits = self._gateway.limits
        if not self._connected:
            if now - self._began_at > limits.start_seconds:
                self.close(f"not connected within {limits.start_seconds:g} s")
        elif self._reception is not None:
            if now - self.heard_at > limits.idle_seconds:
                self.close(f"nothing came for {limits.idle_seconds:g} s")
            else:
                self._reception.tick(now)

    def end(self) -> None:
        """The other side is done with it."""
        if self._reception is not None and not self._reason:
            self._reception.end()
        self.close("the sender ended the stream" if self._reception else "the viewer left")

    def close(self, reason: str, *, abort: bool = False) -> None:
        """End it; the first reason counts."""
        del abort
        if self._reason:
            return
        self._reason = reason
        if self._reception is not None:
            self._reception.interrupt()
        if self._player is not None:
            self._player.stop()
        log.info("%s: %s: %s", self.visitor.address, self.key, reason)
        self._gateway.tell("disconnected", self.visitor.address, self.key, reason)
        if self._peer is not None:
            self.closing = self._gateway.start(self._peer.close())
        self._ended(self)


def _codecs(peer: Peer) -> str:
    return ", ".join(agreed.codec.label for agreed in peer.formats.values())

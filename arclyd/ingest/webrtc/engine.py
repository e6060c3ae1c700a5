"""What a WebRTC engine has to do here, and what it tells: packets and reports, nothing of codecs.

ICE, DTLS, SRTP, retransmission and congestion reports are an engine's; what packets mean is `arclyd.protocols.rtp`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arclyd.media.codecs import CodecId
    from arclyd.protocols.rtp.formats import Format
    from arclyd.protocols.rtp.packet import RtpPacket
    from arclyd.protocols.rtp.rtcp import SenderReport


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server: its URL (``stun:HOST``, ``turn:HOST?transport=udp``), and what it is told."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Packets:
    """The packets of one frame: their payloads, and their common timestamp in ticks of the medium from 0.

    ``at_ns``: Unix time of that timestamp, by which the other side keeps sound and picture together.
    """

    payloads: Sequence[bytes]
    timestamp: int
    at_ns: int


class Listener(Protocol):
    """Who is told what a connection brings. Media are known by their places in the offer."""

    def connected(self) -> None:
        """Packets may come and go."""

    def packet(self, medium: int, packet: RtpPacket) -> None:
        """One packet; a retransmitted one as it was at first."""

    def report(self, medium: int, report: SenderReport) -> None:
        """The sender says what time it is."""

    def keyframe_wanted(self, medium: int) -> None:
        """The receiver can't decode without a new one."""

    def lost(self, reason: str) -> None:
        """It is over."""


class Peer(Protocol):
    """One connection, negotiated."""

    @property
    def answer(self) -> str:
        """The description to be sent back."""

    @property
    def tag(self) -> str:
        """What tells this ICE session from one that was restarted."""

    @property
    def formats(self) -> Mapping[int, Format]:
        """What was agreed on, of each medium that is carried."""

    async def candidates(self, lines: Sequence[str]) -> None:
        """Addresses of the other side, each the value of an ``a=candidate`` line."""

    async def request_keyframe(self, medium: int) -> None:
        """Ask the sender for one, if packets came."""

    async def send(self, medium: int, packets: Packets) -> None:
        """Send a frame."""

    async def close(self) -> None:
        """End it. Idempotent."""


class Engine(Protocol):
    """Makes connections."""

    async def publishing(self, offer: str, listener: Listener, *, local: bool) -> Peer:
        """Take what ``offer`` wants to send.

        Args:
            offer: a description (RFC 8866).
            listener: is told what comes.
            local: it came from this very machine.

        Raises:
            WireError: it can't be made sense of.
            MediaError: nothing of it can be carried.
        """

    async def playing(self, offer: str, wanted: Sequence[CodecId], listener: Listener, *, local: bool) -> Peer:
        """Send what ``offer`` wants to receive, of codecs that are ``wanted``, one a kind. As `publishing`."""

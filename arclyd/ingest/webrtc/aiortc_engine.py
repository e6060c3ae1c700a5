"""The engine by aiortc: encoded frames in and out, which its public interface does not have.

What is taken from its inside, each looked after by a test that fails if it moves:

- The jitter buffer of a receiver is replaced: what gets there has been decrypted, counted, asked for again where it was
  lost, and taken out of retransmission. Its own buffer tells neither losses nor the end of a frame before the next.
- A sender is given packets instead of frames to encode, and is told of nothing but the time they belong to.
- The codecs agreed on are narrowed to one a medium: whoever sends does not change it on the way.
- The sockets are shared (`arclyd.ingest.webrtc.socket`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from functools import partial
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import aiortc.codecs
from aiortc import MediaStreamTrack, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc import sdp as descriptions
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcconfiguration import RTCBundlePolicy
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import RtcpByePacket, RtcpSrPacket

from arclyd.errors import MediaError, WireError
from arclyd.media.codecs import CodecId
from arclyd.protocols.rtp.formats import Format
from arclyd.protocols.rtp.packet import RtpPacket
from arclyd.protocols.rtp.rtcp import NTP_TO_UNIX, SenderReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiortc import RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver

    from arclyd.ingest.webrtc.engine import IceServer, Listener, Packets
    from arclyd.ingest.webrtc.socket import SharedSockets

log: Final = logging.getLogger(__name__)

MOST_OFFER: Final = 64 << 10
"""Bytes of an offer: browsers write some eight thousand."""

MOST_CANDIDATES: Final = 32
"""Of the other side: each is checked by sending to it, so that an offer must not name the whole world."""

QUEUED: Final = 64
"""Frames of one medium that wait to be sent: the ring is where the rest waits."""

_CODECS: Final[Mapping[str, CodecId]] = MappingProxyType(
    {
        "H264": CodecId.H264,
        "AV1": CodecId.AV1,
        "VP9": CodecId.VP9,
        "VP8": CodecId.VP8,
        "opus": CodecId.OPUS,
        "G722": CodecId.G722,
        "PCMU": CodecId.G711U,
        "PCMA": CodecId.G711A,
    }
)
"""By their names in descriptions, those first that are taken from who offers several: what most readers can play."""

_MORE: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    ("video/H264", {"level-asymmetry-allowed": "1", "packetization-mode": "1", "profile-level-id": "4d001f"}),
    ("video/H264", {"level-asymmetry-allowed": "1", "packetization-mode": "1", "profile-level-id": "640c1f"}),
    ("video/H264", {"level-asymmetry-allowed": "1", "packetization-mode": "1", "profile-level-id": "64001f"}),
    ("video/VP9", {"profile-id": "0"}),
    ("video/AV1", {}),
)
"""What aiortc does not know since it has no encoder for it; passing it through takes none."""

_NANO: Final = 1_000_000_000


class AiortcEngine:
    """Makes connections that share ``sockets``; ``servers`` are asked for addresses, none: nobody is."""

    def __init__(self, sockets: SharedSockets, servers: Sequence[IceServer] = ()) -> None:
        self._sockets = sockets
        self._configuration = RTCConfiguration(
            iceServers=[
                RTCIceServer(urls=server.url, username=server.user or None, credential=server.password or None)
                for server in servers
            ],
            bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
        )
        _know_more()

    async def publishing(self, offer: str, listener: Listener, *, local: bool) -> AiortcPeer:
        """As `Engine.publishing`."""
        return await self._connection(offer, None, listener, local=local)

    async def playing(self, offer: str, wanted: Sequence[CodecId], listener: Listener, *, local: bool) -> AiortcPeer:
        """As `Engine.playing`."""
        return await self._connection(offer, wanted, listener, local=local)

    async def _connection(
        self, offer: str, wanted: Sequence[CodecId] | None, listener: Listener, *, local: bool
    ) -> AiortcPeer:
        text = _without_strangers(offer)
        kinds = _kinds(text, sending=wanted is None)
        peer = AiortcPeer(RTCPeerConnection(self._configuration), listener)
        try:
            await peer.negotiate(text, kinds, wanted, partial(self._sockets.candidates, local=local))
        except BaseException:
            await peer.close()
            raise
        return peer


def _know_more() -> None:
    known = aiortc.codecs.CODECS["video"]
    feedback = [RTCRtcpFeedback("nack"), RTCRtcpFeedback("nack", "pli"), RTCRtcpFeedback("goog-remb")]
    for place, (name, parameters) in enumerate(_MORE):
        if not any(codec.mimeType == name and codec.parameters == parameters for codec in known):
            codec = RTCRtpCodecParameters(name, 90_000, None, 103 + place, list(feedback), dict(parameters))
            known.append(codec)


def _without_strangers(offer: str) -> str:
    """The offer without addresses that are names: those of mDNS are looked for in the whole network, and come anyway.

    Raises:
        WireError: it is too long, or nothing of the kind.
    """
    if len(offer) > MOST_OFFER:
        raise WireError("SDP", f"an offer of {len(offer)} characters")
    lines, candidates = [], 0
    for line in offer.splitlines():
        if line.startswith("a=candidate:"):
            candidates += 1
            if candidates > MOST_CANDIDATES or not _is_address(line.removeprefix("a=candidate:")):
                continue
        if line.startswith("a=end-of-candidates"):  # they are not all: checks come from others too
            continue
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"


def _is_address(candidate: str) -> bool:
    """A candidate of UDP with an address in it, not a name."""
    words = candidate.split()
    if len(words) < 8 or words[2].lower() != "udp" or not all(words[place].isdigit() for place in (1, 3, 5)):
        return False
    try:
        return not ip_address(words[4]).is_multicast and 0 < int(words[5]) < 1 << 16
    except ValueError:
        return False


def _kinds(offer: str, *, sending: bool) -> list[str]:
    """The kinds of the offer's media, in order.

    Raises:
        WireError: it can't be read, or has no such media, or more than one of a kind.
    """
    try:
        description = descriptions.SessionDescription.parse(offer)
    except Exception as error:  # whatever its reader stumbles over is the offer's fault
        raise WireError("SDP", "an offer that can't be read") from error
    media = description.media
    if not media or any(not (one.ice and one.ice.usernameFragment and one.ice.password) for one in media):
        raise WireError("SDP", "no media, or no credentials of ICE for them")
    if any(one.dtls is None or not one.dtls.fingerprints for one in media):
        raise WireError("SDP", "no fingerprint of a certificate")
    mids = [one.rtp.muxId for one in media]
    bundled = [mid for group in description.group if group.semantic == "BUNDLE" for mid in group.items]
    if len(set(mids)) < len(mids) or not all(mids) or not set(bundled) <= set(mids):
        raise WireError("SDP", "media without names of their own, or a bundle of others")
    kinds = [one.kind for one in media]
    if len(set(kinds)) < len(kinds) or not set(kinds) <= {"audio", "video"}:
        raise WireError("SDP", f"media are one of video and one of audio at most, not {', '.join(kinds)[:100]}")
    ways = {"sendonly", "sendrecv"} if sending else {"recvonly", "sendrecv"}
    if not any((one.direction or "sendrecv") in ways for one in media):
        raise WireError("SDP", f"nothing is offered to be {'sent' if sending else 'received'}")
    return kinds


class _Quiet(MediaStreamTrack):
    """Stands where a sender wants a track."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    async def recv(self) -> NoReturn:
        """Nobody asks: what is sent comes another way."""
        raise MediaStreamError


class _Tap:
    """Stands where a receiver has its jitter buffer: every packet goes on at once, none becomes a frame there."""

    def __init__(self, listener: Listener, medium: int) -> None:
        self._listener = listener
        self._medium = medium
        self.ssrc: int | None = None

    def add(self, packet: Any) -> tuple[bool, None]:
        """One packet; no picture loss is told from here, and no frame given."""
        self.ssrc = packet.ssrc
        read = RtpPacket(
            packet.payload_type,
            packet.sequence_number,
            packet.timestamp,
            packet.ssrc,
            packet.payload,
            bool(packet.marker),
        )
        self._listener.packet(self._medium, read)
        return False, None


class _Incoming:
    """One medium that is received."""

    def __init__(self, receiver: RTCRtpReceiver, listener: Listener, medium: int) -> None:
        self._receiver = receiver
        self._listener = listener
        self._medium = medium
        self._tap = _Tap(listener, medium)
        self._handle = receiver._handle_rtcp_packet
        setattr(receiver, "_RTCRtpReceiver__jitter_buffer", self._tap)  # noqa: B010 - the name is not ours
        setattr(receiver, "_handle_rtcp_packet", self._control)  # noqa: B010 - the name is not ours

    async def _control(self, packet: object) -> None:
        if isinstance(packet, RtcpSrPacket):
            said = packet.sender_info
            self._listener.report(
                self._medium,
                SenderReport(packet.ssrc, said.ntp_timestamp, said.rtp_timestamp, said.packet_count, said.octet_count),
            )
        if isinstance(packet, RtcpByePacket):  # its end is told by WHIP, or by silence; encoders say it when they mute
            return
        await self._handle(packet)  # type: ignore[arg-type] # one of its own

    async def request_keyframe(self) -> None:
        if self._tap.ssrc is not None:
            await self._receiver._send_rtcp_pli(self._tap.ssrc)


class _Outgoing:
    """One medium that is sent."""

    def __init__(self, sender: RTCRtpSender, listener: Listener, medium: int, clock_rate: int) -> None:
        self._frames: asyncio.Queue[tuple[RTCEncodedFrame, int]] = asyncio.Queue(QUEUED)
        self._at_ns = 0
        self._send_control = sender._send_rtcp
        self._clock_rate = clock_rate
        sender.replaceTrack(_Quiet(sender.kind))
        setattr(sender, "_next_encoded_frame", self._next)  # noqa: B010 - the names are not ours
        setattr(sender, "_send_rtcp", self._control)  # noqa: B010 - the name is not ours
        setattr(sender, "_send_keyframe", lambda: listener.keyframe_wanted(medium))  # noqa: B010 - the name is not ours

    async def send(self, packets: Packets) -> None:
        frame = RTCEncodedFrame(list(packets.payloads), packets.timestamp, None)  # type: ignore[arg-type] # no level
        await self._frames.put((frame, packets.at_ns))

    async def _next(self, _codec: object) -> RTCEncodedFrame:
        frame, self._at_ns = await self._frames.get()
        return frame

    async def _control(self, packets: list[Any]) -> None:
        """Reports say when the newest frame belongs, not when it happened to be sent: that is what keeps lips right."""
        told = [packet for packet in packets if not isinstance(packet, RtcpSrPacket)]
        for packet in packets:
            if isinstance(packet, RtcpSrPacket) and packet.sender_info.packet_count:
                packet.sender_info.ntp_timestamp = (self._at_ns + NTP_TO_UNIX * _NANO << 32) // _NANO
                told.insert(0, packet)
        if told:
            await self._send_control(told)


class AiortcPeer:
    """One connection."""

    def __init__(self, connection: RTCPeerConnection, listener: Listener) -> None:
        self._connection = connection
        self._listener = listener
        self._incoming: dict[int, _Incoming] = {}
        self._outgoing: dict[int, _Outgoing] = {}
        self._formats: dict[int, Format] = {}
        self._told = False
        self._candidates = 0
        self._closed = False
        connection.on("connectionstatechange", self._changed)

    @property
    def answer(self) -> str:
        """As `Peer.answer`."""
        return str(self._connection.localDescription.sdp)

    @property
    def tag(self) -> str:
        """As `Peer.tag`."""
        return str(self._ice().local_username)

    @property
    def formats(self) -> Mapping[int, Format]:
        """As `Peer.formats`."""
        return self._formats

    def _ice(self) -> Any:
        return self._connection.getTransceivers()[0].receiver.transport.transport.iceGatherer._connection

    async def negotiate(
        self, offer: str, kinds: Sequence[str], wanted: Sequence[CodecId] | None, gather: Callable[..., object]
    ) -> None:
        """Take an offer whose media are ``kinds``; ``wanted``: codecs to be sent, None: what comes is received.

        Raises:
            WireError: it can't be made sense of.
            MediaError: nothing of it can be carried.
        """
        sends = wanted is not None
        transceivers = [self._connection.addTransceiver(kind, "sendonly" if sends else "recvonly") for kind in kinds]
        ice = self._ice()
        ice._local_username = secrets.token_hex(8)
        ice.get_component_candidates = partial(gather, ice)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        except Exception as error:  # a codec that is not known, or whatever else is wrong with it
            raise MediaError("SDP", f"an offer that can't be taken: {str(error)[:200]}") from error
        for medium, transceiver in enumerate(transceivers):
            self._settle(medium, transceiver, wanted)
        if not self._formats:
            names = ", ".join(codec.label for codec in wanted or _CODECS.values())
            raise MediaError("SDP", f"none of the codecs offered is one of {names}")
        try:
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:
            raise WireError("SDP", f"no answer can be given: {str(error)[:200]}") from error

    def _settle(self, medium: int, transceiver: RTCRtpTransceiver, wanted: Sequence[CodecId] | None) -> None:
        """Choose one codec of those that both know."""
        common: list[RTCRtpCodecParameters] = transceiver._codecs
        choice = _chosen(common, wanted)
        if choice is None:
            transceiver.direction = "inactive"
            return
        again = [one for one in common if one.name.lower() == "rtx" and one.parameters.get("apt") == choice.payloadType]
        transceiver._codecs = [choice, *again[:1]]
        assert choice.payloadType is not None
        self._formats[medium] = Format(
            choice.payloadType,
            choice.name.lower(),
            _CODECS[choice.name],
            choice.clockRate,
            choice.channels or 0,
        )
        if wanted is None:
            self._incoming[medium] = _Incoming(transceiver.receiver, self._listener, medium)
        else:
            self._outgoing[medium] = _Outgoing(transceiver.sender, self._listener, medium, choice.clockRate)

    async def candidates(self, lines: Sequence[str]) -> None:
        """As `Peer.candidates`."""
        for line in lines:
            self._candidates += 1
            if self._candidates > MOST_CANDIDATES or not _is_address(line):
                continue
            candidate = descriptions.candidate_from_sdp(line)
            candidate.sdpMLineIndex = 0
            with contextlib.suppress(ValueError):  # one that it can't use
                await self._connection.addIceCandidate(candidate)

    async def request_keyframe(self, medium: int) -> None:
        """As `Peer.request_keyframe`."""
        if medium in self._incoming:
            await self._incoming[medium].request_keyframe()

    async def send(self, medium: int, packets: Packets) -> None:
        """As `Peer.send`."""
        await self._outgoing[medium].send(packets)

    async def close(self) -> None:
        """As `Peer.close`."""
        self._closed = True
        agent = self._ice()
        try:
            await self._connection.close()
        except Exception:  # what it stumbles over it leaves open
            log.exception("a connection that could not be closed in order")
            await agent.close()

    def _changed(self) -> None:
        state = self._connection.connectionState
        if self._closed:
            return
        if state == "connected" and not self._told:
            self._told = True
            self._listener.connected()
        elif state in {"failed", "closed"}:
            self._listener.lost("the connection was lost" if self._told else "no connection came about")


def _chosen(common: Sequence[RTCRtpCodecParameters], wanted: Sequence[CodecId] | None) -> RTCRtpCodecParameters | None:
    order = list(_CODECS.values() if wanted is None else wanted)
    fit = [codec for codec in common if codec.name in _CODECS and _CODECS[codec.name] in order]
    return min(fit, key=lambda codec: order.index(_CODECS[codec.name]), default=None)

"""The engine by aiortc: that what is taken from its inside is still there, and that no offer gets past it."""

from __future__ import annotations

import asyncio
import inspect
import random
from typing import TYPE_CHECKING, Any

import pytest
from aioice import ice, stun
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, RTCSessionDescription
from aiortc.rtcrtpsender import RTCEncodedFrame

from arclyd.errors import ArclydError, MediaError, WireError
from arclyd.ingest.webrtc.aiortc_engine import MOST_OFFER, AiortcEngine
from arclyd.ingest.webrtc.engine import Packets
from arclyd.ingest.webrtc.socket import MOST_ADDRESSES, SharedSockets
from arclyd.media.codecs import CodecId

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from arclyd.ingest.webrtc.engine import Peer
    from arclyd.protocols.rtp.packet import RtpPacket
    from arclyd.protocols.rtp.rtcp import SenderReport

CODECS = (CodecId.H264, CodecId.VP8, CodecId.OPUS)


class Told:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.packets: list[tuple[int, RtpPacket]] = []
        self.reports: list[SenderReport] = []
        self.keyframes = 0
        self.up = asyncio.Event()
        self.over = ""

    def connected(self) -> None:
        self.up.set()

    def packet(self, medium: int, packet: RtpPacket) -> None:
        self.packets.append((medium, packet))

    def report(self, medium: int, report: SenderReport) -> None:
        self.reports.append(report)

    def keyframe_wanted(self, medium: int) -> None:
        self.keyframes += 1

    def lost(self, reason: str) -> None:
        self.over = reason


async def until(condition: Callable[[], object], what: str) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what


def run(work: Callable[[AiortcEngine, SharedSockets], Coroutine[None, None, None]]) -> None:
    """With an engine on a socket of its own."""

    async def main() -> None:
        sockets = SharedSockets("127.0.0.1", 0, ())
        await sockets.open()
        try:
            await work(AiortcEngine(sockets), sockets)
        finally:
            sockets.close()
            await asyncio.sleep(0)

    asyncio.run(main())


async def offered(*kinds: str, direction: str = "recvonly") -> tuple[RTCPeerConnection, str]:
    """A client's connection and its offer."""
    client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds:
        client.addTransceiver(kind, direction)
    await client.setLocalDescription(await client.createOffer())
    return client, client.localDescription.sdp


def test_what_is_taken_from_the_inside_of_aiortc_is_there() -> None:
    source = inspect.getsource(RTCRtpReceiver)
    assert "pli_flag, encoded_frame = self.__jitter_buffer.add(packet)" in source
    assert "await self._send_rtcp_pli(" in source
    assert "async def _handle_rtcp_packet(self, packet" in source
    source = inspect.getsource(RTCRtpSender)
    assert "enc_frame = await self._next_encoded_frame(codec)" in source
    assert "self._send_keyframe()" in source
    assert "await self._send_rtcp(packets)" in source
    assert list(inspect.signature(RTCEncodedFrame).parameters) == ["payloads", "timestamp", "audio_level"]
    source = inspect.getsource(ice.Connection)
    assert "self.get_component_candidates(component=component, addresses=addresses)" in source
    assert "return self._local_username" in source
    assert "self._protocols" in source


def test_packets_come_as_they_were_sent_and_keyframes_are_asked_for_both_ways() -> None:
    """Two engines speak to one another: one sends what the other takes."""

    async def work(engine: AiortcEngine, _sockets: SharedSockets) -> None:
        sender_told, taker_told = Told(), Told()
        client, offer = await offered("video")
        player: Peer = await engine.playing(offer, [CodecId.H264], sender_told, local=True)
        tap: list[Any] = []
        receiver = client.getTransceivers()[0].receiver
        await client.setRemoteDescription(RTCSessionDescription(player.answer, "answer"))
        receiver._RTCRtpReceiver__jitter_buffer.add = lambda packet: tap.append(packet) or (False, None)
        async with asyncio.timeout(60):
            await sender_told.up.wait()
        for number in range(10):
            await player.send(0, Packets([b"\x41" + bytes([number])] * 3, number * 3000, 10**18 + number * 10**9 // 30))
        await until(lambda: len(tap) == 30, "packets")
        assert [packet.payload[1] for packet in tap] == [number for number in range(10) for _ in range(3)]
        assert [packet.marker for packet in tap] == [0, 0, 1] * 10
        assert (tap[-1].timestamp - tap[0].timestamp) % 2**32 == 9 * 3000
        await receiver._send_rtcp_pli(tap[0].ssrc)
        await until(lambda: sender_told.keyframes == 1, "a request for a keyframe")
        await player.close()
        await client.close()
        assert not taker_told.over

    run(work)


def test_one_codec_is_agreed_on_and_one_port_serves_all() -> None:
    async def work(engine: AiortcEngine, sockets: SharedSockets) -> None:
        peers = []
        for wanted in ([CodecId.VP8], [CodecId.H264, CodecId.OPUS]):
            client, offer = await offered("video", "audio")
            peers.append(await engine.playing(offer, wanted, Told(), local=True))
            assert [agreed.codec for agreed in peers[-1].formats.values()] == wanted
            lines = peers[-1].answer.splitlines()
            names = {line.split()[1].split("/")[0] for line in lines if line.startswith("a=rtpmap")}
            assert names - {"rtx"} >= {codec.label.upper() if codec is not CodecId.OPUS else "opus" for codec in wanted}
            assert ("a=inactive" in lines) is (len(wanted) == 1)
            await client.close()
        ports = {
            line.split()[5] for peer in peers for line in peer.answer.splitlines() if line.startswith("a=candidate")
        }
        assert len(ports) == 1
        for peer in peers:
            await peer.close()

    run(work)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda offer: "", WireError),
        (lambda offer: "v=0\r\n", WireError),
        (lambda offer: "x" * (MOST_OFFER + 1), WireError),
        (lambda offer: "\r\n".join(line for line in offer.splitlines() if "ice-pwd" not in line), WireError),
        (lambda offer: "\r\n".join(line for line in offer.splitlines() if "fingerprint" not in line), WireError),
        (lambda offer: offer + offer[offer.index("m=video") :], WireError),
        (lambda offer: offer.replace("a=recvonly", "a=sendonly"), WireError),
        (lambda offer: offer.replace("H264", "H261").replace("VP8", "H263"), MediaError),
        (lambda offer: offer.replace("m=video", "m=application"), ArclydError),
    ],
    ids=["empty", "no media", "long", "no password", "no fingerprint", "two", "wrong way", "codecs", "data"],
)
def test_offers_that_can_not_be_taken_are_refused_with_a_reason(
    change: Callable[[str], str], error: type[ArclydError]
) -> None:
    async def work(engine: AiortcEngine, sockets: SharedSockets) -> None:
        client, offer = await offered("video")
        await client.close()
        with pytest.raises(error) as caught:
            await engine.playing(change(offer), CODECS, Told(), local=True)
        assert str(caught.value)

    run(work)


def test_offers_changed_at_random_are_refused_or_taken_and_nothing_stays() -> None:
    """Lines left out, doubled, cut and garbled: an error of arclyd's, or a connection that closes."""
    chance = random.Random(7)

    def garbled(offer: str) -> str:
        lines = offer.splitlines()
        for _ in range(chance.randrange(1, 6)):
            place = chance.randrange(len(lines))
            kind = chance.randrange(4)
            if kind == 0:
                del lines[place]
            elif kind == 1:
                lines.insert(place, lines[chance.randrange(len(lines))])
            elif kind == 2:
                lines[place] = lines[place][: chance.randrange(len(lines[place]) + 1)]
            else:
                letters = list(lines[place])
                letters[chance.randrange(len(letters))] = chr(chance.randrange(1, 0x250))
                lines[place] = "".join(letters)
        return "\r\n".join(lines)

    async def work(engine: AiortcEngine, sockets: SharedSockets) -> None:
        client, offer = await offered("video", "audio")
        await client.close()
        taken = 0
        for _ in range(150):
            try:
                peer = await engine.playing(garbled(offer), CODECS, Told(), local=True)
            except ArclydError:
                continue
            taken += 1
            await peer.close()
        assert taken
        [only] = sockets._sockets.values()
        assert not only._views
        assert not only._named
        assert not only._of

    run(work)


def test_datagrams_of_strangers_change_nothing() -> None:
    async def work(engine: AiortcEngine, sockets: SharedSockets) -> None:
        client, offer = await offered("video")
        peer = await engine.playing(offer, CODECS, Told(), local=True)
        await client.close()
        [only] = sockets._sockets.values()
        name = peer.tag
        chance = random.Random(3)
        for number in range(300):
            only.datagram_received(chance.randbytes(chance.randrange(0, 200)), ("192.0.2.1", 1000 + number))
            check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            check.attributes["USERNAME"] = f"{name}:them"
            if number % 2:
                check.add_message_integrity(b"not the password")
            only.datagram_received(bytes(check), ("192.0.2.1", 1000 + number))
        assert not only._of
        password = next(iter(only._named.values())).receiver.local_password
        for number in range(2 * MOST_ADDRESSES):
            check = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
            check.attributes["USERNAME"] = f"{name}:them"
            check.add_message_integrity(password.encode())
            only.datagram_received(bytes(check), ("192.0.2.1", 1000 + number))
        assert len(only._of) == MOST_ADDRESSES
        await peer.close()
        assert not only._of

    run(work)

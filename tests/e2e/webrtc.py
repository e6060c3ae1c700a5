"""A WebRTC gateway process for the tests, and clients by aiortc that send and receive encoded frames."""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING

import arclyd
from arclyd.media.codecs import CodecId
from arclyd.media.codecs.annexb import iter_length_prefixed, join_annexb
from arclyd.media.codecs.h264 import AvcConfig
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clips import Clip, Sample
    from tests.daemon import Script, Spawner

KEY = "live/cam1"
SERVING = re.compile(r"serving on (https?://\S+)")

CLIENT = '''
    """A client of WHIP or WHEP; what it gets and gives are access units, a line each."""
    import asyncio, hashlib, json, pickle, sys
    from fractions import Fraction

    import aiohttp, aioice.ice, aiortc, aiortc.rtcrtpreceiver, av
    from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    aioice.ice.get_host_addresses = lambda **_kinds: ["127.0.0.1"]


    class Through:
        """Stands where aiortc has a decoder."""

        def __init__(self, codec):
            self.base = Fraction(1, codec.clockRate)

        def decode(self, frame):
            packet = av.Packet(frame.data)
            packet.pts, packet.time_base = frame.timestamp, self.base
            return [packet]


    aiortc.rtcrtpreceiver.get_decoder = Through


    class Sent(MediaStreamTrack):
        """The packets of one stream of a file, at their time."""

        def __init__(self, kind, packets, begun, done):
            super().__init__()
            self.kind, self.packets, self.begun, self.done = kind, iter(packets), begun, done

        async def recv(self):
            packet = next(self.packets, None)
            if packet is None:
                self.done.set()
                await asyncio.Event().wait()
            due = self.begun() + float(packet.pts * packet.time_base)
            await asyncio.sleep(max(0, due - asyncio.get_running_loop().time()))
            return packet


    async def negotiate(connection, url, token):
        await connection.setLocalDescription(await connection.createOffer())
        headers = {"Content-Type": "application/sdp"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with aiohttp.ClientSession() as http:
            async with http.post(url, data=connection.localDescription.sdp, headers=headers) as response:
                text = await response.text()
                print("answered", response.status, json.dumps(dict(response.headers)), flush=True)
                if response.status != 201:
                    raise SystemExit(text)
                location = response.headers["Location"]
        await connection.setRemoteDescription(RTCSessionDescription(text, "answer"))
        return url.split("/live")[0] + location


    def lose(sender):
        """Of every fourth frame of several packets, the second never goes out, nor is it sent again."""
        pack = sender._next_encoded_frame
        count = 0

        async def next_frame(codec):
            nonlocal count
            frame = await pack(codec)
            count += len(frame.payloads) > 1
            if len(frame.payloads) > 1 and count % 4 == 0:
                frame.payloads[1] = Lost(frame.payloads[1])
            return frame

        class Lost(bytes):
            """A payload that is not sent."""

        async def never(sequence):
            print("missed", sequence, flush=True)

        sender._next_encoded_frame = next_frame
        sender._retransmit = never
        whole = aiortc.rtcrtpsender.RtpPacket.serialize
        send = sender.transport._send_rtp

        def serialize(packet, *args):
            return Lost() if isinstance(packet.payload, Lost) else whole(packet, *args)

        async def send_rtp(data):
            if not isinstance(data, Lost):
                await send(data)

        aiortc.rtcrtpsender.RtpPacket.serialize = serialize
        sender.transport._send_rtp = send_rtp


    async def publish(url, token, path, codec_name="h264", way=""):
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        loop, begun, done = asyncio.get_running_loop(), [], asyncio.Event()

        def start():
            if not begun:
                begun.append(loop.time())
            return begun[0]

        with open(path, "rb") as file:
            media = pickle.load(file)
        for kind, units in media.items():
            packets = []
            for payload, pts, base in units:
                packets.append(av.Packet(payload))
                packets[-1].pts, packets[-1].time_base = pts, base
            sender = connection.addTrack(Sent(kind, packets, start, done))
            sender._send_keyframe = lambda: print("asked", flush=True)
            if kind == "video":
                wanted = aiortc.RTCRtpSender.getCapabilities("video").codecs
                wanted = [codec for codec in wanted if codec.mimeType.lower() == f"video/{codec_name}"]
                connection.getTransceivers()[-1].setCodecPreferences(wanted)
        session = await negotiate(connection, url, token)
        if way == "lossy":
            lose(connection.getTransceivers()[0].sender)
        print("publishing", flush=True)
        await done.wait()
        print("done", flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)
        async with aiohttp.ClientSession() as http:
            async with http.delete(session) as response:
                print("deleted", response.status, flush=True)
        await connection.close()


    async def play(url, token):
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        over = asyncio.Event()

        async def read(track):
            try:
                while True:
                    packet = await track.recv()
                    digest = hashlib.sha256(bytes(packet)).hexdigest()
                    print("got", track.kind, packet.pts, len(bytes(packet)), digest, flush=True)
            except Exception as error:
                print("over", track.kind, repr(error), flush=True)
                over.set()

        tasks = []
        connection.on("track", lambda track: tasks.append(asyncio.create_task(read(track))))
        for kind in ("video", "audio"):
            connection.addTransceiver(kind, "recvonly")
        session = await negotiate(connection, url, token)
        print("playing", flush=True)
        waiting = loop_line(connection)
        ends = [asyncio.create_task(waiting), asyncio.create_task(over.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        async with aiohttp.ClientSession() as http:
            async with http.delete(session) as response:
                print("deleted", response.status, flush=True)
        await connection.close()


    async def loop_line(connection):
        loop = asyncio.get_running_loop()
        while (await loop.run_in_executor(None, sys.stdin.readline)).strip() == "lost":
            receiver = connection.getTransceivers()[0].receiver
            [source] = receiver.getSynchronizationSources()
            await receiver._send_rtcp_pli(source.source)


    asyncio.run({"publish": publish, "play": play}[sys.argv[1]](*sys.argv[2:]))
'''


def annexb(sample: Sample, config: bytes) -> bytes:
    """An access unit as encoders of WebRTC make it: parameter sets before every keyframe."""
    known = AvcConfig.parse(config)
    sets = [*known.sps, *known.pps] if sample.keyframe else []
    return join_annexb([*sets, *iter_length_prefixed(sample.payload)])


def write(path: Path, clip: Clip) -> None:
    """A clip of H.264 or VP8, and Opus, for the client to publish."""
    media = {}
    for place, track in enumerate(clip.tracks):
        h264 = track.codec is CodecId.H264
        media[track.kind.label] = [
            (annexb(sample, track.config) if h264 else sample.payload, sample.pts, track.time_base)
            for sample in clip.of(place)
        ]
    path.write_bytes(pickle.dumps(media))


class WebrtcGateway:
    """An `arclyd listen webrtc` on ports of its own."""

    def __init__(self, spawn: Spawner, *args: object, media: str = "127.0.0.1:0") -> None:
        self.script: Script = spawn(
            ARCLYD, "listen", "webrtc", "--bind", "127.0.0.1:0", "--media", media, *args, name="listen"
        )
        self.base = wait_until(self._serving, what="the gateway to serve")[1]

    def _serving(self) -> re.Match[str] | None:
        assert self.script.process.poll() is None, self.script.errors
        return SERVING.search(self.script.errors)

    def url(self, way: str, key: str = KEY) -> str:
        """Where to publish (``whip``) or play (``whep``)."""
        return f"{self.base}/{key}/{way}"


def await_pictures(key: str = KEY) -> None:
    """Wait until there is something to be played."""
    with arclyd.Subscriber(key, wait=60) as reader:
        reader.recv(timeout=60)

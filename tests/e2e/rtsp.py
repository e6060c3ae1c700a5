"""An RTSP gateway process for the tests, and players of several makes."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from arclyd.protocols.rtsp.address import Address
from arclyd.protocols.rtsp.client import Answer, ClientSession
from tests.e2e.rtmp import KEY
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from arclyd.protocols.rtsp.messages import Interleaved, Response
    from tests.daemon import Script, Spawner

SERVING = re.compile(r"serving on (rtsps?://\S+)")

PUSH = """
    import sys, time
    import av

    # Packets as they are, by PyAV's own FFmpeg, which has packers for more codecs than the system's.
    source = av.open(sys.argv[1])
    sink = av.open(sys.argv[2], "w", format="rtsp", options={"rtsp_transport": sys.argv[3], "strict": "experimental"})
    streams = {stream.index: sink.add_stream_from_template(stream, opaque=True) for stream in source.streams}
    begun = time.monotonic()
    for packet in source.demux():
        if packet.dts is not None:
            due = begun + float(packet.dts * packet.time_base) / float(sys.argv[4])
            time.sleep(max(0, due - time.monotonic()))
            packet.stream = streams[packet.stream_index]
            sink.mux(packet)
    sink.close()
    print("pushed")
"""

PLAY = """
    import hashlib, sys
    import av
    from arclyd.errors import MediaError
    from arclyd.media.codecs import av1, codec_from_name
    from arclyd.media.codecs.nal import SYNTAXES, AnnexB

    options = {"rtsp_transport": sys.argv[2], "analyzeduration": "500000", "buffer_size": "2000000"}
    with av.open(sys.argv[1], options=options, timeout=60) as source:
        print("streams", *(stream.codec_context.name for stream in source.streams), flush=True)
        readers, names = {}, {}
        for stream in source.streams:
            name = {"libdav1d": "av1", "libopus": "opus"}.get(stream.codec_context.name, stream.codec_context.name)
            names[stream.index] = name
            if name in ("h264", "hevc"):
                readers[stream.index] = AnnexB(codec_from_name(name))
        for packet in source.demux():
            if packet.size:
                data = bytes(packet)
                if packet.stream_index in readers:
                    data = readers[packet.stream_index].convert(data)
                elif names[packet.stream_index] == "av1":  # FFmpeg puts a delimiter before each
                    data = av1.join_obus(av1.split_obus(data))
                at = float(packet.pts * packet.time_base) if packet.pts is not None else -1
                print(packet.stream.type, hashlib.sha256(data).hexdigest(), int(packet.is_keyframe), at, flush=True)
"""


class RtspGateway:
    """An `arclyd listen rtsp` on a port of its own."""

    def __init__(self, spawn: Spawner, *args: object) -> None:
        self.script: Script = spawn(ARCLYD, "listen", "rtsp", "--bind", "127.0.0.1:0", *args, name="listen")
        self.base = wait_until(self._serving, what="the gateway to serve")[1]
        self.port = int(self.base.rpartition(":")[2])
        self.url = f"{self.base}/{KEY}"

    def _serving(self) -> re.Match[str] | None:
        assert self.script.process.poll() is None, self.script.errors
        return SERVING.search(self.script.errors)


class RtspClient:
    """A client of the session room over a plain socket, a request at a time."""

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        credentials = f"{user}:{password}@" if user else ""
        self.address = Address.parse(url.replace("://", f"://{credentials}", 1))
        self.session = ClientSession(self.address)
        self.socket = socket.create_connection((self.address.host, self.address.port), timeout=30)
        self.packets: list[Interleaved] = []
        self.sent = b""
        """The last request as it was sent."""

    def __enter__(self) -> RtspClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, method: str, url: str = "", *fields: tuple[str, str], body: bytes = b"") -> Response:
        self.session.ask(method, url or self.address.url, fields, body)
        while True:
            self.flush()
            for event in self.receive():
                if isinstance(event, Answer):
                    return event.response
                self.packets.append(event)

    def flush(self) -> None:
        if data := self.session.data_to_send():
            self.sent = data
            self.socket.sendall(data)

    def receive(self) -> list[Answer | Interleaved]:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the gateway closed the connection")
        return list(self.session.receive(data))

"""An encoder's session as bytes: what OBS 30 sends (its librtmp), in its order, without a line of arclyd's own RTMP.

From the public description: a plain handshake; chunks of 4096 bytes from the start; connect with an object of these
members; releaseStream, FCPublish and createStream in a row; publish; @setDataFrame; then sound's and picture's
configuration and frames, a full header first and deltas from then on; FCUnpublish and deleteStream at the end.
"""

from __future__ import annotations

import os
import socket
import struct

CHUNK = 4096
AVCC = bytes.fromhex("014d401fffe10017674d401fda014016ec0440000003004000000c83c60ca801000468ef3c80")
ASC = b"\x11\x90"


def text(value: str) -> bytes:
    return struct.pack(">H", len(value)) + value.encode()


def string(value: str) -> bytes:
    return b"\x02" + text(value)


def number(value: float) -> bytes:
    return b"\x00" + struct.pack(">d", value)


def members(**fields: bytes) -> bytes:
    return b"".join(text(name) + value for name, value in fields.items()) + b"\x00\x00\x09"


NULL = b"\x05"


class Obs:
    """One connection. ``connect`` and ``publish`` go as far as the answer; refused, the answer is raised."""

    def __init__(self, port: int, app: str = "live", key: str = "cam1", *, greet: bool = True) -> None:
        self.app, self.key = app, key
        self._port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._answers = b""
        self._times: dict[int, int] = {}
        if greet:
            self.socket.sendall(b"\x03" + struct.pack(">I", 1234) + bytes(4) + os.urandom(1528))
            s0s1s2 = self._read(1 + 1536 + 1536)
            self.socket.sendall(s0s1s2[1:1537])

    def start(self) -> Obs:
        """All up to the configurations."""
        self.connect()
        self.publish()
        self.configure()
        return self

    def connect(self) -> None:
        self.send(2, 1, struct.pack(">I", CHUNK), stream=0)
        fourccs = b"\x0a" + struct.pack(">I", 2) + string("av01") + string("hvc1")
        facts = members(
            app=string(self.app),
            type=string("nonprivate"),
            flashVer=string("FMLE/3.0 (compatible; FMSc/1.0)"),
            swfUrl=string(f"rtmp://127.0.0.1:{self._port}/{self.app}"),
            tcUrl=string(f"rtmp://127.0.0.1:{self._port}/{self.app}"),
            fourCcList=fourccs,
        )
        self.send(3, 20, string("connect") + number(1) + b"\x03" + facts, stream=0)
        self.until(b"NetConnection.Connect.Success")

    def publish(self) -> None:
        self.send(3, 20, string("releaseStream") + number(2) + NULL + string(self.key), stream=0)
        self.send(3, 20, string("FCPublish") + number(3) + NULL + string(self.key), stream=0)
        self.send(3, 20, string("createStream") + number(4) + NULL, stream=0)
        self.until(string("_result") + number(4))
        self.send(4, 20, string("publish") + number(5) + NULL + string(self.key) + string("live"))
        self.until(b"NetStream.Publish.Start" if b"onFCPublish" not in self._answers else b"is now published")

    def play(self) -> None:
        """As a player asks."""
        self.send(3, 20, string("createStream") + number(4) + NULL, stream=0)
        self.until(string("_result") + number(4))
        self.send(8, 20, string("play") + number(5) + NULL + string(self.key))
        self.until(b"NetStream.Play.Start")

    def configure(self) -> None:
        said = members(
            duration=number(0),
            fileSize=number(0),
            width=number(1280),
            height=number(720),
            videocodecid=number(7),
            videodatarate=number(2500),
            framerate=number(30),
            audiocodecid=number(10),
            audiodatarate=number(160),
            audiosamplerate=number(48000),
            audiosamplesize=number(16),
            audiochannels=number(2),
            stereo=b"\x01\x01",
            encoder=string("obs-output module (libobs version 30.0.2)"),
        )
        body = string("@setDataFrame") + string("onMetaData") + b"\x08" + struct.pack(">I", 14) + said
        self.send(4, 18, body)
        self.send(4, 8, b"\xaf\x00" + ASC)
        self.send(4, 9, b"\x17\x00\x00\x00\x00" + AVCC)

    def picture(self, time: int, payload: bytes, *, key: bool, composition: int = 0) -> None:
        self.send(4, 9, (b"\x17\x01" if key else b"\x27\x01") + struct.pack(">i", composition)[1:] + payload, time)

    def sound(self, time: int, payload: bytes) -> None:
        self.send(4, 8, b"\xaf\x01" + payload, time)

    def finish(self) -> None:
        self.send(3, 20, string("FCUnpublish") + number(6) + NULL + string(self.key), stream=0)
        self.send(3, 20, string("deleteStream") + number(7) + NULL + number(1), stream=0)
        self.socket.close()

    def send(self, chunks: int, type: int, body: bytes, time: int = 0, *, stream: int = 1) -> None:
        """One message: a header of type 0 the first time on its chunk stream, deltas (type 1) from then on."""
        head = struct.pack(">I", len(body) << 8 | type)
        if time < self._times.get(chunks, 1 << 32):
            head = bytes((chunks,)) + struct.pack(">I", time)[1:] + head + struct.pack("<I", stream)
        else:
            head = bytes((0x40 | chunks,)) + struct.pack(">I", time - self._times[chunks])[1:] + head
        self._times[chunks] = time
        # The first message sets the size of chunks, and fits into one of the size before.
        pieces = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)]
        self.socket.sendall(head + bytes((0xC0 | chunks,)).join(pieces))

    def until(self, answer: bytes) -> None:
        """Wait for an answer that has these bytes in it."""
        while answer not in self._answers:
            for refusal in (b"BadName", b"_error", b"Rejected", b"StreamNotFound", b"Play.Failed"):
                if refusal in self._answers:
                    raise PermissionError(self._answers[self._answers.index(refusal) :])
            more = self.socket.recv(65536)
            if not more:
                raise EOFError(self._answers)
            self._answers += more

    def peek(self) -> bytes:
        """What is there to be read, which is left there."""
        return self.socket.recv(65536, socket.MSG_PEEK)

    def at_end(self) -> bytes:
        """What the other side says before it closes."""
        try:
            while more := self.socket.recv(65536):
                self._answers += more
        except ConnectionResetError:
            pass
        self.socket.close()
        return self._answers

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError(data)
            data += more
        return data

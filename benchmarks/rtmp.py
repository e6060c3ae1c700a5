"""Many encoders at one RTMP gateway on one processor: its processor time, memory of a connection, what was dropped.

    python -m benchmarks.rtmp --publishers 100 --seconds 20

Each encoder sends 25 pictures (a keyframe in 50) and 47 frames of AAC a second, 2 Mb/s together, in chunks of 4,096
bytes as OBS does; all of them are one process on the other processors. A frame counts as dropped when it is not in its
ring at the end. ``--chunk 128`` is what an encoder sends that does not set a size. Then one player after the other
connects to one of the streams: from the connection to its first picture.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import socket
import subprocess
import sys
import time
from typing import Final

import arclyd
from arclyd.protocols.rtmp.address import Address
from arclyd.protocols.rtmp.chunks import ChunkWriter, Message
from arclyd.protocols.rtmp.client import ClientSession, Started
from benchmarks.harness.stage import Stage, cpu_seconds

AVCC: Final = bytes.fromhex("014d401fffe10017674d401fda014016ec0440000003004000000c83c60ca801000468ef3c80")
SOUND: Final = 320
FPS: Final = 25
SOUNDS: Final = 47
PICTURE: Final = (2_000_000 // 8 - SOUNDS * SOUND) // FPS
WARM_UP: Final = 2.0
CONFIG: Final = '[server]\nmax_publishers = 4096\n[apps.bench]\nring_bytes = "4MiB"\nslots = 1024'
"""Rings of some ten seconds: a hundred of the default size would take 3.2 GiB."""


class Encoder:
    """One connection; it says what there is to say by then."""

    def __init__(self, port: int, number: int, chunk: int) -> None:
        self.key = f"bench/rtmp{number}"
        self._socket = socket.create_connection(("127.0.0.1", port))
        session = ClientSession(Address.parse(f"rtmp://127.0.0.1:{port}/{self.key}"), publishing=True)
        self._socket.sendall(session.data_to_send())
        while not any(isinstance(event, Started) for event in session.receive(self._socket.recv(1 << 16))):
            self._socket.sendall(session.data_to_send())
        writer = ChunkWriter()
        self._socket.sendall(ChunkWriter().serialize(2, Message(1, 0, 0, chunk.to_bytes(4, "big"))))
        writer.size = chunk
        self._writer = writer
        self._send(9, 0, b"\x17\x00\x00\x00\x00" + AVCC)
        self._send(8, 0, b"\xaf\x00\x11\x90")
        self.sent = self._pictures = self._sounds = 0
        self._picture = bytes(4) + os.urandom(PICTURE)

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def due(self, seconds: float) -> None:
        """Send what is due after so many seconds."""
        while self._pictures < seconds * FPS:
            head = b"\x17\x01\x00\x00\x00" if self._pictures % (2 * FPS) == 0 else b"\x27\x01\x00\x00\x00"
            self._send(9, self._pictures * 1000 // FPS, head + self._picture)
            self._pictures += 1
        while self._sounds < seconds * SOUNDS:
            self._send(8, self._sounds * 1000 // SOUNDS, b"\xaf\x01" + bytes(SOUND))
            self._sounds += 1
        self.sent = self._pictures + self._sounds

    def drain(self) -> None:
        """Take acknowledgements."""
        self._socket.recv(1 << 16)

    def close(self) -> None:
        """Leave without a word: the stream stays for a look at it."""
        self._socket.close()

    def _send(self, kind: int, at: int, body: bytes) -> None:
        self._socket.sendall(self._writer.serialize(4 if kind == 8 else 6, Message(kind, 1, at, body)))


def send(encoders: list[Encoder], seconds: float, done: float = 0.0) -> float:
    """Have all of them send at their pace, each at its own offset, after ``done`` seconds; returns how late it was."""
    begun, count, turn = time.monotonic(), len(encoders), 0
    while (now := time.monotonic() - begun) < seconds:
        at = turn / (FPS * count)
        if at > now:
            time.sleep(at - now)
        encoders[turn % count].due(done + at)
        turn += 1
        if turn % count == 0:
            for ready in select.select(encoders, (), (), 0)[0]:
                ready.drain()
    return now - turn / (FPS * count)


def first_picture(port: int, key: str) -> float:
    """Seconds from before a player connects to its first picture, which has to be a keyframe."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        session = ClientSession(Address.parse(f"rtmp://127.0.0.1:{port}/{key}"), publishing=False)
        while True:
            connection.sendall(session.data_to_send())
            for event in session.receive(connection.recv(1 << 16)):
                if isinstance(event, Message) and event.type == 9 and event.payload[1] == 1:
                    assert event.payload[0] == 0x17
                    return time.monotonic() - begun


def arrived(stage: Stage, wanted: int) -> int:
    """Frames in all rings once they are all there, or no more come."""
    found, before = 0, -1
    with arclyd.connect(stage.socket) as control:
        while found < wanted and found != before:
            time.sleep(1)
            before, found = found, sum(stream.head for stream in control.list_streams())
    return found


def rss_kib(pid: int) -> int:
    """Resident memory that is the process's own: rings are shared."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123 -- not a file to have a path for
        found = re.search(r"RssAnon:\s+(\d+) kB", status.read())
    assert found
    return int(found[1])


def gateway(stage: Stage) -> tuple[subprocess.Popen[str], int]:
    """The gateway on the first processor, and its port."""
    command = [sys.executable, "-m", "arclyd", "listen", "rtmp", "--bind", "127.0.0.1:0", "--socket", stage.socket]
    process = subprocess.Popen([*command, "--max-connections", "4096"], stderr=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
    assert process.stderr is not None
    return process, int(process.stderr.readline().rpartition(":")[2])


def measure(publishers: int, seconds: float, chunk: int) -> None:
    """One run, printed."""
    with Stage() as stage, contextlib.ExitStack() as leaving:
        stage.daemon(CONFIG)
        process, port = gateway(stage)
        leaving.callback(process.wait)
        leaving.callback(process.terminate)
        others = os.sched_getaffinity(0) - {min(os.sched_getaffinity(0))}
        os.sched_setaffinity(0, others or os.sched_getaffinity(0))
        before = rss_kib(process.pid)
        encoders = [Encoder(port, number, chunk) for number in range(publishers)]
        send(encoders, WARM_UP)
        used, begun = cpu_seconds(process.pid), time.monotonic()
        late = send(encoders, seconds, WARM_UP)
        cpu = (cpu_seconds(process.pid) - used) / (time.monotonic() - begun)
        memory = (rss_kib(process.pid) - before) / publishers
        sent = sum(encoder.sent for encoder in encoders)
        there = arrived(stage, sent + 2 * publishers) - 2 * publishers
        waits = sorted(first_picture(port, encoders[0].key) for _ in range(21))
        for encoder in encoders:
            encoder.close()
        print(f"{publishers} publishers, {chunk}-byte chunks, {seconds:g} s: {cpu:.1%} of one processor,")
        print(f"{memory:.0f} KiB a connection, {sent - there} of {sent} frames dropped; sent {late * 1e3:.0f} ms late")
        print(f"first picture after {waits[10] * 1e3:.1f} ms, {waits[-1] * 1e3:.1f} ms at most of {len(waits)}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publishers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--chunk", type=int, default=4096)
    args = parser.parse_args()
    measure(args.publishers, args.seconds, args.chunk)


if __name__ == "__main__":
    main()

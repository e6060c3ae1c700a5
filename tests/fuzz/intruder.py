"""Hostile clients of a real daemon: ``python -m tests.fuzz.intruder SOCKET PID MESSAGES SEED``.

They send messages of the wrong shape, garbage, lengths that lie, halves of messages, single bytes, and descriptors
nobody asked for; some read what they are told, some never do, all hang up in the middle of it. What the daemon
answers must be sound and no excuse for a bug of its own; afterwards it has the memory and descriptors it had.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import sys
import time
from typing import Final

import psutil

from arclyd.control import wire
from arclyd.control.messages import GetHealth, Hello, ListStreams
from arclyd.errors import ProtocolError
from tests.fuzz import shapes
from tests.fuzz.source import Source
from tests.waiting import wait_until

GROWTH: Final = 32 << 20
"""Bytes the daemon's memory may differ by: its event log alone, full, is several megabytes."""

AT_ONCE: Final = 50
"""Requests sent before replies are read; a connection may have 64 unanswered."""

_LENGTH: Final = struct.Struct(">I")


class Hostile:
    """One connection, greeted. Counts go into ``counts``."""

    def __init__(self, path: str, dice: random.Random, counts: dict[str, int]) -> None:
        self._dice = dice
        self._counts = counts
        self._next_id = 2
        self._deframer = wire.Deframer(wire.MAX_REPLY)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(20)
        self._sock.connect(path)
        self._sock.sendall(wire.encode_request(1, Hello(1, name="intruder")))
        counts["connections"] += 1

    def close(self) -> None:
        self._sock.close()

    def talk(self) -> bool:
        """Some requests at once, right and bent, and their answers; False: the daemon hung up, as it should."""
        bodies = [self._body() for _ in range(self._dice.randrange(1, AT_ONCE))]
        self._counts["messages"] += len(bodies)
        # The last one is sound, so that there is an answer to wait for.
        last = self._next_id
        self._next_id += 1
        stream = b"".join(_LENGTH.pack(len(body)) + body for body in bodies) + wire.encode_request(last, GetHealth())
        try:
            self._send(stream)
            return self._await(last)
        except OSError:  # hung up on in the middle of it
            return False

    def misbehave(self) -> None:
        """What ends a connection: garbage, a length that lies, half a message; then it is dropped."""
        dice = self._dice
        count, garbage = dice.choice(
            (
                (1, dice.randbytes(dice.choice((1, 5, 100, 5000)))),
                (1, _LENGTH.pack(dice.choice((0, (1 << 20) + 1, 1 << 31, (1 << 32) - 1))) + dice.randbytes(200)),
                (1, wire.encode_request(3, ListStreams())[: dice.randrange(1, 20)]),
                (1, _LENGTH.pack(1 << 20) + bytes(dice.randrange(1 << 16))),
                (300, wire.encode_request(3, ListStreams()) * 300),  # and never a look at the answers
            )
        )
        self._counts["messages"] += count
        try:
            self._send(garbage)
        except OSError:
            self._counts["hung_up"] += 1

    def _body(self) -> bytes:
        """A request, bent; one in thirty of those that end their connection, so that most are looked into."""
        number, self._next_id = self._next_id, self._next_id + 1
        while True:
            body = shapes.request(Source(self._dice.randbytes(self._dice.choice((10, 60, 200)))), number)
            try:
                if wire.decode_request(body).id == number:
                    return body
            except ProtocolError:
                pass
            if self._dice.random() < 0.03:
                return body

    def _send(self, stream: bytes) -> None:
        dice = self._dice
        if dice.random() < 0.05:  # byte by byte, at first
            for byte in stream[:100]:
                self._sock.sendall(bytes((byte,)))
            stream = stream[100:]
        if dice.random() < 0.05 and stream:  # descriptors nobody asked for
            sent = socket.send_fds(self._sock, [stream[:1]], [0] * dice.choice((1, 4, 16)))
            stream = stream[sent:]
        self._sock.sendall(stream)

    def _await(self, number: int) -> bool:
        while True:
            while (body := self._deframer.next_body()) is not None:
                if self._take(body) == number:
                    return True
            data, fds, _flags, _address = socket.recv_fds(self._sock, 1 << 16, 64)
            for fd in fds:
                os.close(fd)
            if not data:
                return False
            self._deframer.receive_data(data)

    def _take(self, body: bytes) -> int:
        said = wire.decode_from_daemon(body)
        if not isinstance(said, wire.Reply | wire.Failure):
            return -1
        self._counts["answers"] += 1
        if isinstance(said, wire.Failure):
            self._counts["refusals"] += 1
            assert said.error.code != "error", f"the daemon's own fault: {said.error}"
        return said.id


def main(path: str, pid: int, messages: int, seed: int) -> dict[str, float]:
    """Send so many messages; returns counts and figures."""
    dice, daemon, start = random.Random(seed), psutil.Process(pid), time.monotonic()
    counts = dict.fromkeys(("messages", "answers", "refusals", "connections", "hung_up"), 0)
    fds, before = daemon.num_fds(), 0
    talkers = [Hostile(path, dice, counts) for _ in range(4)]
    while counts["messages"] < messages:
        place = dice.randrange(len(talkers))
        talks = dice.random() > 0.1 and talkers[place].talk()
        if not talks:
            talkers[place].misbehave()
            talkers[place].close()
            talkers[place] = Hostile(path, dice, counts)
        if not before and counts["messages"] > messages // 3:
            before = daemon.memory_info().rss
    for talker in talkers:
        talker.close()
    # Streams that were claimed here go with their grace time; their regions' descriptors with them.
    wait_until(lambda: daemon.num_fds() <= fds, timeout=30, what=f"{daemon.num_fds()} descriptors to be {fds} again")
    grown = daemon.memory_info().rss - before
    assert grown < GROWTH, f"the daemon grew by {grown} bytes"
    seconds = time.monotonic() - start
    return counts | {
        "grown_bytes": grown,
        "seconds": round(seconds, 1),
        "a_second": round(counts["messages"] / seconds),
    }


if __name__ == "__main__":
    try:
        print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))), flush=True)
    except ProtocolError as error:
        sys.exit(f"the daemon broke the protocol: {error}")

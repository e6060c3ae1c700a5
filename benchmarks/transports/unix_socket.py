"""A Unix stream socket to each subscriber, frames after a 4-byte length: what a program does without any library.

The sender makes one call a frame and subscriber, the receiver takes whatever is there into a buffer and parses it.
"""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage

LENGTH: Final = struct.Struct("<I")
BUFFER: Final = 4 << 20
"""Of sender and receiver, as far as the system allows."""


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[str]:
    """Where the publisher listens."""
    del stage, job
    yield str(folder / "frames.sock")


def publish(endpoint: str, job: Job, gate: Gate) -> None:
    """Accept every subscriber, then send each frame to each."""
    with ExitStack() as cleanup:
        listener = cleanup.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(endpoint)
        listener.listen(job.subscribers)
        peers = []
        for _ in range(job.subscribers):
            peer, _ = listener.accept()
            cleanup.enter_context(peer).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            peers.append(peer.sendall)
        message = memoryview(bytearray(LENGTH.size + job.size))
        LENGTH.pack_into(message, 0, job.size)
        payload = message[LENGTH.size :]
        for source in gate:
            payload[:] = source
            for send in peers:
                send(message)


def subscribe(endpoint: str, job: Job, index: int, check: Check) -> None:
    """Connect, as soon as there is a listener, and parse what comes."""
    del index
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        connect(sock, endpoint)
        check.attached()
        parse(sock, memoryview(bytearray(max(1 << 18, 2 * (LENGTH.size + job.size)))), check)


def connect(sock: socket.socket, path: str) -> None:
    """Connect to a listener that may not be there yet."""
    import time

    while True:
        try:
            return sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            time.sleep(0.002)


def parse(sock: socket.socket, buffer: memoryview, check: Check) -> None:
    """Hand whole frames to ``check``; what is left of one goes to the buffer's beginning."""
    head, filled, more = LENGTH.size, 0, True
    while more:
        filled += sock.recv_into(buffer[filled:])
        at = 0
        while more and filled - at >= head:
            size = LENGTH.unpack_from(buffer, at)[0]
            if filled - at < head + size:
                break
            more = check(buffer[at + head : at + head + size])
            at += head + size
        if at:
            buffer[: filled - at] = buffer[at:filled]
            filled -= at

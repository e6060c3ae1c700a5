"""Clients that misbehave: ``python -m tests.stress.resource_flood WHAT SOCKET``.

Prints "ready" once it is at it, goes on until its standard input ends, and then prints one JSON object. It is told
no secrets: what it sends any client of the daemon's user may send.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

from arclyd.control import messages as m
from arclyd.control import wire

if TYPE_CHECKING:
    from collections.abc import Callable

HELLO: Final = wire.encode_request(1, m.Hello(1))
BATCH: Final = 400


def connected(path: str, *, greet: bool = True) -> socket.socket:
    """A connection, its greeting read where it was asked for."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect(path)
    if greet:
        sock.sendall(HELLO)
        sock.recv(4096)
    return sock


def over() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def ready() -> None:
    print("ready", flush=True)


def flood(path: str, batch: bytes) -> int:
    """Send ``batch`` again and again and read what comes, as fast as both go; returns the bytes read."""
    sock = connected(path)
    sock.setblocking(False)
    ready()
    received, rest = 0, batch
    while not over():
        readable, writable, _ = select.select([sock], [sock], [], 0.1)
        if readable:
            chunk = sock.recv(1 << 20)
            assert chunk, "the daemon closed the connection"
            received += len(chunk)
        if writable:
            rest = rest[sock.send(rest) :] or batch
    return received


def requests(path: str) -> int:
    """Thousands of requests at once, of every price: the ids begin anew with each batch."""
    kinds: list[m.Request] = [m.GetVersion(), m.ListStreams(), m.GetHealth(), m.ListSubscribers(), m.GetEvents(1)]
    return flood(path, b"".join(wire.encode_request(n + 2, kinds[n % len(kinds)]) for n in range(BATCH)))


def rubbish(path: str) -> int:
    """Requests that are refused one by one."""
    asked: list[m.Request] = [m.GetInfo("no such"), m.Kick("live/none", 1), m.Publish("live/x", ()), m.End("live/none")]
    return flood(path, b"".join(wire.encode_request(n + 2, asked[n % len(asked)]) for n in range(BATCH)))


def connections(path: str) -> int:
    """Connect and go, without end; every other one without a word."""
    ready()
    count = 0
    while not over():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            try:
                sock.connect(path)
            except BlockingIOError:  # more are waiting to be accepted than the daemon lets wait
                time.sleep(0.001)  # the queue stays full; a spinning loop on top would only test the scheduler
                continue
            if count % 2:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # turned away already
                    sock.sendall(HELLO)
        count += 1
    return count


def deaf(path: str, count: int = 40) -> int:
    """Ask and never read: ``count`` clients of this kind."""
    socks = [connected(path) for _ in range(count)]
    batch = b"".join(wire.encode_request(n + 2, m.ListStreams()) for n in range(BATCH))
    sent = 0
    for sock in socks:
        sock.setblocking(False)
        try:
            sent += sock.send(batch)
        except BlockingIOError:
            continue
    ready()
    sys.stdin.read()
    return sent


def halves(path: str, count: int = 40) -> int:
    """Announce a megabyte, send nearly all of it, and stop; or stop amid the length; or before the hello."""
    socks = [connected(path) for _ in range(count)]
    for number, sock in enumerate(socks):
        if number % 2:
            sock.sendall(b"\0\x10")
            continue
        sock.sendall((1 << 20).to_bytes(4, "big") + bytes(1 << 20)[:-1])
    socks += [connected(path, greet=False) for _ in range(count)]
    ready()
    sys.stdin.read()
    ended = 0
    for sock in socks:
        sock.setblocking(False)
        try:
            ended += b"error" in sock.recv(1 << 16)
        except BlockingIOError:
            continue
    return ended


def idle(path: str, count: int = 1000) -> int:
    """Connections that say hello and nothing more."""
    socks = [connected(path) for _ in range(count)]
    ready()
    sys.stdin.read()
    return len(socks)


def followers(path: str, count: int = 40) -> int:
    """Follow the events and never read one, while one more client makes them as fast as it can."""
    socks = [connected(path) for _ in range(count)]
    for sock in socks:
        sock.sendall(wire.encode_request(2, m.GetEvents(follow=True)))
    batch = [wire.encode_request(n + 2, m.SetMetadata("live/s0", {"tags": {"n": str(n)}})) for n in range(BATCH)]
    return flood(path, b"".join(batch))


KINDS: Final[dict[str, Callable[[str], int]]] = {
    "requests": requests,
    "rubbish": rubbish,
    "connections": connections,
    "deaf": deaf,
    "halves": halves,
    "idle": idle,
    "followers": followers,
}


def main() -> None:
    what, path = sys.argv[1:3]
    print(json.dumps({"did": KINDS[what](path)}), flush=True)


if __name__ == "__main__":
    main()

"""What runs out, and who floods: each refusal is a clear error, the others go on, and afterwards all is as before.

``ARCLYD_STRESS=n`` of 10 or more looks longer, at more streams. How soon the daemon answers meanwhile is reported,
not asserted.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import arclyd
from arclyd.control import messages as m
from arclyd.control import wire
from tests.stress.resource_flood import KINDS, connected
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon import Daemon

ROOT = Path(__file__).resolve().parents[2]
FULL = float(os.environ.get("ARCLYD_STRESS", "1")) >= 10
STREAMS = 100 if FULL else 10
LOOKS = 400 if FULL else 30
GROWTH = 96 << 20
"""Bytes the daemon may take for eighty clients of the worst kind: a megabyte each, and what the allocator keeps."""

TRACKS = (arclyd.Track.video("h264", width=320, height=200),)
SMALL = {"ring_bytes": 64 << 10, "slots": 64}
pytestmark = pytest.mark.timeout(300)


def publisher(key: str, **more: object) -> arclyd.Publisher:
    return arclyd.Publisher(key, TRACKS, **{**SMALL, **more})  # type: ignore[arg-type]


@pytest.fixture
def streams(daemon: Daemon) -> Iterator[list[arclyd.Publisher]]:
    """Streams with a few frames each."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(publisher(f"live/s{n}")) for n in range(STREAMS)]
        for one in opened:
            publish(one, 12)
        yield opened


def publish(pub: arclyd.Publisher, count: int = 1) -> None:
    for n in range(count):
        pub.publish(0, b"x" * 100, pts=n * 3600, keyframe=n % 5 == 0)


def flows(pub: arclyd.Publisher, sub: arclyd.Subscriber) -> bool:
    """A frame published now comes out at the reader, and none was lost."""
    pub.publish(0, b"now", pts=0, keyframe=True)
    frame = sub.recv(timeout=20)
    while frame.tobytes() != b"now":
        frame = sub.recv(timeout=20)
    return sub.dropped == 0


def descriptors(daemon: Daemon) -> int:
    return psutil.Process(daemon.pid).num_fds()


def memory(daemon: Daemon) -> int:
    """Bytes of the daemon's own memory: what it shares are the regions."""
    info = psutil.Process(daemon.pid).memory_info()
    return int(info.rss - info.shared)


@contextlib.contextmanager
def flooding(daemon: Daemon, what: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.stress.resource_flood", what, daemon.socket]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=daemon.env) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def finished(process: subprocess.Popen[str]) -> int:
    """Tell a flood to end; what it counted."""
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    did: int = json.loads(output)["did"]
    return did


def looks(daemon: Daemon) -> list[float]:
    """Seconds that ``list`` took, over a new connection every time, as arclyctl asks."""
    taken = []
    for _ in range(LOOKS):
        began = time.monotonic()
        with arclyd.connect(daemon.socket) as control:
            assert len(control.list_streams()) == STREAMS
        taken.append(time.monotonic() - began)
    return taken


@pytest.mark.parametrize("what", KINDS)
def test_the_daemon_answers_during_a_flood_and_is_as_before_after_it(
    daemon: Daemon, streams: list[arclyd.Publisher], what: str
) -> None:
    with arclyd.Subscriber("live/s1") as reader:
        quiet, files, before = statistics.median(looks(daemon)), descriptors(daemon), memory(daemon)
        with flooding(daemon, what) as process:
            taken = looks(daemon)
            grown = memory(daemon) - before
            assert flows(streams[1], reader)
            ls = [sys.executable, "-m", "arclyctl", "ls"]
            shown = subprocess.run(ls, env=daemon.env, cwd=ROOT, capture_output=True, text=True, check=False)
            assert (shown.returncode, shown.stderr) == (0, "")
            assert "live/s0" in shown.stdout
            with publisher("live/more") as more, arclyd.Subscriber("live/more") as one:
                assert flows(more, one)
            did = finished(process)
        wait_until(lambda: descriptors(daemon) <= files, what="the flood's connections to be closed")
        assert grown < GROWTH
        assert memory(daemon) - before < GROWTH
        assert flows(streams[1], reader)
        assert "Traceback" not in daemon.log
        print(
            f"\n{what}: list of {STREAMS} streams: median {statistics.median(taken) * 1e3:.1f} ms, worst "
            f"{max(taken) * 1e3:.0f} ms (quiet: {quiet * 1e3:.1f} ms); {grown / (1 << 20):.1f} MiB more; did {did}"
        )


def test_requests_sent_all_at_once_are_all_answered(daemon: Daemon, streams: list[arclyd.Publisher]) -> None:
    """More than one turn's worth and more than fits the queue, to a peer that reads as fast as it comes."""
    with contextlib.closing(connected(daemon.socket)) as sock:
        sock.sendall(b"".join(wire.encode_request(n + 2, m.ListStreams()) for n in range(500)))
        deframer = wire.Deframer(wire.MAX_REPLY)
        answered = []
        while len(answered) < 500:
            deframer.receive_data(sock.recv(1 << 20))
            while (body := deframer.next_body()) is not None:
                said = wire.decode_from_daemon(body)
                assert isinstance(said, wire.Reply)
                answered.append(said.id)
    assert answered == list(range(2, 502))

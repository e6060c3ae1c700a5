"""What runs out, and who floods: each refusal is a clear error, the others go on, and afterwards all is as before.

``ARCLYD_STRESS=n`` of 10 or more looks longer, at more streams. How soon the daemon answers meanwhile is reported,
not asserted.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import arclyd
from arclyd.client.exchange import Exchange, close_all
from arclyd.control import messages as m
from arclyd.control import wire
from arclyd.control.reports import Health
from arclyd.ring.region import RegionSpec
from tests.stress.resource_daemon import SmallMemoryDaemon, can_mount
from tests.stress.resource_flood import KINDS, connected
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon import Daemon

ROOT = Path(__file__).resolve().parents[2]
FULL = float(os.environ.get("ARCLYD_STRESS", "1")) >= 10
STREAMS = 100 if FULL else 10
LOOKS = 400 if FULL else 20
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


# ------------------------------------------------------------------------- memory


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallMemoryDaemon]:
    """A daemon with 4 MiB of shared memory, the default one of this process."""
    if not can_mount():
        pytest.skip("only root may mount a small /dev/shm")
    folder = tmp_path / "small"
    folder.mkdir()
    daemon = SmallMemoryDaemon(folder, "")
    daemon.start_small(4 << 20, monkeypatch)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    yield daemon
    daemon.clean()


def test_a_full_shared_memory_refuses_the_next_stream_and_harms_no_other(small: SmallMemoryDaemon) -> None:
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(publisher("live/first"))
        reader = stack.enter_context(arclyd.Subscriber("live/first", start="live"))
        opened = [first]
        stack.callback(lambda: [one.close() for one in opened])
        with pytest.raises(arclyd.NoSpace) as refused:
            while True:
                opened.append(publisher(f"live/n{len(opened)}"))
        assert refused.value.needed > refused.value.available
        assert "remount,size" in str(refused.value)
        assert "ring_bytes" in str(refused.value)
        assert len(opened) > 1
        # Filled to the last byte by somebody else, besides; every page of a region was reserved when it was made.
        fill(small.shared_memory / "filler")
        for n in range(SMALL["slots"] * 4):
            first.publish(0, bytes([n % 256]) * 4000, pts=n, keyframe=True)
            assert reader.recv(timeout=20).tobytes() == bytes([n % 256]) * 4000
        assert reader.dropped == 0
        with arclyd.connect() as control:
            assert len(control.list_streams()) == len(opened)
            assert control.health().status == "unhealthy"
        left = sorted(path.name for path in small.shared_memory.iterdir())
        assert not [name for name in left if name.endswith(".new")]
        assert len(left) == len(opened) + 1
        with pytest.raises(arclyd.NoSpace):
            publisher("live/again")
        (small.shared_memory / "filler").unlink()
        opened.pop().close()
        gc.collect()  # memory is free when its last mapping is gone, and this process has one
        with publisher("live/again") as again, arclyd.Subscriber("live/again") as sub:
            assert flows(again, sub)
        assert flows(first, reader)
    assert "Traceback" not in small.log


def fill(path: Path) -> None:
    """Take all the room that is left."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_full_memory_budget_refuses_and_holds_over_a_restart(
    start_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = RegionSpec(**SMALL).size
    daemon = start_daemon(f"[server]\nmemory_budget = {3 * size}")
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(publisher(f"live/s{n}")) for n in range(3)]
        reader = stack.enter_context(arclyd.Subscriber("live/s0"))
        for restarted in (False, True):
            if restarted:
                daemon.restart()
            with pytest.raises(arclyd.MemoryBudget) as refused:
                publisher("live/more")
            assert (refused.value.needed, refused.value.used, refused.value.budget) == (size, 3 * size, 3 * size)
            assert "memory_budget" in str(refused.value)
            assert flows(opened[0], reader)
        opened[2].close()
        wait_until(lambda: len(daemon.regions()) == 2, what="the ended stream's region to go")
        with publisher("live/more"), pytest.raises(arclyd.MemoryBudget):
            publisher("live/evenmore")


# --------------------------------------------------------- descriptors, connections


def test_a_daemon_out_of_descriptors_says_so_and_its_streams_go_on(
    daemon: Daemon, streams: list[arclyd.Publisher]
) -> None:
    with arclyd.Subscriber("live/s1") as reader, contextlib.ExitStack() as held:
        before = descriptors(daemon)
        limit = before + 40
        _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, hard))
        ask = held.enter_context(arclyd.connect())
        with pytest.raises(arclyd.DescriptorLimit) as refused:
            while True:
                held.enter_context(arclyd.connect())
        assert str(limit) in str(refused.value)
        assert "LimitNOFILE" in str(refused.value)
        for attempt in (publisher, arclyd.Subscriber):
            with pytest.raises(arclyd.DescriptorLimit):
                attempt("live/s1")
        assert flows(streams[1], reader)
        assert len(ask.list_streams()) == STREAMS
        assert {check.name: check.status for check in ask.health().checks}["descriptors"] == "unhealthy"
        held.close()
        with publisher("live/more") as more, arclyd.Subscriber("live/more") as sub:
            assert flows(more, sub)
    wait_until(lambda: descriptors(daemon) <= before, what="the descriptors to be given back")
    assert "Traceback" not in daemon.log


def test_claims_that_find_no_descriptor_are_refused_and_leave_nothing(
    daemon: Daemon, streams: list[arclyd.Publisher]
) -> None:
    """Connections were there before; then there is not one descriptor left for a region or to hand one over."""
    with arclyd.Subscriber("live/s1") as reader, contextlib.ExitStack() as held:
        asking = [held.enter_context(Exchange(daemon.socket)) for _ in range(4)]
        _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        for spare in range(4):
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (descriptors(daemon) + spare, hard))
            track = m.TrackSpec("video", 0, (1, 90000), 640, 360)
            refused = [
                refusal(asking[spare], m.Publish(f"live/new{spare}", (track,), **SMALL)),
                refusal(asking[spare], m.Subscribe("live/s1")),
            ]
            assert spare or all(refused)
            assert all(why is None or "open files" in why or "files open" in why for why in refused)
            assert asking[spare].ask(m.GetHealth(), Health).status == "unhealthy"
            assert flows(streams[1], reader)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (hard, hard))
        held.close()
        with arclyd.connect() as control:
            wait_until(lambda: len(control.list_streams()) == STREAMS, what="the half-made streams to go")
            wait_until(lambda: control.info("live/s1").subscribers == 1, what="the half-made seats to go")
    assert len(daemon.regions()) == STREAMS
    assert "Traceback" not in daemon.log


def refusal(exchange: Exchange, request: m.Request) -> str | None:
    """What the request is refused with; None: it was granted."""
    try:
        close_all(exchange.ask_fds(request).fds)
    except arclyd.RequestRefused as refused:
        return str(refused)
    return None


def test_a_full_house_turns_away_and_keeps_its_guests_over_a_restart(
    start_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_daemon("[server]\nmax_connections = 9")
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    with contextlib.ExitStack() as guests:
        pub = guests.enter_context(publisher("live/a"))
        readers = [guests.enter_context(arclyd.Subscriber("live/a")) for _ in range(8)]
        for restarted in (False, True):
            if restarted:
                daemon.kill()
                daemon.start()
                wait_until(lambda: pub.publish(0, b"x", pts=0, keyframe=True) == 8, what="the guests to be back")
            wait_until(is_full, what="the house to be full")
            for attempt in (publisher, arclyd.Subscriber):
                with pytest.raises(arclyd.ConnectionLimit, match="max_connections"):
                    attempt("live/a")
            assert all(flows(pub, reader) for reader in readers)
        readers[0].close()
        with arclyd.connect() as control:
            wait_until(lambda: control.info("live/a").subscribers == 7, what="the count to be right")
        assert all(reader.end_reason is None for reader in readers[1:])


def is_full() -> bool:
    try:
        arclyd.connect().close()
    except arclyd.ConnectionLimit:
        return True
    return False


@pytest.mark.parametrize(("what", "count"), [("halves", 80), ("deaf", 40)])
def test_who_keeps_the_daemon_waiting_is_cut_off(
    daemon: Daemon, streams: list[arclyd.Publisher], what: str, count: int
) -> None:
    before = descriptors(daemon)
    with flooding(daemon, what) as process:
        wait_until(lambda: descriptors(daemon) <= before, timeout=100, what="all of them to be cut off")
        assert len(looks(daemon)) == LOOKS
        assert finished(process) >= (count if what == "halves" else 0)

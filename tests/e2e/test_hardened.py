"""Sealed regions: they work as named ones do, and what is offered as one is looked at before it is believed."""

from __future__ import annotations

import array
import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import arclyd
from arclyd.client.exchange import Exchange
from arclyd.control import messages as m
from arclyd.control import wire
from arclyd.control.connection import Answer, ClientConnection, Refusal
from arclyd.control.wire import Deframer
from arclyd.errors import ProtocolError, RegionCorrupt
from arclyd.ring import region
from tests.daemon import Spawner
from tests.e2e.reading import READER, WRITER, dense, seen
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.daemon import Daemon

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = "live/cam1"
OLDEST = json.dumps({"start": "oldest"})
VIDEO = [arclyd.Track.video("h264", width=320, height=200)]
SPECS = (m.TrackSpec("video", 0, (1, 90000)),)
HARDENED = '[apps."*"]\nhardened = true\nring_bytes = "1MiB"\nslots = 512\n'


@pytest.fixture
def hardened(start_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = start_daemon(HARDENED)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    return daemon


@pytest.fixture
def run(hardened: Daemon, tmp_path: Path) -> Iterator[Spawner]:
    spawner = Spawner(tmp_path, hardened.env)
    yield spawner
    spawner.reap()


def descriptors(daemon: Daemon) -> int:
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def settings(daemon: Daemon, text: str) -> None:
    before = daemon.log.count("reloaded")
    daemon.config.write_text(text)
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: daemon.log.count("reloaded") > before, what="the reload")


def test_the_end_of_a_hardened_stream_gives_everything_back(hardened: Daemon) -> None:
    before = descriptors(hardened)
    with arclyd.Publisher(KEY, VIDEO) as pub, arclyd.Subscriber(KEY, start="oldest") as sub:
        own = len(os.listdir("/proc/self/fd"))
        pub.publish(0, b"x", pts=0, keyframe=True)
        assert sub.recv(timeout=20).tobytes() == b"x"
        assert hardened.regions() == []
        pub.end()
        assert list(sub) == []
        assert sub.end_reason == "ended"
    wait_until(lambda: len(os.listdir("/proc/self/fd")) < own, what="the copies of the descriptor to be closed")
    wait_until(lambda: descriptors(hardened) <= before, what="the daemon's descriptors")


def test_the_memory_budget_counts_hardened_streams_also_after_a_restart(hardened: Daemon) -> None:
    size = region.RegionSpec(1 << 20, 512).size
    settings(hardened, f"[server]\nmemory_budget = {size * 3 // 2}\n{HARDENED}")
    with arclyd.Publisher(KEY, VIDEO):
        with pytest.raises(arclyd.MemoryBudget) as refused:
            arclyd.Publisher("live/other", VIDEO)
        assert (refused.value.used, refused.value.needed) == (size, size)
        hardened.restart()
        with arclyd.connect() as control:
            wait_until(control.list_streams, what="the publisher to be back")
            (app,) = control.apps()
            assert (app.region_bytes, app.settings["hardened"]) == (size, True)
            with pytest.raises(arclyd.MemoryBudget):
                arclyd.Publisher("live/other", VIDEO)


def test_tools_show_a_hardened_stream_and_find_nothing_wrong_with_it(hardened: Daemon) -> None:
    def ctl(*args: str) -> Any:
        command = [sys.executable, "-c", "from arclyctl.cli import main; main()", "--json", *args]
        run = subprocess.run(command, env=hardened.env, capture_output=True, text=True, check=False)
        return json.loads(run.stdout)

    with arclyd.Publisher(KEY, VIDEO) as pub:
        pub.publish(0, b"x", pts=0, keyframe=True)
        (stream,) = ctl("ls")["streams"]
        assert (stream["key"], stream["region"][:13], stream["head"]) == (KEY, "memfd:arclyd.", 1)
        assert ctl("info", KEY)["region_bytes"] == stream["region_bytes"] == region.RegionSpec(1 << 20, 512).size
        findings = {finding["name"]: finding for finding in ctl("doctor")["findings"]}
        assert "1 of this daemon besides, sealed" in findings["regions"]["detail"]
        mine = [f for f in findings.values() if hardened.instance in f["detail"] and f["status"] != "ok"]
        assert mine == []


def test_more_than_there_is_memory_is_refused_not_tried(hardened: Daemon) -> None:
    with pytest.raises(arclyd.NoSpace) as refused:
        arclyd.Publisher(KEY, VIDEO, ring_bytes=1 << 38)
    assert refused.value.where == "memory"
    assert 0 < refused.value.available < refused.value.needed


def test_publisher_and_daemon_die_together(hardened: Daemon, run: Spawner) -> None:
    writer = run(WRITER, KEY)
    writer.await_line("publishing")
    reader = run(READER, KEY, OLDEST)
    reader.await_line("attached")
    wait_until(lambda: seen(reader), what="frames")
    hardened.kill()
    writer.kill()
    hardened.start()
    assert reader.finish()[-1] == "end publisher_gone 0"
    assert dense([frame.seq for frame in seen(reader)])


def test_a_reader_does_not_take_the_keys_next_stream_for_its_own(hardened: Daemon, run: Spawner) -> None:
    writer = run(WRITER, KEY)
    writer.await_line("publishing")
    reader = run(READER, KEY, OLDEST)
    reader.await_line("attached")
    wait_until(lambda: len(seen(reader)) > 20, what="frames")
    hardened.kill()
    writer.kill()
    reader.signal(signal.SIGSTOP)
    hardened.start()
    with arclyd.Publisher(KEY, VIDEO) as pub:
        pub.publish(0, b"of another stream", pts=0, keyframe=True)
        reader.signal(signal.SIGCONT)
        assert reader.finish()[-1] == "end publisher_gone 0"


def test_a_fork_of_the_publisher_keeps_nothing_of_the_region(hardened: Daemon, run: Spawner) -> None:
    parent = run(
        """
        import os, sys
        import arclyd

        pub = arclyd.Publisher(sys.argv[1], [arclyd.Track.video("h264")])
        child = os.fork()
        if not child:
            memory = [fd for fd in os.listdir("/proc/self/fd") if "memfd" in os.path.realpath(f"/proc/self/fd/{fd}")]
            print("child", memory)
        sys.stdin.readline()
        """,
        KEY,
    )
    assert parent.await_line("child") == "child []"
    parent.process.kill()
    with arclyd.connect() as control:
        wait_until(lambda: "interrupted" in control.info(KEY).state, what="the lock to be free")
    with arclyd.Publisher(KEY, VIDEO) as pub:
        assert pub.epoch == 2


@pytest.mark.parametrize("first", ["true", "false"])
def test_a_change_of_the_setting_holds_for_the_next_claim(hardened: Daemon, first: str) -> None:
    settings(hardened, HARDENED.replace("true", first))
    pub = arclyd.Publisher(KEY, VIDEO)
    with arclyd.Subscriber(KEY, start="oldest") as sub, arclyd.connect() as control:
        pub.publish(0, b"a", pts=0, keyframe=True)
        was = control.info(KEY).region.startswith("memfd:")
        settings(hardened, HARDENED.replace("true", "false" if first == "true" else "true"))
        with arclyd.Publisher(KEY, VIDEO, on_taken="replace") as new:
            new.publish(0, b"b", pts=1, keyframe=True)
            assert control.info(KEY).region.startswith("memfd:") != was
            assert len(hardened.regions()) == int(was)
        assert [(frame.seq, frame.tobytes()) for frame in sub] == [(0, b"a"), (1, b"b")]
        pub.close()


# --------------------------------------------------- what is offered as a region


def offer(daemon: Daemon, request: m.Request, *fds: int, told: int | None = None) -> Answer | Refusal:
    """Send ``request`` with ``fds``, saying that there are ``told`` of them; the daemon's word on it."""
    connection, deframer = ClientConnection(), Deframer(1 << 20)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(daemon.socket)
        sock.sendall(connection.data_to_send())
        number = connection.send_request(request)
        connection.data_to_send()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sock.sendmsg([wire.encode_request(number, request, len(fds) if told is None else told)], rights)
        while data := sock.recv(1 << 16):
            connection.receive_data(data)
            while (event := connection.next_event()) is not None:
                if isinstance(event, Answer | Refusal):
                    return event
    raise AssertionError(f"closed without a word: {deframer.pending}")


def resume(region_id: str = "00" * 16) -> m.Publish:
    return m.Publish(KEY, SPECS, resume=region_id)


def sealed(name: str, *, seals: int = 7, mode: int = 0o600, owner: int = 0, size: int = 1 << 16) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    os.fchmod(fd, mode)
    os.fchown(fd, owner, -1)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def test_what_is_no_region_of_this_daemon_is_refused(hardened: Daemon, tmp_path: Path) -> None:
    mine, other = f"arclyd.{hardened.instance}.live@cam1.00000000", "arclyd.00000000.live@cam1.00000000"
    (tmp_path / "file").write_bytes(b"\0" * 70000)
    fake, strange = region.create_sealed(hardened.instance, KEY, region.RegionSpec(1 << 16, 64)), "of another key"
    wrong = region.create_sealed(hardened.instance, "live/else", region.RegionSpec(1 << 16, 64))
    offers = {
        "not sealed": [os.open(tmp_path / "file", os.O_RDWR), os.open("/dev/null", os.O_RDWR), *os.pipe()],
        "not sealed shared memory": [sealed(mine, seals=fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)],
        "uid 40003": [sealed(mine, owner=40003)],
        "others may open it": [sealed(mine, mode=0o666)],
        strange: [sealed(other), sealed("x"), wrong[1]],
        "magic": [sealed(mine)],
        "a reader's": [region.reopen(fake[1], os.O_RDONLY)],
        "another one": [os.dup(fake[1])],
    }
    before = descriptors(hardened)
    for why, fds in offers.items():
        for fd in fds:
            answer = offer(hardened, resume(), fd)
            os.close(fd)
            assert isinstance(answer, Refusal)
            assert isinstance(answer.error, RegionCorrupt), answer.error
            assert why in str(answer.error)
    answer = offer(hardened, resume(fake[0].region_id), fake[1])
    os.close(fake[1])
    assert isinstance(answer, Refusal)
    assert "nobody writes" in str(answer.error)
    with arclyd.connect() as control:
        assert not control.list_streams()
    wait_until(lambda: descriptors(hardened) <= before, what="the descriptors to be closed")


@pytest.mark.parametrize(("sent", "told"), [(1, 0), (4, 0), (0, 1), (1, 2), (2, 1), (250, 1)])
def test_descriptors_that_do_not_add_up_end_the_connection(hardened: Daemon, sent: int, told: int) -> None:
    with arclyd.connect() as control:
        control.version()
    before = descriptors(hardened)
    with open("/dev/null") as null:
        answer = offer(hardened, m.GetVersion(), *[null.fileno()] * sent, told=told)
    # A request that is whole is answered; what is left over ends the connection after it.
    assert isinstance(answer, Answer) or isinstance(answer.error, ProtocolError)
    wait_until(lambda: descriptors(hardened) <= before, what="the descriptors to be closed")
    assert "Traceback" not in hardened.log


def test_a_client_can_not_make_the_daemon_hold_descriptors(hardened: Daemon) -> None:
    before = descriptors(hardened)
    connection = ClientConnection()
    with socket.socket(socket.AF_UNIX) as sock, open("/dev/null") as null:
        sock.settimeout(20)
        sock.connect(hardened.socket)
        sock.sendall(connection.data_to_send())
        with contextlib.suppress(BrokenPipeError):
            for number in range(2, 50):
                request = wire.encode_request(number, m.GetVersion())
                socket.send_fds(sock, [request], [null.fileno()] * 4)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(1 << 16):  # its end, although this side stays open
                pass
        wait_until(lambda: descriptors(hardened) <= before, what="the descriptors to be closed")


def test_a_descriptor_with_any_other_request_is_closed(hardened: Daemon) -> None:
    before = descriptors(hardened)
    with open("/dev/null") as null, Exchange(hardened.socket) as exchange:
        for request in (m.GetVersion(), m.ListStreams(), m.GetInfo("live/none"), resume()):
            assert offer(hardened, request, null.fileno()).id == 2
        assert exchange.ask(m.ListStreams(), m.StreamList).streams == ()
    wait_until(lambda: descriptors(hardened) <= before, what="the descriptors to be closed")

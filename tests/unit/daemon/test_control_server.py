"""`arclyd serve` as a process of its own, spoken to over its socket: well, badly, and not at all."""

from __future__ import annotations

import mmap
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgpack
import pytest

from arclyd.client.exchange import Exchange
from arclyd.control import messages as m
from arclyd.control import wire
from arclyd.control.reports import Health, Metadata, StreamInfo, Version
from arclyd.errors import (
    AlreadyPublishing,
    ConnectionLimit,
    DaemonUnavailable,
    InvalidKey,
    ProtocolError,
    RequestRefused,
    StreamNotFound,
)
from arclyd.ring import _ring, region
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon import Daemon

T = TypeVar("T")
TRACKS = (m.TrackSpec("video", 0, (1, 90000), 640, 360),)
RING = (0, 0, (1, 90000), 640, 360, 0, 0)


class Publisher:
    """A publisher by hand: what the protocol asks of one, step by step."""

    def __init__(self, daemon: Daemon, key: str = "live/a", **more: object) -> None:
        self.key = key
        self.exchange = Exchange(daemon.socket, name="by hand", timeout=20)
        request = m.Publish(key, TRACKS, ring_bytes=1 << 20, slots=64, **more)  # type: ignore[arg-type]
        try:
            answer = self.exchange.ask_fds(request)
        except BaseException:
            self.exchange.close()
            raise
        grant = answer.value
        assert isinstance(grant, m.PublishGrant)
        self.lock_fd, map_fd = answer.fds
        assert region.lock(self.lock_fd)
        self.region = _ring.Region(map_fd, writable=True)
        os.close(map_fd)
        self.writer = _ring.Writer(self.region, [RING])
        assert self.writer.epoch == grant.epoch
        self.grant = grant
        self.exchange.ask(m.Publishing(key, grant.region_id, grant.epoch), m.Ok)

    def publish(self, count: int = 1) -> None:
        for n in range(count):
            self.writer.publish(0, b"x" * 100, pts=n * 3600, keyframe=n % 5 == 0)

    def die(self) -> None:
        """As a killed process: connection and lock gone, no word."""
        self.exchange.close()
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    close = die


def ask(daemon: Daemon, request: m.Request, reply: type[T]) -> T:
    with Exchange(daemon.socket) as exchange:
        return exchange.ask(request, reply)


def raw(daemon: Daemon) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(daemon.socket)
    return sock


def said(sock: socket.socket) -> list[object]:
    """All messages until the daemon closes the connection."""
    data = b""
    while chunk := sock.recv(65536):
        data += chunk
    deframer = wire.Deframer(wire.MAX_REPLY)
    deframer.receive_data(data)
    found: list[object] = []
    while (one := deframer.next_body()) is not None:
        found.append(wire.decode_from_daemon(one))
    return found


def lives(daemon: Daemon) -> bool:
    return ask(daemon, m.GetVersion(), Version).pid == daemon.pid


def test_a_publisher_and_a_subscriber_meet_in_one_region(daemon: Daemon) -> None:
    with closing(Publisher(daemon)) as publisher, Exchange(daemon.socket) as exchange:
        publisher.publish(3)
        answer = exchange.ask_fds(m.Subscribe("live/a"))
        (fd,) = answer.fds
        with pytest.raises(OSError, match="denied"):
            mmap.mmap(fd, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        read = _ring.Region(fd)
        os.close(fd)
        frame = read.frame(1)
        assert frame is not None
        assert frame.tobytes() == b"x" * 100
        assert read.subscribers == 1
        info = ask(daemon, m.GetInfo("live/a"), StreamInfo)
        assert (info.head, info.subscribers, info.state, info.epoch) == (3, 1, ("publishing",), 1)
        assert info.publisher is not None
        assert (info.publisher.pid, info.publisher.name) == (os.getpid(), "by hand")
        (seat,) = ask(daemon, m.ListSubscribers("live/a"), m.SubscriberList).subscribers
        assert (seat.pid, seat.dropped) == (os.getpid(), 0)


def test_ending_closes_the_region_and_takes_its_name_away(daemon: Daemon) -> None:
    with closing(Publisher(daemon)) as publisher:
        assert len(daemon.regions()) == 1
        publisher.writer.end()
        publisher.exchange.ask(m.EndPublish("live/a"), m.Ok)
        publisher.exchange.ask(m.EndPublish("live/a"), m.Ok)
        assert publisher.region.closed == _ring.CLOSED_ENDED
        assert daemon.regions() == []
        with pytest.raises(StreamNotFound):
            ask(daemon, m.GetInfo("live/a"), StreamInfo)


def test_a_dead_publisher_leaves_its_stream_for_the_grace_time(start_daemon: Callable[[str], Daemon]) -> None:
    daemon = start_daemon('[apps."*"]\ngrace = 0.5')
    publisher = Publisher(daemon)
    publisher.publish(2)
    publisher.die()
    wait_until(lambda: publisher.region.closed == _ring.CLOSED_PUBLISHER_GONE, what="the grace time to end")
    wait_until(lambda: daemon.regions() == [], what="the region to go")
    kinds = [event.kind for event in ask(daemon, m.GetEvents(1), m.EventList).events]
    assert kinds == ["publish_started", "publish_interrupted", "publish_ended"]


def test_a_re_claim_goes_on_in_the_same_region(daemon: Daemon) -> None:
    first = Publisher(daemon)
    first.publish(5)
    first.die()
    wait_until(lambda: "interrupted" in ask(daemon, m.GetInfo("live/a"), StreamInfo).state, what="the interruption")
    with closing(Publisher(daemon)) as second:
        second.publish(1)
        assert (second.grant.region_id, second.grant.epoch, second.region.head) == (first.grant.region_id, 2, 6)


def test_replace_waits_for_the_old_writer_without_holding_up_anybody(daemon: Daemon) -> None:
    with closing(Publisher(daemon)) as old, Exchange(daemon.socket, timeout=20) as claimant:
        old.publish(3)
        claimant._connection.send_request(m.Publish("live/a", TRACKS, 1 << 20, 64, "replace"))
        claimant._flush()
        wait_until(lambda: old.exchange._read(None) or old.exchange._connection.next_event(), what="the order")
        assert lives(daemon)
        with pytest.raises(Exception, match="took"):
            old.publish(1)
        os.close(old.lock_fd)
        old.lock_fd = -1
        answers = iter(claimant._incoming(None))
        grant = next(answers)
        assert getattr(grant, "value", None) == m.PublishGrant(old.grant.region_id, 2)
        for fd in getattr(grant, "fds", ()):
            os.close(fd)


def test_replacing_a_publisher_that_never_lets_go_gets_a_new_region(daemon: Daemon) -> None:
    with closing(Publisher(daemon)) as old:
        old.publish(3)
        with closing(Publisher(daemon, on_taken="replace")) as new:
            assert new.grant.region_id != old.grant.region_id
            assert old.region.closed == _ring.CLOSED_SUPERSEDED
            assert new.region.base_seq == 4
        assert len(daemon.regions()) == 1


def test_a_second_claim_is_refused_and_noted(daemon: Daemon) -> None:
    with closing(Publisher(daemon)):
        with pytest.raises(AlreadyPublishing) as refused:
            Publisher(daemon)
        assert refused.value.pid == os.getpid()
    events = ask(daemon, m.GetEvents(1), m.EventList).events
    assert [event.facts["code"] for event in events if event.kind == "refused"] == ["already_publishing"]


@pytest.mark.parametrize("key", ["../x", "a", "a/b/c", "", "a/ b", "x" * 300])
def test_no_request_takes_a_key_that_is_none(daemon: Daemon, key: str) -> None:
    requests: list[m.Request] = [m.Publish(key, TRACKS), m.Subscribe(key), m.GetInfo(key), m.End(key), m.Kick(key, 0)]
    requests += [m.GetQos(key), m.GetGopIndex(key), m.GetMetadata(key), m.RequestKeyframe(key), m.EndPublish(key)]
    requests += [m.SetActivity(key, "recording", True), m.SetMetadata(key, {}), m.ListSubscribers(key)]
    with Exchange(daemon.socket) as exchange:
        for request in requests:
            with pytest.raises(InvalidKey):
                exchange.ask(request, m.Ok)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff" + b"x" * 100,
        b"\0\0\0\x04abcd",
        struct.pack(">I", 200) + b"\x91" * 200,
        struct.pack(">I", 5) + b"\xdf\xff\xff\xff\xff",
        wire.encode_request(1, m.GetHealth()),
        wire.encode_request(1, m.Hello(99)),
        wire.encode_request(1, m.Hello(1)) + struct.pack(">I", (1 << 20) + 1),
        wire.encode_request(1, m.Hello(1)) + struct.pack(">I", 1) + b"\x90",
    ],
)
def test_garbage_is_answered_and_ends_its_connection_alone(daemon: Daemon, garbage: bytes) -> None:
    with Exchange(daemon.socket) as bystander, closing(raw(daemon)) as sock:
        sock.sendall(garbage)
        last = said(sock)[-1]
        assert isinstance(last, wire.Failure)
        assert (last.id, type(last.error)) == (0, ProtocolError)
        assert bystander.ask(m.GetVersion(), Version).pid == daemon.pid


def test_an_unknown_request_is_refused_and_the_connection_goes_on(daemon: Daemon) -> None:
    with closing(raw(daemon)) as sock:
        sock.sendall(wire.encode_request(1, m.Hello(1)))
        for number, args in ((2, {}), (3, {"key": 5})):
            bad = msgpack.packb({"id": number, "op": "info", "args": args})
            sock.sendall(struct.pack(">I", len(bad)) + bad)
        sock.sendall(wire.encode_request(4, m.GetVersion()))
        sock.shutdown(socket.SHUT_WR)
        replies = said(sock)
    assert [type(one) for one in replies] == [wire.Reply, wire.Failure, wire.Failure, wire.Reply]


def test_half_a_message_and_a_peer_that_never_reads_harm_nobody(daemon: Daemon) -> None:
    with closing(raw(daemon)) as half, closing(raw(daemon)) as deaf:
        half.sendall(wire.encode_request(1, m.Hello(1)) + struct.pack(">I", 1 << 20) + b"x" * 1000)
        deaf.sendall(wire.encode_request(1, m.Hello(1)))
        deaf.setblocking(False)
        asked = stalled = 0
        while stalled < 10:  # full, and still full after the daemon has had ten turns at it
            try:
                deaf.send(wire.encode_request(asked + 2, m.GetHealth()))
                asked, stalled = asked + 1, 0
            except BlockingIOError:
                stalled += 1
                assert lives(daemon)
            assert asked < 20_000, "the daemon reads on without end from a peer that does not read"
        with closing(Publisher(daemon)) as publisher:
            publisher.publish(3)
    wait_until(lambda: lives(daemon), what="the daemon to answer still")


def test_a_follower_that_does_not_read_is_told_how_many_it_missed(daemon: Daemon) -> None:
    with Exchange(daemon.socket, timeout=20) as slow, Exchange(daemon.socket) as busy, closing(Publisher(daemon)):
        slow.ask(m.GetEvents(follow=True), m.EventList)
        for n in range(6000):
            busy.ask(m.SetMetadata("live/a", {"tags": {"n": str(n), "long": "x" * 900}}), Metadata)
        last = ask(daemon, m.GetEvents(), m.EventList).next_seq - 1
        missed, seen, previous = 0, 0, None
        while previous != last:
            event = slow.next_event(5)
            if event is None:  # a dropped tail is told with the next event
                busy.ask(m.SetMetadata("live/a", {"tags": {"n": "end"}}), Metadata)
                last = ask(daemon, m.GetEvents(), m.EventList).next_seq - 1
                continue
            missed += event.missed
            assert previous is None or event.seq == previous + 1 + event.missed
            previous, seen = event.seq, seen + 1
        assert missed > 0


def test_the_limit_of_connections_is_told(start_daemon: Callable[[str], Daemon]) -> None:
    daemon = start_daemon("[server]\nmax_connections = 3")
    wait_until(lambda: "3" in ask(daemon, m.GetHealth(), Health).checks[3].detail, what="health")
    open_ones = [Exchange(daemon.socket) for _ in range(3)]
    try:
        with pytest.raises(ConnectionLimit):
            Exchange(daemon.socket)
    finally:
        for one in open_ones:
            one.close()
    wait_until(lambda: lives_or_full(daemon), what="room for a connection")


def lives_or_full(daemon: Daemon) -> bool:
    try:
        return lives(daemon)
    except ConnectionLimit:
        return False


def test_a_killed_daemon_is_followed_by_one_that_takes_the_stream_up(daemon: Daemon) -> None:
    with closing(Publisher(daemon)) as publisher, Exchange(daemon.socket) as viewer:
        for fd in viewer.ask_fds(m.Subscribe("live/a")).fds:
            os.close(fd)
        publisher.publish(3)
        daemon.restart()
        publisher.publish(3)
        info = ask(daemon, m.GetInfo("live/a"), StreamInfo)
        assert (info.head, info.state, info.region_id) == (6, ("publishing",), publisher.grant.region_id)
        assert info.publisher is not None
        assert (info.publisher.connected, info.publisher.pid) == (False, os.getpid())
        with Exchange(daemon.socket) as again:
            request = m.Publish("live/a", TRACKS, resume=publisher.grant.region_id)
            answer = again.ask_fds(request)
            assert (answer.value, answer.fds) == (m.PublishGrant(publisher.grant.region_id, 1), ())
            with pytest.raises(AlreadyPublishing):
                Publisher(daemon)


def test_leftovers_of_this_instance_are_removed_and_others_left_alone(daemon: Daemon) -> None:
    daemon.kill()
    shm = Path("/dev/shm")
    mine, foreign = f"arclyd.{daemon.instance}.live@", "arclyd.00000000.live@x.11111111"
    try:
        for name, content in ((mine + "a.1", b""), (mine + "b.2", os.urandom(70000)), (mine + "c.3.new", b"\0" * 8192)):
            (shm / name).write_bytes(content)
        (shm / foreign).write_bytes(b"")
        ended = region.create(daemon.instance, "live/d", region.RegionSpec(ring_bytes=1 << 20, slots=64))
        daemon.start()
        wait_until(lambda: len(daemon.regions()) == 1, what="the rubbish to go")
        assert daemon.regions() == [ended.name[1:]], "a sound region without a writer has its grace time"
        assert (shm / foreign).exists()
    finally:
        (shm / foreign).unlink(missing_ok=True)


def test_stopping_leaves_living_streams_and_nothing_else(daemon: Daemon) -> None:
    with closing(Publisher(daemon)) as publisher:
        daemon.stop()
        assert not Path(daemon.socket).exists()
        assert len(daemon.regions()) == 1
        publisher.publish(2)
        assert publisher.region.closed == 0
        daemon.start()
        wait_until(lambda: ask(daemon, m.GetInfo("live/a"), StreamInfo).head == 2, what="the stream to be there")
    wait_until(
        lambda: "interrupted" in ask(daemon, m.GetInfo("live/a"), StreamInfo).state,
        what="the lock to be missed",
    )
    daemon.stop()
    assert daemon.regions() == []
    assert publisher.region.closed == _ring.CLOSED_PUBLISHER_GONE


def test_a_second_daemon_on_the_socket_is_refused_and_the_first_unharmed(daemon: Daemon) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "arclyd", "serve", "--socket", daemon.socket],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == RequestRefused.exit_code
    assert f"process {daemon.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert lives(daemon)


def test_the_socket_is_for_owner_and_group_and_a_stale_one_is_replaced(daemon: Daemon) -> None:
    assert stat.S_IMODE(Path(daemon.socket).stat().st_mode) == 0o660
    daemon.kill()
    assert Path(daemon.socket).exists()
    daemon.start()
    assert lives(daemon)


@pytest.mark.parametrize("place", ["file", "long"])
def test_a_place_where_no_socket_can_be_is_named(tmp_path: Path, place: str) -> None:
    path = tmp_path / ("x" * 120 if place == "long" else "file")
    if place == "file":
        path.write_text("precious")
    command = [sys.executable, "-m", "arclyd", "serve", "--socket", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 4
    assert str(path) in run.stderr
    assert "Traceback" not in run.stderr
    if place == "file":
        assert path.read_text() == "precious"


def test_a_reload_takes_new_settings_and_refuses_bad_ones(daemon: Daemon) -> None:
    daemon.config.write_text("[server]\nmax_publishers = 1\n[apps.live]\nmax_lag = 5\n")
    os.kill(daemon.pid, signal.SIGHUP)
    wait_until(lambda: "reloaded" in daemon.log, what="the reload")
    with closing(Publisher(daemon)) as publisher:
        assert publisher.grant.max_lag == 5
        daemon.config.write_text("[server]\nmax_publisher = 2\n")
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: "$.server.max_publisher" in daemon.log, what="the complaint")
        (app,) = ask(daemon, m.ListApps(), m.AppList).apps
        assert (app.name, app.publishers, app.settings["max_lag"]) == ("live", 1, 5)


def test_what_it_says_to_the_service_manager(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(20)
        env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "20000000"}
        command = [sys.executable, "-m", "arclyd", "serve", "--socket", str(tmp_path / "s"), "--log-format", "json"]
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert manager.recv(4096).startswith(b"READY=1")
                assert manager.recv(4096).startswith(b"WATCHDOG=1")
                process.send_signal(signal.SIGHUP)
                messages = [manager.recv(4096) for _ in range(3)]
                assert any(message.startswith(b"RELOADING=1") for message in messages)
                assert any(message.startswith(b"READY=1") for message in messages)
            finally:
                process.terminate()
                _, log = process.communicate(timeout=20)
            assert process.returncode == 0
            assert '"event": "ready"' in log
            rest = b""
            while b"STOPPING=1" not in rest:
                rest += manager.recv(4096)


@pytest.mark.parametrize("named_by", ["config", "environment", "option"])
def test_the_option_wins_over_the_environment_and_that_over_the_file(tmp_path: Path, named_by: str) -> None:
    (tmp_path / "c.toml").write_text(f'[server]\nsocket = "{tmp_path}/config"\n')
    env = {name: value for name, value in os.environ.items() if name != "ARCLYD_SOCKET"}
    command = [sys.executable, "-m", "arclyd", "serve", "--config", str(tmp_path / "c.toml")]
    if named_by != "config":
        env["ARCLYD_SOCKET"] = str(tmp_path / "environment")
    if named_by == "option":
        command += ["--socket", str(tmp_path / "option")]
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(tmp_path / named_by), what="the daemon")
            assert sorted(path.name for path in tmp_path.glob("[!c]*")) == (
                [] if named_by == "config" else _both(named_by)
            )
        finally:
            process.terminate()
    assert process.returncode == 0
    assert not (tmp_path / named_by).exists()


def answers(path: Path) -> bool:
    try:
        Exchange(str(path)).close()
    except DaemonUnavailable:
        return False
    return True


def _both(name: str) -> list[str]:
    return [name, f"{name}.lock"]

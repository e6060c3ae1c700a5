"""Hostile input to what runs: a real daemon's socket, and a region that is read while it is scribbled over."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from arclyd.control import wire
from arclyd.control.messages import GetEvents, GetHealth, Hello, SetMetadata
from tests.fuzz import native
from tests.fuzz.run import CONFIG, ROOT, main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon import Daemon

SCALE = float(os.environ.get("ARCLYD_STRESS", "1"))


def run(module: str, *arguments: object) -> dict[str, float]:
    command = [sys.executable, "-X", "faulthandler", "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    counts: dict[str, float] = json.loads(done.stdout)
    print(module, counts)
    return counts


@pytest.mark.timeout(120 + 30 * SCALE)
def test_a_daemon_among_hostile_clients(start_daemon: Callable[[str], Daemon]) -> None:
    daemon = start_daemon(CONFIG)
    pid = daemon.pid
    counts = run("tests.fuzz.intruder", daemon.socket, pid, int(8_000 * SCALE), int(SCALE))
    assert counts["answers"] > counts["messages"] / 4
    assert counts["refusals"] > counts["answers"] / 10
    assert not re.search("request_failed|Traceback|unhandled", daemon.log), daemon.log[-4000:]
    with Greeted(daemon.socket) as client:
        client.send(wire.encode_request(2, GetHealth()))
        assert client.read(2).id == 2
    assert daemon.pid == pid
    assert daemon.regions() == []


class Greeted:
    """A connection that said hello."""

    def __init__(self, path: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(20)
        self._sock.connect(path)
        self._deframer = wire.Deframer(wire.MAX_REPLY)
        self.send(wire.encode_request(1, Hello(1)))
        self.read(1)

    def __enter__(self) -> Greeted:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._sock.close()

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def read(self, number: int) -> wire.Reply | wire.Failure:
        """The next answer, which is to request ``number``."""
        while (body := self._deframer.next_body()) is None:
            data = self._sock.recv(1 << 16)
            assert data, "the daemon hung up"
            self._deframer.receive_data(data)
        said = wire.decode_from_daemon(body)
        assert isinstance(said, wire.Reply | wire.Failure)
        assert said.id == number
        return said


def test_requests_behind_long_answers_are_answered(daemon: Daemon) -> None:
    """Found by the intruder: what came together with requests whose answers filled the queue was never looked at."""
    with Greeted(daemon.socket) as client:
        for _ in range(100):  # events, so that their list is long
            client.send(b"".join(wire.encode_request(2 + n, SetMetadata("live/absent", {})) for n in range(40)))
            assert {client.read(2 + n).id for n in range(40)} == set(range(2, 42))
        client.send(b"".join(wire.encode_request(2 + n, GetEvents(since=0)) for n in range(8)))
        client.send(wire.encode_request(50, GetHealth()))
        for n in range(8):
            assert isinstance(client.read(2 + n), wire.Reply)
        assert isinstance(client.read(50), wire.Reply)


@pytest.mark.timeout(120 + 20 * SCALE)
def test_a_region_scribbled_over_while_it_is_read() -> None:
    counts = run("tests.fuzz.scribble", int(50_000 * SCALE), int(SCALE))
    assert counts["reads"] >= int(50_000 * SCALE)


@pytest.mark.skipif(not native.has_fuzzer(), reason="needs clang")
def test_the_runner_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tests.fuzz.engine.CRASHES", tmp_path)
    assert main(["--seconds", "0.5", "--target", "key", "--target", "scribble", "--seed", "1"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^key: [\d,]+ executions", said, re.MULTILINE)
    assert re.search(r"^scribble: [\d,]+ executions", said, re.MULTILINE)

"""The daemon killed and started again under many streams and readers: nobody loses a frame, nobody is ended.

The daemon that comes back may be another build than the one that went, and publishers and readers a third.

``ARCLYD_STRESS=n`` of 10 or more runs it at the size the design names: 200 streams, 1,000 readers, ten restarts.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import arclyd
from arclyd.ring import _ring
from tests.daemon import SHARED_MEMORY
from tests.stress.restart_actors import key_of
from tests.stress.restart_builds import FEATURE, build_newer, environment
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arclyd.control.reports import StreamInfo
    from tests.daemon import Daemon

ROOT = Path(__file__).resolve().parents[2]
FULL = float(os.environ.get("ARCLYD_STRESS", "1")) >= 10
WATCHDOG = 120.0
pytestmark = pytest.mark.timeout(600)


@dataclass(frozen=True)
class Size:
    """How many of what, and over how many processes."""

    streams: int
    readers: int
    restarts: int
    publishing: int
    reading: int

    def per_stream(self, stream: int) -> int:
        return len(range(stream, self.readers, self.streams))


SIZE = Size(200, 1000, 10, publishing=4, reading=5) if FULL else Size(20, 60, 3, publishing=2, reading=2)


@dataclass
class Timings:
    """Seconds from the moment a new daemon was started, for every restart."""

    listed: list[float] = field(default_factory=list)
    seated: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return ", ".join(
            f"{name}: median {statistics.median(values):.2f} s, worst {max(values):.2f} s"
            for name, values in (("all streams listed", self.listed), ("everybody back", self.seated))
        )


class Cast:
    """The processes of one play; ends them all."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self._daemon = daemon
        self._folder = folder
        self._processes: list[tuple[str, subprocess.Popen[str]]] = []

    def start(self, role: str, size: Size, *, env: dict[str, str] | None = None, name: str = "") -> None:
        """Start the processes of a role, the work shared out evenly, and wait until all are at it.

        ``env`` is theirs (None: the daemon's), ``name`` what `results` finds them by (as the role, if not given).
        """
        total, parts = (size.streams, size.publishing) if role == "publish" else (size.readers, size.reading)
        started = [
            self._spawn(role, size.streams, total * n // parts, total * (n + 1) // parts, env or self._daemon.env)
            for n in range(parts)
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", self._errors()
        self._processes += [(name or role, process) for process in started]

    def results(self, role: str) -> list[dict[str, Any]]:
        """What the processes of a role have to tell, once they ended; a publisher ends by this."""
        found = []
        for process in (process for name, process in self._processes if name == role):
            output, _ = process.communicate(timeout=WATCHDOG)
            assert process.returncode == 0, self._errors()
            found.append(json.loads(output))
        return found

    def clean(self) -> None:
        for _, process in self._processes:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def _spawn(self, role: str, streams: int, first: int, end: int, env: dict[str, str]) -> subprocess.Popen[str]:
        arguments = [role, self._daemon.socket, str(streams), str(first), str(end)]
        command = [sys.executable, "-m", "tests.stress.restart_actors", *arguments]
        with (self._folder / "cast.err").open("a") as errors:
            pipe = subprocess.PIPE
            return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True, cwd=ROOT, env=env)

    def _errors(self) -> str:
        return (self._folder / "cast.err").read_text()


@pytest.fixture
def cast(daemon: Daemon, tmp_path: Path) -> Iterator[Cast]:
    cast = Cast(daemon, tmp_path)
    yield cast
    cast.clean()


def test_no_frame_and_no_reader_is_lost_while_the_daemon_dies_again_and_again(
    daemon: Daemon, cast: Cast, record_property: Callable[[str, object], None]
) -> None:
    cast.start("publish", SIZE)
    cast.start("read", SIZE)
    await_everybody(daemon)
    timings = Timings()
    for _ in range(SIZE.restarts):
        restart(daemon, timings)
    ended = [stream for result in cast.results("publish") for stream in result["frames"].items()]
    frames = dict(ended)
    readers = [reader for result in cast.results("read") for reader in result["readers"]]
    assert len(frames) == SIZE.streams
    assert len(readers) == SIZE.readers
    for reader in readers:
        assert reader["wrong"] == []
        assert (reader["reason"], reader["dropped"]) == ("ended", 0)
        assert 0 <= reader["first"] < reader["next"] == frames[reader["key"]]
    wait_until(lambda: daemon.regions() == [], what="the regions of the ended streams to go")
    assert "Traceback" not in daemon.log
    record_property("restarts", str(timings))
    print(f"\n{SIZE.restarts} restarts, {SIZE.streams} streams, {SIZE.readers} readers: {timings}")


def restart(daemon: Daemon, timings: Timings) -> None:
    """kill -9, start anew, and wait until the new daemon knows all that the old one did."""
    daemon.kill()
    began = time.monotonic()
    daemon.start()
    with arclyd.connect() as control:
        wait_until(lambda: len(control.list_streams()) == SIZE.streams, timeout=WATCHDOG, what="all streams")
        timings.listed.append(time.monotonic() - began)
    await_everybody(daemon)
    timings.seated.append(time.monotonic() - began)


def await_everybody(daemon: Daemon) -> None:
    """Wait until every publisher and every reader is connected, and every count is right by itself."""
    with arclyd.connect() as control:
        wait_until(
            lambda: len(control.subscribers()) == SIZE.readers, timeout=WATCHDOG, what="every reader to be seated"
        )
        wait_until(lambda: all(is_whole(info) for info in control.list_streams()), timeout=WATCHDOG, what="all to fit")
        assert len(control.list_streams()) == SIZE.streams


def is_whole(info: StreamInfo) -> bool:
    """The stream is published by a connected publisher, in its first epoch, and has all its readers."""
    wanted = SIZE.per_stream(int(info.key.removeprefix(key_of(0)[:-1])))
    connected = info.publisher is not None and info.publisher.connected
    return connected and (info.state, info.epoch, info.subscribers) == (("publishing",), 1, wanted)


# ------------------------------------------------------------------------ other builds


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_newer(tmp_path_factory.mktemp("newer"))


FEW = Size(2, 4, 0, publishing=1, reading=1)


@pytest.mark.parametrize("newer_publishes", [False, True], ids=["published by this build", "by a newer one"])
def test_builds_of_two_minor_versions_go_on_with_each_others_streams(
    daemon: Daemon, cast: Cast, newer: Path, newer_publishes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams of either build's daemon are adopted by the other, written and read by both, back and forth."""
    other = environment(newer, daemon.env)
    plain = daemon.env
    if newer_publishes:  # their regions are formatted by a daemon of the newer build
        restart_as(daemon, newer, monkeypatch)
    cast.start("publish", FEW, env=other if newer_publishes else plain)
    cast.start("read", FEW, env=plain)
    cast.start("read", FEW, env=other, name="read by a newer build")
    wanted = f"1.{_ring.LAYOUT_MINOR + newer_publishes}"
    for build in (None, newer, None):
        restart_as(daemon, build, monkeypatch)
        with arclyd.connect() as control:
            assert control.version().layout == f"1.{_ring.LAYOUT_MINOR + (build is not None)}"
            wait_until(lambda control=control: is_taken_up(control), timeout=WATCHDOG, what="both streams and readers")
            assert [info.layout for info in control.list_streams()] == [wanted, wanted]
        with arclyd.Subscriber(key_of(0)) as late:  # whoever made it: this build joins
            assert late.recv(timeout=20).keyframe
    frames = {key: count for result in cast.results("publish") for key, count in result["frames"].items()}
    readers = [one for name in ("read", "read by a newer build") for r in cast.results(name) for one in r["readers"]]
    assert len(readers) == 2 * FEW.readers
    for reader in readers:
        assert (reader["wrong"], reader["reason"], reader["dropped"]) == ([], "ended", 0)
        assert reader["next"] == frames[reader["key"]]
    assert "Traceback" not in daemon.log


def test_a_region_of_a_higher_minor_version_and_an_unknown_feature_is_taken_up_and_written(
    daemon: Daemon, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restart_as(daemon, newer, monkeypatch)
    tracks = [arclyd.Track.video("h264", width=320, height=200)]
    with arclyd.Publisher("live/a", tracks, ring_bytes=1 << 20, slots=64) as pub:
        (name,) = daemon.regions()
        header = (SHARED_MEMORY / name).read_bytes()[:64]
        assert int.from_bytes(header[10:12], "little") == _ring.LAYOUT_MINOR + 1
        assert int.from_bytes(header[24:32], "little") & FEATURE
        restart_as(daemon, None, monkeypatch)
        with arclyd.Subscriber("live/a", start="live") as sub:
            for n in range(200):
                pub.publish(0, b"%d" % n, pts=n, keyframe=n % 10 == 0)
                frame = sub.recv(timeout=20)
                assert (frame.seq, frame.tobytes()) == (n, b"%d" % n)
    wait_until(lambda: daemon.regions() == [], what="the ended stream's region to go")


def restart_as(daemon: Daemon, build: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the daemon; the one that comes is of ``build``, or (None) the installed one."""
    daemon.kill()
    with monkeypatch.context() as patched:
        if build is not None:
            patched.setenv("PYTHONPATH", environment(build)["PYTHONPATH"])
        daemon.start()


def is_taken_up(control: arclyd.Control) -> bool:
    infos = control.list_streams()
    connected = [info.publisher is not None and info.publisher.connected for info in infos]
    return connected == [True] * FEW.streams and len(control.subscribers()) == 2 * FEW.readers

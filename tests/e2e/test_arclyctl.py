"""`arclyctl` as a process, against a real daemon, publisher and subscribers."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arclyd import errors
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon import Daemon, Script, Spawner

KEY = "live/cam1"

PUBLISHER = """
    import select, sys
    import arclyd

    key, slots = sys.argv[1], int(sys.argv[2])
    tracks = [
        arclyd.Track.video("h264", width=320, height=240),
        arclyd.Track.audio("aac", sample_rate=48000, channels=2),
    ]
    with arclyd.Publisher(key, tracks=tracks, slots=slots, metadata={"tags": {"site": "roof"}}) as pub:
        n = 0
        while not select.select([sys.stdin], [], [], 0.02)[0]:
            pub.publish(0, bytes(1000), pts=n * 1800, dts=n * 1800 - 900, keyframe=n % 25 == 0)
            pub.publish(1, bytes(100), pts=n * 960, keyframe=True)
            n += 1
            if n == 100:
                print("hundred", flush=True)
            if n == 1:
                print("first", flush=True)
"""

SUBSCRIBER = """
    import sys
    import arclyd

    with arclyd.Subscriber(sys.argv[1], name="watcher") as sub:
        print("attached", flush=True)
        for frame in sub:
            pass
        print(sub.end_reason, flush=True)
"""


class Ctl:
    """Runs `arclyctl` against one daemon."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self._running: list[subprocess.Popen[str]] = []

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(self.command(*words), env=self.env, capture_output=True, text=True, check=False)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "arclyctl", *words]

    def json(self, *words: str) -> Any:
        """Its answer in JSON; it must succeed."""
        done = self(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it with its output in pipes."""
        child = subprocess.Popen(
            self.command(*words), env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._running.append(child)
        return child

    def reap(self) -> None:
        """End what still runs."""
        for child in self._running:
            child.kill()
            child.communicate()


@pytest.fixture
def ctl(daemon: Daemon) -> Iterator[Ctl]:
    own = Ctl(daemon.env)
    yield own
    own.reap()


@pytest.fixture
def publisher(spawn: Spawner) -> Script:
    script = spawn(PUBLISHER, KEY, 1024, name="publisher")
    script.await_line("first")
    return script


@pytest.fixture
def subscriber(spawn: Spawner, publisher: Script) -> Script:
    script = spawn(SUBSCRIBER, KEY, name="subscriber")
    script.await_line("attached")
    return script


def line_of(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def test_ls_and_info_show_the_stream(ctl: Ctl, publisher: Script) -> None:
    assert KEY in ctl("ls").stdout
    (stream,) = ctl.json("ls")["streams"]
    assert stream["key"] == KEY
    assert "publishing" in stream["state"]
    info = ctl.json("info", KEY)
    assert info["publisher"]["pid"] == publisher.pid
    assert info["metadata"]["tags"] == {"site": "roof"}
    assert [track["codec"] for track in info["qos"]["tracks"]] == ["h264", "aac"]
    assert f"process {publisher.pid}" in ctl("info", KEY).stdout
    assert ctl.json("ls", "other") == {"streams": []}


def test_stats_rise_with_the_frames_and_fall_with_the_publisher_stopped(ctl: Ctl, publisher: Script) -> None:
    figures = wait_until(lambda: _running(ctl), what="a frame rate")
    assert (figures["width"], figures["height"], figures["key"]) == (320, 240, KEY)
    publisher.signal(signal.SIGSTOP)
    wait_until(lambda: ctl.json("stats", KEY)["fps"] == 0, what="the rate to fall to zero")
    publisher.signal(signal.SIGCONT)
    assert wait_until(lambda: _running(ctl), what="a frame rate again")


def _running(ctl: Ctl) -> dict[str, Any] | None:
    figures: dict[str, Any] = ctl.json("stats", KEY)
    return figures if figures["fps"] > 0 and figures["video_bitrate_bps"] > 0 else None


def test_watching_stats_prints_a_line_for_each_look(ctl: Ctl, publisher: Script) -> None:
    done = ctl("stats", KEY, "--json", "--count", "3", "--interval", "0.1")
    totals = [json.loads(line)["total_frames"] for line in done.stdout.splitlines()]
    assert len(totals) == 3
    assert totals[0] < totals[2]
    child = ctl.start("stats", "--watch", "--json", "--interval", "0.1")
    first, second = json.loads(line_of(child)), json.loads(line_of(child))
    assert first["streams"][0]["total_frames"] < second["streams"][0]["total_frames"]
    child.send_signal(signal.SIGINT)
    assert child.wait() == 130


def test_gop_names_a_joinable_one(ctl: Ctl, publisher: Script) -> None:
    publisher.await_line("hundred")
    index = ctl.json("gop", KEY)
    assert index["key"] == KEY
    assert any(entry["joinable"] for entry in index["entries"])
    assert "joinable" in ctl("gop", KEY).stdout


def test_tail_prints_a_line_for_each_frame(ctl: Ctl, publisher: Script) -> None:
    done = ctl("tail", KEY, "--frames", "20")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 20
    seqs = [int(line.split()[0]) for line in lines]
    assert seqs == list(range(seqs[0], seqs[0] + 20))
    assert any("video h264" in line and "-0.010s" in line for line in lines)
    assert any("audio aac" in line for line in lines)


def test_tail_in_json_from_a_keyframe_of_one_track(ctl: Ctl, publisher: Script) -> None:
    done = ctl("--json", "tail", KEY, "--frames", "5", "--start", "keyframe", "--track", "video")
    frames = [json.loads(line) for line in done.stdout.splitlines()]
    assert [frame["type"] for frame in frames] == ["frame"] * 5
    assert {frame["track"] for frame in frames} == {0}
    key = next(frame for frame in frames if "config" not in frame["flags"])
    assert "key" in key["flags"]
    assert key["time_base"] == [1, 90000]
    assert key["pts_seconds"] == pytest.approx(key["pts"] / 90000)
    assert key["size"] == 1000
    assert key["age_seconds"] >= 0


def test_tail_shows_a_gap_on_a_line_of_its_own(ctl: Ctl, spawn: Spawner) -> None:
    spawn(PUBLISHER, "live/short", 64, name="short").await_line("hundred")
    done = ctl("tail", "live/short", "--json", "--start", "0", "--frames", "3")
    first, second, *_ = (json.loads(line) for line in done.stdout.splitlines())
    assert first["type"] == "gap"
    assert first["missed"] > 0
    assert second["seq"] == first["resumed_at"]
    text = ctl("tail", "live/short", "--start", "0", "--frames", "1").stdout
    assert "frames lost, goes on at" in text.splitlines()[0]


def test_tail_of_a_track_that_is_not_there(ctl: Ctl, publisher: Script) -> None:
    done = ctl("tail", KEY, "--track", "7")
    assert (done.returncode, done.stdout) == (errors.RequestRefused.exit_code, "")
    assert ctl("tail", KEY, "--track", "data").returncode == errors.RequestRefused.exit_code


def test_tail_ends_with_the_stream(ctl: Ctl, publisher: Script) -> None:
    child = ctl.start("tail", KEY)
    assert line_of(child)
    publisher.say("end")
    _, err = child.communicate()
    assert (child.returncode, err) == (0, f"{KEY} ended\n")
    publisher.finish()


def test_a_tail_that_is_kicked_says_why(ctl: Ctl, publisher: Script) -> None:
    child = ctl.start("tail", KEY, "--json")
    assert line_of(child)
    (reader,) = ctl.json("subscribers", KEY)["subscribers"]
    assert (reader["name"], reader["pid"]) == ("arclyctl tail", child.pid)
    assert ctl.json("kick", KEY, str(reader["id"])) == {"key": KEY, "id": reader["id"]}
    _, err = child.communicate()
    assert child.returncode == errors.EndOfStream.exit_code
    error = json.loads(err)["error"]
    assert (error["code"], error["facts"]["reason"]) == ("end_of_stream", "kicked")


def test_a_tail_whose_reader_goes_away_is_quiet(ctl: Ctl, publisher: Script) -> None:
    child = ctl.start("tail", KEY)
    assert line_of(child)
    assert child.stdout is not None
    child.stdout.close()
    assert child.wait() == 141
    assert child.stderr is not None
    assert child.stderr.read() == ""


def test_subscribers_names_who_reads(ctl: Ctl, subscriber: Script) -> None:
    (reader,) = ctl.json("subscribers")["subscribers"]
    assert (reader["key"], reader["name"], reader["pid"]) == (KEY, "watcher", subscriber.pid)
    assert "watcher" in ctl("subscribers", KEY).stdout


def test_kick_0_is_the_publisher(ctl: Ctl, publisher: Script) -> None:
    done = ctl("kick", KEY, "0")
    assert (done.returncode, done.stdout) == (0, f"kicked the publisher of {KEY}\n")
    assert publisher.wait() != 0
    assert "PublisherClosed" in publisher.errors or "PublisherReplaced" in publisher.errors


def test_end_ends_it_for_everybody(ctl: Ctl, publisher: Script, subscriber: Script) -> None:
    assert ctl("end", KEY).stdout == f"ended {KEY}\n"
    subscriber.finish()
    publisher.wait()
    assert ctl("info", KEY).returncode in (0, errors.StreamNotFound.exit_code)


def test_events_from_the_first_and_as_they_come(ctl: Ctl, publisher: Script, spawn: Spawner) -> None:
    past = [json.loads(line) for line in ctl("events", "--json").stdout.splitlines()]
    started = next(event for event in past if event["kind"] == "publish_started")
    assert started["key"] == KEY
    assert "publish_started" in ctl("events", "--since", str(started["seq"])).stdout.splitlines()[0]
    child = ctl.start("events", "--follow", "--since", str(started["seq"]))
    assert "publish_started" in line_of(child)
    publisher.say("end")
    while "publish_ended" not in (line := line_of(child)):
        assert line, "the events ended"
    child.send_signal(signal.SIGINT)
    assert child.wait() == 130


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("info", "live/cam2"), errors.StreamNotFound),
        (("tail", "live/cam2"), errors.StreamNotFound),
        (("kick", KEY, "99"), errors.SubscriberNotFound),
        (("info", "a b/c"), errors.InvalidKey),
        (("ls", "--socket", "/nowhere/at/all.sock"), errors.DaemonUnavailable),
    ],
)
def test_errors_by_class(ctl: Ctl, publisher: Script, words: tuple[str, ...], error: type[errors.ArclydError]) -> None:
    done = ctl(*words)
    assert (done.returncode, done.stdout) == (error.exit_code, "")
    assert done.stderr.startswith("arclyctl: error: ")
    assert done.stderr.count("\n") == 1
    told = json.loads(ctl("--json", *words).stderr)["error"]
    assert told["code"] == error.code
    assert f"arclyctl: error: {told['message']}\n" == done.stderr


def test_a_misspelt_key_names_the_one_meant(ctl: Ctl, publisher: Script) -> None:
    assert f"did you mean {KEY}?" in ctl("info", "live/cam2").stderr
    assert f"did you mean {KEY}?" in ctl("tail", "live/cam").stderr


def test_completion_of_live_keys(ctl: Ctl, publisher: Script, subscriber: Script) -> None:
    def complete(words: str, count: int) -> list[str]:
        env = ctl.env | {"_ARCLYCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(count)}
        done = subprocess.run(ctl.command(), env=env, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("arclyctl info ", 2) == [KEY]
    assert complete("arclyctl ls l", 2) == ["live"]
    assert complete(f"arclyctl kick {KEY} ", 3)[0] == "0"
    assert len(complete(f"arclyctl kick {KEY} ", 3)) == 2


def test_version_of_both_sides(ctl: Ctl, daemon: Daemon) -> None:
    told = ctl.json("version")
    assert told["daemon"]["pid"] == daemon.pid
    assert told["client"]["version"] == told["daemon"]["version"]
    assert told["client"]["layout"] == told["daemon"]["layout"]


def test_doctor_knows_what_is_in_use_and_what_is_stale(ctl: Ctl, daemon: Daemon, publisher: Script) -> None:
    (region,) = daemon.regions()
    report = ctl.json("doctor")
    assert report["status"] != "fail", report
    assert not any(region in finding["detail"] for finding in report["findings"])
    assert any(finding["name"] == "daemon" and finding["status"] == "ok" for finding in report["findings"])
    daemon.kill()
    adoptable = _about(ctl, region)
    assert "adopts" in adoptable["remedy"]
    publisher.kill()
    stale = wait_until(lambda: _stale(ctl, region), what="the region to be stale")
    assert f"rm /dev/shm/{region}" in stale["remedy"]
    assert "stale region" in ctl("doctor").stdout


def _about(ctl: Ctl, region: str) -> dict[str, str]:
    (finding,) = [one for one in ctl.json("doctor")["findings"] if region in one["detail"]]
    return dict(finding)


def _stale(ctl: Ctl, region: str) -> dict[str, str] | None:
    finding = _about(ctl, region)
    return finding if finding["name"] == "stale region" else None


def test_doctor_fails_on_a_region_that_is_garbage(ctl: Ctl, daemon: Daemon) -> None:
    path = Path("/dev/shm") / f"arclyd.{daemon.instance}.live@junk.00000001"  # removed with the daemon's regions
    path.write_bytes(os.urandom(8192))
    done = ctl("doctor", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["status"] == "fail"
    assert any(path.name in finding["detail"] and finding["status"] == "fail" for finding in report["findings"])


class Terminal:
    """`arclyctl` on a terminal of its own: what it painted, and keys for it."""

    def __init__(self, ctl: Ctl, *words: str) -> None:
        self._controller, terminal = pty.openpty()
        termios.tcsetwinsize(terminal, (30, 180))
        env = {name: value for name, value in ctl.env.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self.process = subprocess.Popen(
            ctl.command(*words), env=env | {"TERM": "xterm-256color"}, stdin=terminal, stdout=terminal, stderr=terminal,
            start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        self.text = ""

    def until(self, wanted: str) -> None:
        """Read until that was painted."""
        while wanted not in self.text:
            try:
                chunk = os.read(self._controller, 65536)
            except OSError:  # Linux's way to say that the other side is closed
                chunk = b""
            assert chunk, f"it ended without {wanted!r}: {self.text}"
            self.text += chunk.decode(errors="replace")

    def press(self, key: str) -> None:
        os.write(self._controller, key.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._controller)


@pytest.fixture
def terminal(ctl: Ctl) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*words: str) -> Terminal:
        opened.append(Terminal(ctl, *words))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_top_is_live_and_q_leaves_it(publisher: Script, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("top", "--interval", "60")
    screen.until(KEY)
    screen.until("q quit")
    screen.press("b")
    screen.until("ordered by bitrate")
    screen.press("q")
    screen.until("\x1b[?1049l")  # the screen it found is back
    assert screen.process.wait() == 0


def test_top_outlives_the_daemon(daemon: Daemon, publisher: Script, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("top", "--interval", "0.1")
    screen.until(KEY)
    daemon.kill()
    screen.until("no arclyd answers")
    screen.text = ""
    daemon.start()
    screen.until(f"process {daemon.pid}")
    os.killpg(screen.process.pid, signal.SIGINT)
    assert screen.process.wait() == 0


def test_stats_is_a_live_table_on_a_terminal(publisher: Script, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("stats", "--watch", "--interval", "0.1")
    screen.until(KEY)
    screen.text = ""
    screen.until(KEY)
    screen.until("\x1b[2K")  # painted over, not below
    os.killpg(screen.process.pid, signal.SIGINT)
    assert screen.process.wait() == 130


def test_tail_has_a_heading_on_a_terminal(publisher: Script, terminal: Callable[..., Terminal]) -> None:
    screen = terminal("tail", KEY, "--frames", "3")
    screen.until("SEQ")
    assert screen.process.wait() == 0

"""`arclyd record` when something goes wrong: kills, laps, restarts, other publishers, a full disk."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.errors import EndOfStream
from arclyd.recorder.intake import Intake, Lost
from arclyd.recorder.segment import CONTAINERS
from arclyd.recorder.session import published_ns
from tests.clips import clip, publish
from tests.recording import ARCLYD, KEY, decodes, eventually, files, index, over, stop, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.clips import Clip
    from tests.daemon import Daemon, Script
    from tests.small_disk import SmallDisk

SOURCE_SECONDS = 4
STEP = Fraction(5)
"""From one publishing of the clip to the next: the sound is longer than the picture by its encoder's delay."""


@pytest.fixture(scope="module")
def source() -> Clip:
    return clip("h264", "aac", SOURCE_SECONDS)


def grown(path: Path, pictures: int) -> bool:
    """Whether a file that is being written already plays for so long."""
    return path.exists() and path.stat().st_size > 0 and playable(path) >= pictures


def playable(path: Path) -> int:
    command = ["ffmpeg", "-nostdin", "-v", "quiet", "-i", str(path), "-map", "0:v", "-f", "framemd5", "-"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return sum(not line.startswith("#") for line in done.stdout.splitlines())


@pytest.mark.parametrize("extension", ["mp4", "ts", "mkv"])
def test_what_a_killed_recorder_wrote_plays(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path, source: Clip, extension: str
) -> None:
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, source.samples)
        recorder = record("--last", 100, extension=extension)
        writing(recorder)
        path = files(tmp_path)[0]
        # All but the last group of pictures, which no container has seen the end of.
        eventually(lambda: grown(path, 75), "three seconds in the file")
        recorder.kill()
        assert decodes(path)["video"] >= 75
        (row,) = index(tmp_path)
        assert (row["state"], row["ended"], row["bytes"]) == ("interrupted", "", path.stat().st_size)
        before = path.read_bytes()
        second = record("--last", 100, extension=extension)
        writing(second)
    over(second)
    stop(second)
    assert "was cut short: its recorder was killed" in second.errors
    assert path.read_bytes() == before
    states = {Path(row["file"]).name: row["state"] for row in index(tmp_path)}
    assert states == {f"1.{extension}": "interrupted", f"1-2.{extension}": "ended"}
    assert decodes(files(tmp_path)[1])["video"] == 100


@pytest.mark.parametrize("how", ["join", "split"])
def test_a_lap_is_a_gap_and_never_corrupt(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path, source: Clip, how: str
) -> None:
    shifts = itertools.count()
    with arclyd.Publisher(KEY, source.tracks, ring_bytes=1 << 20, slots=512) as pub:

        def more() -> None:
            publish(pub, source.samples, next(shifts) * STEP)

        more()
        recorder = record("--on-gap", how)
        writing(recorder)
        more()
        path = files(tmp_path)[0]
        eventually(lambda: grown(path, 25), "a second in the file")
        recorder.signal(signal.SIGSTOP)
        for _ in range(3):
            more()
        recorder.signal(signal.SIGCONT)
        eventually(lambda: "frames missed" in recorder.errors, "the gap")
        more()
    over(recorder)
    stop(recorder)
    # A burst may lap it once more.
    *before, last = index(tmp_path)
    assert last["state"] == "ended"
    assert {row["state"] for row in before} == ({"gap"} if how == "split" else set())
    first = (before or [last])[0]
    assert (first["missed"] > 0, first["gaps"] > 0) == (True, True)
    for path in files(tmp_path):
        assert decodes(path)["video"] > 0


def test_a_frame_that_is_gone_when_it_is_taken_is_a_loss(daemon: Daemon, source: Clip) -> None:
    with (
        arclyd.Publisher(KEY, source.tracks, ring_bytes=1 << 20, slots=64) as pub,
        arclyd.Subscriber(KEY, start="live") as subscriber,
    ):
        intake = Intake(source.tracks, CONTAINERS["mp4"].codecs, split=False, wall_ns=published_ns)
        publish(pub, source.samples[:10])
        frames = [frame for frame in subscriber.recv_many(10, timeout=5) if not frame.is_config]
        assert Lost not in [type(item) for item in intake.frame(frames[0])]
        for _ in range(8):  # more than the ring's megabyte
            publish(pub, source.samples)
        *_, last = intake.frame(frames[1])
        assert last == Lost(1)


@pytest.mark.parametrize(("how", "states"), [("join", ["ended"]), ("split", ["publisher", "ended"])])
def test_another_publisher_takes_the_stream_on(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path, source: Clip, how: str, states: list[str]
) -> None:
    with arclyd.Publisher(KEY, source.tracks) as first:
        publish(first, source.samples)
        recorder = record("--last", 100, "--on-gap", how)
        writing(recorder)
        with arclyd.Publisher(KEY, source.tracks, on_taken="replace") as second:
            publish(second, source.samples)  # its times begin again: a joined file goes on evenly
            assert second.epoch == first.epoch + 1
    over(recorder)
    stop(recorder)
    assert [row["state"] for row in index(tmp_path)] == states
    counts = [decodes(path)["video"] for path in files(tmp_path)]
    assert counts == ([200] if how == "join" else [100, 100])
    seconds = sum(row["seconds"] for row in index(tmp_path))
    assert seconds == pytest.approx(2 * SOURCE_SECONDS, abs=0.2)


def test_other_tracks_begin_another_file(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path, source: Clip
) -> None:
    other = clip("hevc", "aac")
    with arclyd.Publisher(KEY, source.tracks) as first:
        publish(first, source.samples)
        recorder = record("--last", 100)
        writing(recorder)
        with arclyd.Publisher(KEY, other.tracks, on_taken="replace") as second:
            publish(second, other.samples)
            writing(recorder, 2)  # a stream that lives for a millisecond may be over before anybody gets there
    over(recorder)
    stop(recorder)
    assert [row["state"] for row in index(tmp_path)] == ["configuration", "ended"]
    assert [decodes(path)["video"] for path in files(tmp_path)] == [100, 100]


def test_a_track_that_begins_later_is_in_the_next_file(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path, source: Clip
) -> None:
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, (sample for sample in source.samples if sample.track == 0))
        recorder = record("--last", 100)
        writing(recorder)
        publish(pub, source.samples, STEP)
    over(recorder)
    stop(recorder)
    assert [row["state"] for row in index(tmp_path)] == ["tracks", "ended"]
    first, second = (decodes(path) for path in files(tmp_path))
    assert set(first) == {"video"}
    assert set(second) == {"video", "audio"}
    assert first["video"] + second["video"] == 200


def test_the_daemon_may_come_late_and_go(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path, source: Clip
) -> None:
    daemon.stop()
    recorder = record()
    eventually(lambda: "waiting: no arclyd answers" in recorder.errors, "the recorder to wait for the daemon")
    daemon.start()
    eventually(lambda: "waiting for the stream" in recorder.errors, "the recorder to wait for the stream")
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, source.samples)
        writing(recorder)
        with arclyd.connect() as control:
            eventually(lambda: control.info(KEY).activities, "the recording to be seen")
        daemon.kill()
        publish(pub, source.samples, STEP)
        daemon.start()
        with arclyd.connect() as control:
            eventually(lambda: control.list_streams() and control.info(KEY).activities, "the recording to be seen")
            assert control.info(KEY).activities == {"recording": 1}
        publish(pub, source.samples, 2 * STEP)
    over(recorder)
    stop(recorder)
    (row,) = index(tmp_path)
    assert (row["missed"], decodes(files(tmp_path)[0])["video"]) == (0, 300)


def test_an_operator_may_end_it(daemon: Daemon, record: Callable[..., Script], tmp_path: Path, source: Clip) -> None:
    with arclyd.Publisher(KEY, source.tracks) as pub, arclyd.connect() as control:
        publish(pub, source.samples)
        recorder = record("--last", 100)
        writing(recorder)
        (reader,) = control.subscribers(KEY)
        control.kick(KEY, reader.id)
        assert recorder.wait() == EndOfStream.exit_code
    assert [row["state"] for row in index(tmp_path)] == ["kicked"]
    assert recorder.process.poll() != 0


def test_nobody_has_to_read_what_it_says(daemon: Daemon, tmp_path: Path, source: Clip) -> None:
    program = [sys.executable, "-u", "-c", textwrap.dedent(ARCLYD), "record", KEY]
    output = ["-o", str(tmp_path / "rec" / "{number}.ts"), "--segment-duration", "1"]
    with (
        arclyd.Publisher(KEY, source.tracks) as pub,
        subprocess.Popen([*program, *output], env=daemon.env, stderr=subprocess.PIPE) as recorder,
    ):
        try:
            assert recorder.stderr is not None
            publish(pub, source.samples)
            assert b"writing" in recorder.stderr.readline()
            recorder.stderr.close()
            for number in range(1, 4):
                publish(pub, source.samples, number * STEP)
            eventually(lambda: len(files(tmp_path)) > 4, "the recorder to go on")
            recorder.send_signal(signal.SIGTERM)
            assert recorder.wait(30) == 0
        finally:
            recorder.kill()


# ------------------------------------------------------------------- full disk


@contextmanager
def recording_on(disk: SmallDisk, daemon: Daemon, log: Path, extension: str) -> Iterator[subprocess.Popen[bytes]]:
    output = disk.inside / "rec" / f"{{number}}.{extension}"
    program = [sys.executable, "-u", "-c", textwrap.dedent(ARCLYD), "record", KEY, "-o", str(output), "--last", "100"]
    with log.open("wb") as errors:
        process = subprocess.Popen([*disk.enter, *program], env=daemon.env, stderr=errors)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("extension", ["mp4", "ts", "mkv"])
def test_a_full_disk_is_told_once_and_recorded_on_when_there_is_room(
    daemon: Daemon, disk: SmallDisk, tmp_path: Path, source: Clip, extension: str
) -> None:
    log = tmp_path / "log"
    shifts = itertools.count()

    def said(text: str) -> int:
        return log.read_text().count(text)

    with arclyd.Publisher(KEY, source.tracks) as pub, recording_on(disk, daemon, log, extension) as recorder:

        def more() -> bool:
            publish(pub, source.samples, next(shifts) * STEP)
            return True

        more()
        with arclyd.connect() as control:
            eventually(lambda: said(": writing "), "the first file")
            eventually(lambda: control.info(KEY).activities == {"recording": 1}, "the recording to be seen")
            disk.fill()
            eventually(lambda: more() and said("not recording"), "the full disk to be told")
            eventually(lambda: not control.info(KEY).activities, "the recording to be over")
            # It still is one line many keyframes later, and the index, which is full as well, has none of its own.
            for _ in range(30):
                more()
            assert (said("not recording"), said("No space left on device"), said("index")) == (1, 1, 0)
            disk.free()
            eventually(lambda: more() and said("recording again, in"), "the recording to go on")
            assert said("frames of") == 1
            more()
            eventually(lambda: control.info(KEY).activities == {"recording": 1}, "the recording to be seen again")
        paths = files(disk.outside)
        eventually(lambda: grown(paths[-1], 25), "a second in the new file")
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(30) == 0
    assert len(files(disk.outside)) == len(paths) == 2, "attempts leave no files behind"
    for path in paths:
        assert decodes(path)["video"] >= 25
    assert [row["state"] for row in index(disk.inside, disk.enter)] == ["no_room", "stopped"]

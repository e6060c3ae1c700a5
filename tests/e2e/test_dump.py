"""`arclyctl dump` against a real daemon: files that others read, from now or from the past, whole whatever happens."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

import arclyd
from arclyd.errors import RequestRefused, StreamNotFound
from arclyd.ingest.file.feed import Feed
from arclyd.ingest.file.generated import GeneratedSource, Pattern
from arclyd.ingest.file.source import open_file
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.ingest.file.source import Unit
    from tests.daemon import Daemon, Script, Spawner

CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
KEY = "live/cam"
DUMP = """
    import sys
    from arclyctl.cli import main
    sys.argv.insert(1, "dump")
    sys.exit(main())
"""
SMALL = Pattern(width=160, height=90, gop=25, bitrate=100_000)


def feed(pub: arclyd.Publisher, source: GeneratedSource, seconds: int) -> None:
    """Publish that much of a source at once."""
    Feed(source, pub, threading.Event(), paced=False, seconds=Fraction(seconds)).run()


@pytest.fixture
def past(daemon: Daemon) -> Iterator[arclyd.Publisher]:
    """A stream with ten seconds of the test picture in its ring."""
    source = GeneratedSource(SMALL)
    with arclyd.Publisher(KEY, source.tracks) as pub:
        feed(pub, source, 10)
        yield pub


def contents(path: Path) -> dict[str, list[tuple[float, bool]]]:
    """Decoding times in seconds and keyframe flags of each kind of track."""
    found: dict[str, list[tuple[float, bool]]] = {}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size:
                at = float(packet.dts * packet.time_base)
                found.setdefault(packet.stream.type, []).append((at, packet.is_keyframe))
    return found


def assert_plays(path: Path) -> None:
    """Both tracks are seen by ffprobe and decoded by ffmpeg without a word."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    probe = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "json", str(path)]
    found = json.loads(subprocess.run(probe, check=True, capture_output=True, timeout=60).stdout)
    assert sorted(stream["codec_name"] for stream in found["streams"]) == ["aac", "h264"]
    decode = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "null", "-"]
    done = subprocess.run(decode, check=True, capture_output=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"", b"")


def assert_no_leftovers(folder: Path) -> None:
    assert not list(folder.glob("*.part")) + list(folder.glob(".*.part"))


@pytest.mark.parametrize("extension", ["ts", "mp4", "mkv", "flv"])
def test_a_live_dump_plays_elsewhere(daemon: Daemon, spawn: Spawner, tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"out.{extension}"
    stop = threading.Event()
    source = open_file(str(CLIP))
    with arclyd.Publisher(KEY, source.tracks) as pub:
        gateway = threading.Thread(target=Feed(source, pub, stop, loop=True).run)
        gateway.start()
        try:
            dump = spawn(DUMP, KEY, "-o", path, "--duration", "6", name="dump")  # over the end of the 5.3 s clip
            dump.finish(60)
        finally:
            stop.set()
            gateway.join()
    assert_plays(path)
    found = contents(path)
    assert 147 <= len(found["video"]) <= 152  # it ends where the first track is six seconds long
    assert found["video"][0][1]
    for times in found.values():
        assert [at for at, _ in times] == sorted(at for at, _ in times)
        assert times[-1][0] - times[0][0] == pytest.approx(6, abs=0.1)
    assert_no_leftovers(tmp_path)


def test_the_last_seconds_come_from_the_ring_at_once(past: arclyd.Publisher, spawn: Spawner, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    spawn(DUMP, KEY, "-o", path, "--last", "1000", name="dump").finish()
    everything = contents(path)
    assert len(everything["video"]) == 250
    assert_plays(path)


def test_frames_are_counted_over_all_tracks(past: arclyd.Publisher, spawn: Spawner, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    dump = spawn(DUMP, KEY, "-o", path, "--frames", "40", name="dump")
    dump.finish()
    assert sum(map(len, contents(path).values())) == 40
    assert "40 frames" in dump.errors


def test_standard_output_is_a_transport_stream_unless_another_is_named(
    past: arclyd.Publisher, spawn: Spawner, tmp_path: Path, daemon: Daemon
) -> None:
    for format_name, demuxer in ((None, "mpegts"), ("mp4", "mov,mp4,m4a,3gp,3g2,mj2"), ("mkv", "matroska,webm")):
        options = [] if format_name is None else ["--format", format_name]
        command = [sys.executable, "-m", "arclyctl", "dump", KEY, "-o", "-", "--last", "5", *options]
        done = subprocess.run(command, env=daemon.env, check=True, capture_output=True, timeout=60)
        with av.open(BytesIO(done.stdout), "r") as container:
            assert container.format.name == demuxer
            assert sorted(stream.type for stream in container.streams) == ["audio", "video"]
    assert not list(tmp_path.glob("-*"))


def test_a_file_is_not_overwritten_unless_forced(past: arclyd.Publisher, spawn: Spawner, tmp_path: Path) -> None:
    path = tmp_path / "out.ts"
    path.write_text("precious")
    refused = spawn(DUMP, KEY, "-o", path, "--last", "1", name="dump")
    assert refused.wait() == RequestRefused.exit_code
    assert "--force" in refused.errors
    assert path.read_text() == "precious"
    spawn(DUMP, KEY, "-o", path, "--last", "1", "--force", name="dump").finish()
    assert_plays(path)


def test_an_interrupt_completes_the_file(past: arclyd.Publisher, spawn: Spawner, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    dump = spawn(DUMP, KEY, "-o", path, name="dump")
    part = wait_until(
        lambda: next((p for p in tmp_path.glob(".out.mp4.*.part") if p.stat().st_size), None), what="data"
    )
    assert not path.exists()
    with arclyd.connect() as control:
        wait_until(lambda: [s.lag_frames for s in control.subscribers(KEY)] == [0], what="the dump to be at the head")
    dump.signal(signal.SIGINT)
    assert dump.wait() == 0
    assert not part.exists()
    assert_plays(path)


def test_the_end_of_the_stream_completes_the_file(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    source = GeneratedSource(SMALL)
    path = tmp_path / "out.flv"
    with arclyd.Publisher(KEY, source.tracks) as pub:
        feed(pub, source, 1)
        dump = spawn(DUMP, KEY, "-o", path, "--json", name="dump")
        wait_until(lambda: pub.publish(1, b"", pts=10_000_000) == 1, what="the dump to attach")
    (line,) = dump.finish()
    answer = json.loads(line)
    assert (answer["end_reason"], answer["missed"]) == ("ended", 0)
    assert [Path(written["file"]).name for written in answer["files"]] == ["out.flv"]
    assert path.exists()


def test_another_configuration_begins_another_file(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    small, large = GeneratedSource(SMALL), GeneratedSource(Pattern(width=320, height=180, gop=25))
    path = tmp_path / "out.mp4"
    with arclyd.Publisher(KEY, small.tracks) as pub:
        feed(pub, small, 2)
        dump = spawn(DUMP, KEY, "-o", path, name="dump")
        wait_until(_attached, what="the dump to attach")
        for track, description in enumerate(large.tracks):
            pub.set_config(track, description.config, width=description.width, height=description.height)
        feed(pub, large, 2)
    dump.finish()
    for name, width in (("out.mp4", 160), ("out-2.mp4", 320)):
        assert_plays(tmp_path / name)
        with av.open(str(tmp_path / name)) as container:
            assert container.streams.video[0].codec_context.width == width
            assert len([packet for packet in container.demux(video=0) if packet.size]) in (25, 50)
    assert "going on in" in dump.errors


def _attached() -> bool:
    with arclyd.connect() as control:
        return bool(control.subscribers(KEY))


def test_a_gap_is_told_and_the_file_plays(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    source = GeneratedSource(SMALL)
    units = source.units()
    path = tmp_path / "out.mkv"
    with arclyd.Publisher(KEY, source.tracks, ring_bytes=1 << 20, slots=64) as pub:
        _publish(pub, itertools.islice(units, 40))
        dump = spawn(DUMP, KEY, "-o", path, name="dump")
        part = wait_until(lambda: next(tmp_path.glob(".out.mkv.*.part"), None), what="the file")
        wait_until(lambda: _lag() == [0], what="the dump to be at the head")
        dump.signal(signal.SIGSTOP)
        _publish(pub, itertools.islice(units, 400))
        dump.signal(signal.SIGCONT)
        wait_until(lambda: "frames missed" in dump.errors, what="the gap")
        _publish(pub, itertools.islice(units, 60))
    dump.finish()
    assert not part.exists()
    assert_plays(path)
    assert 0 < len(contents(path)["video"]) < 200


def _lag() -> list[int]:
    with arclyd.connect() as control:
        return [subscriber.lag_frames for subscriber in control.subscribers(KEY)]


def _publish(pub: arclyd.Publisher, units: Iterator[Unit]) -> None:
    for unit in units:
        pub.publish(
            unit.track, unit.payload, pts=unit.pts, dts=unit.dts, duration=unit.duration, keyframe=unit.keyframe
        )


def test_no_such_stream_leaves_no_file(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    path = tmp_path / "out.ts"
    dump: Script = spawn(DUMP, "live/none", "-o", path, name="dump")
    assert dump.wait() == StreamNotFound.exit_code
    assert not path.exists()
    assert_no_leftovers(tmp_path)
    strange = spawn(DUMP, "live/none", "-o", tmp_path / "out.avi", name="dump")
    assert strange.wait() == 2
    assert "--format" in strange.errors

"""`arclyctl snapshot` and `arclyctl play` against a real daemon: what they show is what the stream holds."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import threading
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

import arclyd
from arclyd.errors import MediaError, RequestRefused
from arclyd.ingest.file.feed import Feed
from arclyd.ingest.file.generated import GeneratedSource, Pattern
from tests.clips import clip, publish
from tests.recording import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tests.daemon import Daemon, Spawner

KEY = "live/cam"
ARCLYCTL = """
    import sys
    from arclyctl.cli import main
    sys.exit(main())
"""
WITHOUT_PYAV = "import sys\nsys.modules['av'] = None\n" + "from arclyctl.cli import main\nsys.exit(main())\n"


@pytest.fixture
def past(daemon: Daemon) -> Iterator[arclyd.Publisher]:
    """A stream with four seconds of the test picture in its ring, a keyframe a second."""
    source = GeneratedSource(Pattern(width=320, height=180, gop=25, bitrate=200_000))
    with arclyd.Publisher(KEY, source.tracks) as pub:
        Feed(source, pub, threading.Event(), paced=False, seconds=Fraction(4)).run()
        yield pub


def decoded(data: bytes) -> NDArray[np.uint8]:
    """A picture file as pixels."""
    with av.open(BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)


def last_keyframe() -> NDArray[np.uint8]:
    """The picture of the newest keyframe, decoded without `still`."""
    with arclyd.Subscriber(KEY, tracks=["video"]) as subscriber:
        frames = [frame for frame in subscriber.recv_many(100, timeout=5) if frame.keyframe]
        context = av.CodecContext.create("h264", "r")
        assert isinstance(context, av.VideoCodecContext)
        context.extradata = subscriber.tracks[0].config
        pictures = [*context.decode(av.Packet(frames[-1].tobytes())), *context.decode(None)]
    return pictures[0].to_ndarray(format="rgb24").astype(np.uint8)


@pytest.mark.parametrize("name", ["shot.jpg", "shot.png", "-"])
def test_a_snapshot_is_the_newest_keyframe(past: arclyd.Publisher, daemon: Daemon, tmp_path: Path, name: str) -> None:
    output = name if name == "-" else str(tmp_path / name)
    command = [sys.executable, "-m", "arclyctl", "snapshot", KEY, "-o", output]
    done = subprocess.run(command, env=daemon.env, check=True, capture_output=True, timeout=60)
    data = done.stdout if name == "-" else Path(output).read_bytes()
    assert data[:4] in ((b"\x89PNG",) if name.endswith("png") else (b"\xff\xd8\xff\xfe", b"\xff\xd8\xff\xe0"))
    wanted, found = last_keyframe().astype(int), decoded(data).astype(int)
    assert found.shape == wanted.shape == (180, 320, 3)
    # Another picture of the moving pattern is 20 away on average; rounding in and out of JPEG is less than 3.
    assert np.abs(found - wanted).mean() < (1 if name.endswith("png") else 5)
    assert [path.name for path in tmp_path.glob("*shot*")] == ([] if name == "-" else [name])


def test_a_snapshot_replaces_the_one_before_and_tells_of_itself(
    past: arclyd.Publisher, spawn: Spawner, tmp_path: Path
) -> None:
    path = tmp_path / "shot.png"
    path.write_text("the one before")
    (line,) = spawn(ARCLYCTL, "snapshot", KEY, "-o", path, "--json").finish()
    size = path.stat().st_size
    assert json.loads(line) == {"file": str(path), "format": "png", "width": 320, "height": 180, "bytes": size}


def test_what_can_be_no_snapshot_is_told(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    path = tmp_path / "shot.jpg"
    sound = arclyd.Track.audio("aac", config=b"\x11\x90", sample_rate=48000, channels=2)
    with arclyd.Publisher("live/radio", [sound]) as pub:
        pub.publish(0, b"sound", pts=0, keyframe=True)
        refused = spawn(ARCLYCTL, "snapshot", "live/radio", "-o", path)
        assert refused.wait() == RequestRefused.exit_code
        assert refused.errors == "arclyctl: error: stream 'live/radio' has no video\n"
    with arclyd.Publisher("live/broken", [arclyd.Track.video("h264", width=64, height=64)]) as pub:
        waiting = spawn(ARCLYCTL, "snapshot", "live/broken", "-o", path, "--timeout", 0)
        assert waiting.wait() == RequestRefused.exit_code
        assert "no keyframe" in waiting.errors
        pub.publish(0, b"no picture", pts=0, keyframe=True)
        broken = spawn(ARCLYCTL, "snapshot", "live/broken", "-o", path)
        assert broken.wait() == MediaError.exit_code
        assert "h264" in broken.errors
    strange = spawn(ARCLYCTL, "snapshot", KEY, "-o", tmp_path / "shot.gif")
    assert strange.wait() == 2
    assert not list(tmp_path.glob("*shot*"))


@pytest.mark.parametrize("verb", ["snapshot", "play"])
def test_without_pyav_it_is_named(past: arclyd.Publisher, spawn: Spawner, verb: str, tmp_path: Path) -> None:
    refused = spawn(WITHOUT_PYAV, verb, KEY, *(["-o", tmp_path / "shot.jpg"] if verb == "snapshot" else []))
    assert refused.wait() == 1
    assert f"{verb} needs the Python package 'av'" in refused.errors


# ------------------------------------------------------------------------ play


def player(folder: Path) -> str:
    """A player without a screen: it decodes what it gets and writes a checksum of each picture and sound."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    return shlex.join(["ffmpeg", "-v", "warning", "-i", "-", "-f", "framemd5", str(folder / "seen.txt")])


def shown(folder: Path) -> dict[int, int]:
    """How many pictures and sounds the player decoded, by its stream numbers."""
    lines = [line for line in (folder / "seen.txt").read_text().splitlines() if not line.startswith("#")]
    numbers = [int(line.partition(",")[0]) for line in lines]
    return {number: numbers.count(number) for number in set(numbers)}


def test_a_player_gets_every_frame_up_to_the_end(past: arclyd.Publisher, spawn: Spawner, tmp_path: Path) -> None:
    play = spawn(ARCLYCTL, "play", KEY, "--last", 100, "--player", player(tmp_path))
    with arclyd.connect() as control:
        eventually(lambda: [s.lag_frames for s in control.subscribers(KEY)] == [0], "the player to have it all")
    past.close()
    assert play.finish() == []
    assert play.errors == "the stream is over: ended\n"
    assert shown(tmp_path)[0] == 100


def test_what_ts_can_not_hold_is_played_as_matroska(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    sample = clip("av1", "libopus", 1)
    with arclyd.Publisher(KEY, sample.tracks) as pub:
        publish(pub, sample.samples)
        play = spawn(ARCLYCTL, "play", KEY, "--player", player(tmp_path))
        with arclyd.connect() as control:
            eventually(lambda: [s.lag_frames for s in control.subscribers(KEY)] == [0], "the player to have it")
    assert play.finish() == []
    assert shown(tmp_path)[0] == 25


def test_closing_the_player_is_the_end_of_it(past: arclyd.Publisher, spawn: Spawner, tmp_path: Path) -> None:
    spawn(ARCLYCTL, "play", KEY, "--last", 100, "--player", "sh -c 'head -c 1000 > /dev/null'").finish()
    failed = spawn(ARCLYCTL, "play", KEY, "--player", "sh -c 'cat > /dev/null & exit 3'")
    assert failed.wait() == RequestRefused.exit_code
    assert "ended with 3" in failed.errors
    missing = spawn(ARCLYCTL, "play", KEY, "--player", "/no/such/player")
    assert missing.wait() == RequestRefused.exit_code
    assert "/no/such/player can't be started: No such file" in missing.errors


def test_no_player_is_told(past: arclyd.Publisher, daemon: Daemon, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "arclyctl", "play", KEY]
    env = {**daemon.env, "PATH": str(tmp_path)}
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == RequestRefused.exit_code
    assert "neither mpv nor ffplay is installed" in done.stderr

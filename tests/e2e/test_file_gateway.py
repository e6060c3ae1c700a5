"""`arclyd publish` against a real daemon: what is in the file is what independent processes receive."""

from __future__ import annotations

import array
import fcntl
import hashlib
import itertools
import json
import shutil
import signal
import subprocess
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

import arclyd
from arclyd.errors import (
    AlreadyPublishing,
    DaemonUnavailable,
    InvalidKey,
    MediaError,
    PublisherClosed,
    PublisherReplaced,
)
from arclyd.media.codecs.describe import describe_config
from arclyd.media.codecs.h264 import AvcConfig
from tests.e2e.reading import READER, dense, seen
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Daemon, Script, Spawner

CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
KEY = "live/bbb"
PUBLISH = """
    import sys
    from arclyd.__main__ import main
    sys.argv.insert(1, "publish")
    sys.exit(main())
"""


def file_packets() -> list[tuple[int, str]]:
    """Track and digest of every packet of the clip, in the file's order, as PyAV demuxes it."""
    with av.open(str(CLIP)) as container:
        return [(p.stream_index, hashlib.sha256(bytes(p)).hexdigest()) for p in container.demux() if p.size]


def ffmpeg_bytes(name: str) -> bytes:
    """The clip, remuxed by ffmpeg into a container that can be piped."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    command = ["ffmpeg", "-v", "error", "-i", str(CLIP), "-c", "copy", "-f", name, "-"]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


def collect(key: str, count: int, **options: object) -> list[tuple[arclyd.Frame, bytes]]:
    """The first frames of a stream, with their payloads; waits for the stream to appear."""
    with arclyd.Subscriber(key, wait=30, **options) as sub:  # type: ignore[arg-type] # passed through
        found = []
        while len(found) < count:
            frame = sub.recv(timeout=30)
            found.append((frame, frame.tobytes()))
        return found


def unread(pipe: int) -> int:
    """Bytes in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def read_by(reader: Script, count: int) -> None:
    wait_until(lambda: len(seen(reader)) >= count, timeout=60, what=f"{count} frames; it said {reader.errors}")


def test_three_processes_receive_the_packets_of_a_looping_file(daemon: Daemon, spawn: Spawner) -> None:
    packets = file_packets()
    gateway = spawn(PUBLISH, CLIP, KEY, "--loop", name="publish")
    options = json.dumps({"wait": 30, "start": "oldest"})
    readers = [spawn(READER, KEY, options, name="reader") for _ in range(3)]
    for reader in readers:
        read_by(reader, len(packets) + 60)  # into the second round
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() == 0
    assert gateway.errors == ""
    for reader in readers:
        assert reader.finish()[-1] == "end ended 0"
        frames = seen(reader)
        assert dense([frame.seq for frame in frames])
        assert [frame.is_config for frame in frames[:3]] == [True, True, False]
        media = [frame for frame in frames if not frame.is_config]
        assert len(media) == len(frames) - 2  # a loop is no new configuration
        assert [(frame.track, frame.digest) for frame in media] == [
            packets[n % len(packets)] for n in range(len(media))
        ]
        for track in (0, 1):
            times = [frame.pts for frame in media if frame.track == track]
            assert times == sorted(set(times))


@pytest.mark.parametrize("name", ["mpegts", "flv", "matroska"])
def test_a_container_on_standard_input(daemon: Daemon, spawn: Spawner, name: str) -> None:
    data = ffmpeg_bytes(name)
    gateway = spawn(PUBLISH, "-", KEY, "--fast", name="publish")
    reader = spawn(READER, KEY, json.dumps({"wait": 30, "start": "oldest"}), name="reader")
    assert gateway.process.stdin is not None
    gateway.process.stdin.write(data)
    gateway.process.stdin.flush()
    read_by(reader, 100)
    gateway.process.stdin.close()
    assert gateway.wait() == 0
    assert reader.finish()[-1] == "end ended 0"
    frames = [frame for frame in seen(reader) if not frame.is_config]
    # In a container of its own a picture may have another place among the sounds, but no other bytes.
    by_kind = [sorted(digest for track, digest in file_packets() if track == kind) for kind in (0, 1)]
    found = [sorted(frame.digest for frame in frames if frame.track == track) for track in (0, 1)]
    assert sorted(map(len, found)) == [132, 249]
    if name != "mpegts":
        assert sorted(found) == sorted(by_kind)
    else:
        sounds = max(by_kind, key=len)
        assert sounds in found  # the headers that a transport stream puts before each are gone again


def test_a_silent_pipe_can_be_left(daemon: Daemon, spawn: Spawner) -> None:
    gateway = spawn(PUBLISH, "-", KEY, name="publish")
    pipe = gateway.process.stdin
    assert pipe is not None
    pipe.write(b"G" * 10)
    pipe.flush()
    wait_until(lambda: not unread(pipe.fileno()), what="it to read what there is and to wait for more")
    gateway.signal(signal.SIGTERM)
    assert gateway.wait() != 0
    assert "Traceback" not in gateway.errors


def test_the_test_picture_is_what_was_asked_for(daemon: Daemon, spawn: Spawner) -> None:
    spawn(PUBLISH, "test:size=320x180,fps=30,gop=15,bitrate=300k", KEY, name="publish")
    frames = collect(KEY, 120, start="oldest")
    (video, _), (audio, _) = [item for item in frames if item[0].is_config]
    assert (video.track, audio.track) == (0, 1)
    facts = describe_config(arclyd.CodecId.H264, frames[0][1])
    assert (facts.width, facts.height) == (320, 180)
    assert AvcConfig.parse(frames[0][1]).length_size == 4
    pictures = [frame for frame, _ in frames if frame.track == 0 and not frame.is_config]
    keys = [number for number, frame in enumerate(pictures) if frame.keyframe]
    # The reader may have come before the first picture and asked for a keyframe: that one is extra.
    assert keys[0] == 0
    assert keys[-1] - keys[-2] == 15
    assert {later.dts - sooner.dts for sooner, later in itertools.pairwise(pictures)} == {3000}


def test_the_test_picture_answers_a_request_for_a_keyframe(daemon: Daemon, spawn: Spawner) -> None:
    spawn(PUBLISH, "test:size=64x48,gop=100000", KEY, name="publish")
    with arclyd.connect() as control:
        # A reader that comes before the first picture asks for a keyframe of its own accord: that one would be extra.
        wait_until(lambda: any(stream.head > 2 for stream in control.list_streams()), what="the first picture")
        with arclyd.Subscriber(KEY, tracks=["video"]) as sub:
            assert [sub.recv(timeout=30).keyframe for _ in range(5)].count(True) == 1
            control.request_keyframe(KEY)
            wait_until(lambda: sub.recv(timeout=30).keyframe, what="a second keyframe")


def test_a_file_is_published_in_real_time(daemon: Daemon, spawn: Spawner) -> None:
    spawn(PUBLISH, CLIP, KEY, name="publish")
    frames = [frame for frame, _ in collect(KEY, 101, start="oldest", tracks=["video"]) if not frame.is_config]
    media = (frames[99].dts - frames[0].dts) / 12_800
    clock = (frames[99].publish_ns - frames[0].publish_ns) / 1e9
    assert media == 99 / 25
    assert clock >= media - 0.05


def test_seconds_and_tags(daemon: Daemon, spawn: Spawner) -> None:
    gateway = spawn(PUBLISH, "test:size=64x48", KEY, "--tag", "place=roof", "--tag", "owner=me", name="publish")
    with arclyd.connect() as control:
        wait_until(lambda: any(stream.head > 2 for stream in control.list_streams()), what="frames")
        metadata = control.metadata(KEY)
    assert metadata.tags == {"place": "roof", "owner": "me"}
    assert metadata.ingest_protocol == "test"
    gateway.signal(signal.SIGINT)
    assert gateway.wait() == 0
    bounded = spawn(PUBLISH, "test:size=64x48,sound=off", KEY, "--fast", "--seconds", "2", name="publish")
    bounded.finish()
    assert bounded.errors == ""


def test_who_is_replaced_or_ended_says_so(daemon: Daemon, spawn: Spawner) -> None:
    first = spawn(PUBLISH, "test:size=64x48", KEY, name="first")
    collect(KEY, 10)
    second = spawn(PUBLISH, "test:size=64x48", KEY, "--on-taken", "replace", name="second")
    assert first.wait() == PublisherReplaced.exit_code
    assert f"another publisher took '{KEY}' over" in first.errors
    third = spawn(PUBLISH, "test:size=64x48", KEY, name="third")
    assert third.wait() == AlreadyPublishing.exit_code
    with arclyd.connect() as control:
        control.end(KEY)
    assert second.wait() == PublisherClosed.exit_code
    assert second.errors.startswith("arclyd: error: ")


def test_what_can_not_work_is_one_line_and_a_code(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "no.sock")
    cases = [
        (("missing.mp4", KEY), MediaError.exit_code),
        (("test:size=big", KEY), MediaError.exit_code),
        ((CLIP, "bbb"), InvalidKey.exit_code),
        ((CLIP, KEY, "--socket", nowhere), DaemonUnavailable.exit_code),
    ]
    for args, code in cases:
        script = spawn(PUBLISH, *args, name="publish")
        assert script.wait() == code, script.errors
        assert script.errors.startswith("arclyd: error: ")
        assert len(script.errors.splitlines()) == 1

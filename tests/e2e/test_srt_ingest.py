"""Encoders of several makes publish by SRT, and every access unit arrives as it was in their source."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rtmp import AT_LENGTH, KEY, contained, ended, ffmpeg, reader, received
from tests.e2e.srt import CLIP, PASSPHRASE, PUBLISH, STANDARD, SrtGateway

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Script, Spawner

PACE = 1 if AT_LENGTH else 4
"""Times real time at which a source is sent."""

FORWARD = """
    import os, subprocess, sys

    # What comes through the pipe is sent on. The pipe has no end, and what sends it is killed when the test has all.
    pace, source, url = sys.argv[1:]
    read, write = os.pipe()
    if os.fork() == 0:
        os.close(read)
        command = ["ffmpeg", "-v", "error", "-nostdin", "-readrate", pace, "-i", source]
        subprocess.run([*command, "-c", "copy", "-f", "mpegts", "pipe:1"], stdout=write, check=True)
        os.write(write, (bytes((0x47, 0x1f, 0xff, 0x10)) + bytes(184)) * 700)  # only full buffers are sent
        os._exit(0)
    os.set_inheritable(write, True)
    os.dup2(read, 0)
    os.execvp("srt-live-transmit", ["srt-live-transmit", "-q", "file://con", url])
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film: five seconds of it, or thirty where that is asked for."""
    if not AT_LENGTH:
        return CLIP
    path = tmp_path_factory.mktemp("source") / "long.mp4"
    done = ffmpeg("-stream_loop", 5, "-i", CLIP, "-c", "copy", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    return path


def has_all(script: Script, source: Path) -> None:
    """The stream, whose encoder has left, is what was in the file."""
    ended()
    tracks, end = received(script)
    assert tracks == contained(source)
    assert end == ["end ended 0"]


@pytest.mark.parametrize("stream_id", [PUBLISH, STANDARD])
@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "encrypted"])
def test_ffmpeg(spawn: Spawner, source: Path, secret: Path, stream_id: str, *, encrypted: bool) -> None:
    gateway = SrtGateway(spawn, *(("--passphrase-file", f"live={secret}") if encrypted else ()))
    there = reader(spawn)
    # Without time to linger it throws away what it has not sent when it stops.
    url = gateway.url(stream_id, "linger=5", *((f"passphrase={PASSPHRASE}",) if encrypted else ()))
    done = ffmpeg("-readrate", PACE, "-i", source, "-c", "copy", "-f", "mpegts", url)
    assert done.returncode == 0, done.stderr
    has_all(there, source)


@pytest.mark.parametrize(("stream_id", "encrypted"), [(PUBLISH, True), (STANDARD, False)])
def test_srt_live_transmit(spawn: Spawner, source: Path, secret: Path, stream_id: str, *, encrypted: bool) -> None:
    gateway = SrtGateway(spawn, "--idle", "3", *(("--passphrase-file", secret) if encrypted else ()))
    there = reader(spawn)
    url = gateway.url(stream_id, *((f"passphrase={PASSPHRASE}",) if encrypted else ()))
    sending = spawn(FORWARD, PACE, source, url, name="transmit")
    units = sum(len(track) for track in contained(source))
    gateway.await_units(there, units - 2)  # the end of the last ones is the end of the connection
    sending.kill()
    has_all(there, source)


@pytest.mark.parametrize(("stream_id", "encrypted"), [(PUBLISH, False), (STANDARD, True)])
def test_gstreamer(spawn: Spawner, source: Path, secret: Path, stream_id: str, *, encrypted: bool) -> None:
    gateway = SrtGateway(spawn, *(("--passphrase-file", f"live={secret}") if encrypted else ()))
    there = reader(spawn)
    pipeline = (
        f"filesrc location={source} ! qtdemux name=d mpegtsmux name=m alignment=7 ! "
        f"srtsink uri=srt://127.0.0.1:{gateway.port} streamid={stream_id} "
        f"{f'passphrase={PASSPHRASE} ' if encrypted else ''}"
        "d.video_0 ! queue ! h264parse ! m. d.audio_0 ! queue ! aacparse ! m."
    )
    done = subprocess.run(["gst-launch-1.0", "-q", *pipeline.split()], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    has_all(there, source)


def test_the_metadata_say_where_it_comes_from_and_how_the_line_is(spawn: Spawner) -> None:
    gateway = SrtGateway(spawn, "--latency", "300")
    command = ["-re", "-stream_loop", "9", "-i", str(CLIP), "-c", "copy", "-f", "mpegts", gateway.url(PUBLISH)]
    encoder = spawn("import os, sys; os.execvp('ffmpeg', ['ffmpeg', '-v', 'error', *sys.argv[1:]])", *command)
    said = gateway.metadata(KEY, lambda tags: int(tags.get("srt_received", 0)) > 100)
    assert said.ingest_protocol == "srt"
    assert said.publisher_addr.startswith("127.0.0.1:")
    assert said.tags["srt_latency_ms"] == "300"
    assert said.tags["srt_dropped"] == "0"
    encoder.signal(15)
    gateway.says("the connection ended (rtt ")

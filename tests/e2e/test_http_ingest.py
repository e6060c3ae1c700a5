"""Streams in the body of HTTP requests: FLV with real encoders, and requests that only take up room."""

from __future__ import annotations

import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests import clips
from tests.e2e.rtmp import KEY, PUSH, contained, ffmpeg, reader, received
from tests.e2e.transport import TransportGateway
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Daemon, Spawner

BUNNY = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"


@pytest.fixture(autouse=True)
def _encoder() -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")


def served(spawn: Spawner, *args: object) -> TransportGateway:
    return TransportGateway(spawn, "http://127.0.0.1:0", *args, key=None)


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_ffmpeg_sends_flv(daemon: Daemon, spawn: Spawner, method: str) -> None:
    gateway, there = served(spawn), reader(spawn)
    done = ffmpeg("-readrate", 4, "-i", BUNNY, "-c", "copy", "-f", "flv", "-method", method, f"{gateway.base}/{KEY}")
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    assert tracks == contained(BUNNY)
    assert [line.split()[:2] for line in end] == [["end", "ended"]]


def test_flv_as_enhanced_rtmp_has_it(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    clips._encode(source, "hevc", "libopus", 2)
    gateway, there = served(spawn), reader(spawn)
    pushing = spawn(PUSH, source, f"{gateway.base}/{KEY}", 4, name="push")
    there.await_line("frame")
    with arclyd.connect() as control:
        assert [track.codec for track in control.qos(KEY).tracks] == ["h265", "opus"]
        assert control.metadata(KEY).ingest_protocol == "flv+http"
    pushing.await_line("pushed")
    pushing.say("done")
    pushing.finish()
    assert received(there)[0] == contained(source)


def test_flv_with_new_codecs_on_standard_input(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    source, written = tmp_path / "source.mp4", tmp_path / "written.flv"
    clips._encode(source, "hevc", "libopus", 2)
    pushing = spawn(PUSH, source, written, 1000, name="push")
    pushing.await_line("pushed")
    pushing.say("done")
    pushing.finish()
    there, gateway = reader(spawn), spawn(ARCLYD, "publish", "-", KEY, "--fast", name="publish")
    assert gateway.process.stdin is not None
    gateway.process.stdin.write(written.read_bytes())
    gateway.process.stdin.flush()
    there.await_line("frame")
    gateway.process.stdin.close()
    gateway.finish()
    assert received(there)[0] == contained(source)


def test_what_is_neither_is_answered_with_an_error(daemon: Daemon, spawn: Spawner) -> None:
    gateway = served(spawn)
    data = b"FLV\x01\x05\0\0\0\x09\0\0\0\0no tag at all"
    request = urllib.request.Request(f"{gateway.base}/{KEY}", data=data, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code == 400
    assert b"no tag where one should be" in caught.value.read()
    with arclyd.connect() as control:
        assert not [stream for stream in control.list_streams() if stream.epoch]


def closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1000) == b""
    except ConnectionResetError:
        return True


def test_a_header_that_does_not_end_is_given_up(daemon: Daemon, spawn: Spawner) -> None:
    gateway = served(spawn, "--start", "1")
    with socket.create_connection(("127.0.0.1", gateway.port)) as slow:
        slow.sendall(f"POST /{KEY} HTTP/1.1\r\nHost: x\r\n".encode())
        slow.settimeout(0.1)

        def given_up() -> bool:
            try:
                slow.sendall(b"X-More: 1\r\n")  # a little, again and again
                return closed(slow)
            except TimeoutError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True

        wait_until(given_up, what="the connection to be given up")


@pytest.mark.parametrize("head", [b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00", b"\x47\x1f\xff\x10" + b"\xff" * 184])
def test_a_body_without_a_stream_in_it_is_given_up(daemon: Daemon, spawn: Spawner, head: bytes) -> None:
    gateway = served(spawn, "--start", "1")
    with socket.create_connection(("127.0.0.1", gateway.port)) as slow:
        slow.sendall(f"POST /{KEY} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode() + head)
        slow.settimeout(60)
        assert closed(slow)
    gateway.says("no stream began in 1 s")

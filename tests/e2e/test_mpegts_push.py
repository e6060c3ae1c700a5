"""`arclyd push KEY udp://…`: what others receive is what was published, at the pace of the clock in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.ingest.mpegts.address import Address, open_receiver
from arclyd.media.formats.mpegts.demuxer import Demuxer, Unit
from arclyd.media.formats.mpegts.schedule import DATAGRAM
from tests.e2e.rtmp import contained, ended, received
from tests.e2e.test_mpegts_ingest import up
from tests.e2e.transport import TransportGateway
from tests.recording import ARCLYD

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from tests.daemon import Daemon, Script, Spawner

CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
SOURCE = "live/source"


def pushing(spawn: Spawner, url: str) -> Script:
    """A sender that is ready before the stream begins."""
    return spawn(ARCLYD, "push", SOURCE, url, name="push")


def publishing(spawn: Spawner) -> Script:
    return spawn(ARCLYD, "publish", CLIP, SOURCE, "-q", name="publish")


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with open_receiver(Address.parse("udp://127.0.0.1:0")) as sock:
        sock.settimeout(60)
        yield sock


def test_what_is_sent_is_what_was_published(daemon: Daemon, spawn: Spawner) -> None:
    gateway = TransportGateway(spawn, "udp://127.0.0.1:0", "--idle", "2")
    script = up(spawn)
    pushing(spawn, gateway.base)
    publishing(spawn)
    gateway.says("nothing came for 2 s")
    ended()
    tracks, _ = received(script)
    assert tracks == contained(CLIP)


def test_others_read_it_as_it_comes(daemon: Daemon, spawn: Spawner, receiver: socket.socket, tmp_path: Path) -> None:
    if shutil.which("ffprobe") is None or shutil.which("gst-launch-1.0") is None:
        pytest.skip("ffprobe or GStreamer is not installed")
    pushing(spawn, f"udp://127.0.0.1:{receiver.getsockname()[1]}")
    publisher = publishing(spawn)
    demuxer, datagrams, clocks = Demuxer(), [], []
    pictures = 0
    while pictures < 100:
        datagrams.append(receiver.recv(2048))
        pictures += sum(isinstance(event, Unit) and event.pid == 256 for event in demuxer.receive(datagrams[-1]))
        if demuxer.clock is not None:
            clocks.append((time.monotonic(), demuxer.clock / 90_000))
    publisher.kill()
    assert {len(datagram) for datagram in datagrams} == {DATAGRAM}
    assert demuxer.counts.continuity == 0
    # Over the whole it can't be faster than its clock, but for what the receiver was late at first.
    elapsed, ticked = (clocks[-1][axis] - clocks[0][axis] for axis in (0, 1))
    assert ticked - elapsed < 1.0
    path = tmp_path / "received.ts"
    path.write_bytes(b"".join(datagrams))
    entries = ["-show_entries", "stream=id,codec_name,width,sample_rate,channels", "-of", "json"]
    probe = subprocess.run(
        ["ffprobe", "-v", "error", *entries, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(probe.stdout)["streams"] == [
        {"id": "0x100", "codec_name": "h264", "width": 1280},
        {"id": "0x101", "codec_name": "aac", "sample_rate": "48000", "channels": 6},
    ]
    ways = "d.video_0_0100 ! queue ! h264parse ! fakesink d.audio_0_0101 ! queue ! aacparse ! fakesink"
    done = subprocess.run(
        ["gst-launch-1.0", "-q", "filesrc", f"location={path}", "!", "tsdemux", "name=d", *ways.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_group_is_sent_to_with_its_own_hops(daemon: Daemon, spawn: Spawner) -> None:
    wrong = spawn(ARCLYD, "push", SOURCE, "udp://239.7.7.7:5004?hops=3", name="push")
    assert wrong.wait() == arclyd.errors.WireError.exit_code
    assert "has no hops" in wrong.errors


def test_datagrams_are_not_fetched(daemon: Daemon, spawn: Spawner) -> None:
    wrong = spawn(ARCLYD, "pull", "udp://239.7.7.7:5004", SOURCE, name="pull")
    assert wrong.wait() == 2
    assert "arclyd listen mpegts udp://239.7.7.7:5004 live/source" in wrong.errors

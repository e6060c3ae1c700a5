"""An encoder whose packets are dropped from one moment on: no FIN, no RST, both sides with an open connection."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import m3u8
import pytest

import arclyd
from tests.e2e.networks import impossible, joined
from tests.e2e.packager import KEY, TRACK, Packager
from tests.e2e.rtmp import RtmpGateway
from tests.e2e.transport import TransportGateway
from tests.packaging import make_clip
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon import Daemon, Spawner

PROGRAM = "import os, sys\nos.execvp(sys.argv[1], sys.argv[1:])"


@pytest.fixture(autouse=True)
def _possible() -> None:
    if why := impossible():
        pytest.skip(f"no networks: {why}")


@pytest.fixture
def daemon(start_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """One that lets clients of another host publish, and is the test's own default, too."""
    daemon = start_daemon('[apps.live.publish]\nopen = "all"\n')
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    return daemon


class Followed:
    """A playlist as a player sees it, again and again: what it ever said of each segment has to stay so."""

    def __init__(self, packager: Packager) -> None:
        self._packager = packager
        self.segments: dict[int, tuple[str, bool]] = {}
        self._first = 0

    def look(self) -> str:
        text = self._packager.get(TRACK).text
        parsed = m3u8.loads(text)
        assert parsed.media_sequence >= self._first
        self._first = parsed.media_sequence
        for number, segment in enumerate((each for each in parsed.segments if each.uri), parsed.media_sequence):
            told = segment.uri, bool(segment.discontinuity)
            assert self.segments.setdefault(number, told) == told
        return text

    @property
    def breaks(self) -> int:
        self.look()
        return sum(broken for _, broken in self.segments.values())


@pytest.mark.timeout(180)
def test_an_encoder_whose_packets_are_dropped_goes_on_by_another_port(
    daemon: Daemon, spawn: Spawner, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path, "h264_aac.mp4", 60)
    here, there = joined(spawn)
    gateway = RtmpGateway(here, bind="0.0.0.0:0")
    url = f"rtmp://{here.address}:{gateway.port}/{KEY}"
    send = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(clip), "-c", "copy", "-f", "flv", url]
    packager = Packager(spawn, KEY)
    first = there(PROGRAM, *send, name="first")
    packager.await_file(TRACK)
    play = ["ffmpeg", "-v", "error", "-nostdin", "-live_start_index", "0", "-i", f"{packager.url}{TRACK}"]
    player = spawn(PROGRAM, *play, "-c", "copy", "-f", "framehash", "-", name="player")
    followed = Followed(packager)
    wait_until(lambda: followed.look() and len(followed.segments) >= 3, what="some segments")
    with arclyd.connect() as control:
        before = control.info(KEY)
        port = int(before.metadata.publisher_addr.rpartition(":")[2])
        there.drop("sport", port)
        here.drop("dport", port)
        cut = time.monotonic()
        second = there(PROGRAM, *send, name="second")
        after = wait_until(
            lambda: info if (info := control.info(KEY)).epoch == before.epoch + 1 else None, what="it back"
        )
        print(f"publishing again {time.monotonic() - cut:.3f} s after the cut", file=sys.stderr)
        assert first.process.poll() is None  # it knows of nothing
        assert after.metadata.publisher_addr.startswith(f"{there.address}:")
        assert not after.metadata.publisher_addr.endswith(f":{port}")
        wait_until(lambda: followed.breaks == 1, what="the break in the playlist")
        at = max(followed.segments)
        wait_until(lambda: followed.look() and max(followed.segments) >= at + 2, what="segments of the second")
        assert followed.breaks == 1
        assert sorted(followed.segments) == list(range(min(followed.segments), max(followed.segments) + 1))
        assert second.process.poll() is None
        control.end(KEY)
    wait_until(lambda: "ENDLIST" in followed.look(), what="the end")
    pictures = [line for line in player.finish(90) if not line.startswith("#")]
    assert len(pictures) > before.qos.tracks[0].frames  # it went on with the second's


def test_a_sender_by_http_whose_packets_are_dropped_is_followed_by_its_next_request(
    daemon: Daemon, spawn: Spawner, tmp_path: Path
) -> None:
    clip = make_clip(tmp_path, "h264_aac.mp4", 60)
    here, there = joined(spawn)
    gateway = TransportGateway(here, "http://0.0.0.0:0", key=None)
    url = f"http://{here.address}:{gateway.port}/{KEY}"
    send = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(clip), "-c", "copy", "-f", "flv", url]
    first = there(PROGRAM, *send, name="first")
    with arclyd.connect() as control:
        before = wait_until(lambda: found(control), what="the first")
        port = int(before.metadata.publisher_addr.rpartition(":")[2])
        there.drop("sport", port)
        here.drop("dport", port)
        there(PROGRAM, *send, name="second")
        wait_until(lambda: control.info(KEY).epoch == before.epoch + 1, what="the second")
        assert first.process.poll() is None
        assert control.info(KEY).metadata.ingest_protocol == "flv+http"
    gateway.says("its sender came back by another connection")


def found(control: arclyd.Control) -> arclyd.StreamInfo | None:
    try:
        return info if (info := control.info(KEY)).publisher else None
    except arclyd.StreamNotFound:
        return None

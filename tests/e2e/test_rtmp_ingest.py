"""Encoders of several makes publish by RTMP, and every access unit arrives as it was in their source."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests import clips
from tests.e2e.rtmp import KEY, PUSH, SCALE, RtmpGateway, contained, ended, ffmpeg, reader, received

if TYPE_CHECKING:
    from tests.daemon import Spawner

BUNNY = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
LENGTH = 5.3
WHOLE = ["end ended 0"]
"""What a reader says that has lost nothing."""


def pace() -> tuple[list[str], int]:
    """Options that repeat and pace a source, and how often it is sent: thirty seconds only where that is asked for."""
    times = round(30 / LENGTH) if SCALE >= 10 else 1
    return ["-readrate", "1" if times > 1 else "2", "-stream_loop", str(times - 1)], times


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True, timeout=60)
    return chain, key


def test_ffmpeg_by_rtmp(spawn: Spawner) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    options, times = pace()
    done = ffmpeg(*options, "-i", BUNNY, "-c", "copy", "-f", "flv", gateway.url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    assert tracks == contained(BUNNY, times)
    assert end == WHOLE


def test_ffmpeg_by_rtmps(spawn: Spawner, certificate: tuple[Path, Path]) -> None:
    gateway = RtmpGateway(spawn, "--tls-cert", certificate[0], "--tls-key", certificate[1])
    assert gateway.base.startswith("rtmps:")
    there = reader(spawn)
    options, times = pace()
    done = ffmpeg(*options, "-i", BUNNY, "-c", "copy", "-f", "flv", gateway.url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    assert tracks == contained(BUNNY, times)
    assert end == WHOLE


def test_gstreamer_by_rtmp(spawn: Spawner) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    pipeline = (
        f"filesrc location={BUNNY} ! qtdemux name=d flvmux name=m streamable=true ! rtmp2sink location={gateway.url} "
        "d.video_0 ! queue ! h264parse ! m. d.audio_0 ! queue ! aacparse ! m."
    )
    done = subprocess.run(["gst-launch-1.0", "-q", *pipeline.split()], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    ended()
    tracks, end = received(there)
    assert tracks == contained(BUNNY)
    assert end == WHOLE


@pytest.mark.parametrize(("picture", "sound"), [("hevc", "libopus"), ("av1", "libopus"), ("vp9", "aac")])
def test_pyav_by_enhanced_rtmp(spawn: Spawner, tmp_path: Path, picture: str, sound: str) -> None:
    source = tmp_path / "source.mp4"
    clips._encode(source, picture, sound, 2)
    gateway, there = RtmpGateway(spawn), reader(spawn)
    pushing = spawn(PUSH, source, gateway.url, name="push")
    there.await_line("frame")
    with arclyd.connect() as control:
        codecs = [track.codec for track in control.qos(KEY).tracks]
    assert codecs == [{"hevc": "h265"}.get(picture, picture), sound.removeprefix("lib")]
    pushing.await_line("pushed")
    pushing.say("done")
    pushing.finish()
    tracks, end = received(there)
    assert tracks == contained(source)
    assert end == WHOLE

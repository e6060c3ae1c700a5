"""Encoders of several makes publish by RTMP, and every access unit arrives as it was in their source."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests import clips
from tests.e2e.rtmp import AT_LENGTH, KEY, PUSH, RtmpGateway, contained, ended, ffmpeg, reader, received

if TYPE_CHECKING:
    from tests.daemon import Spawner

BUNNY = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
WHOLE = ["end ended 0"]
"""What a reader says that has lost nothing."""


PACE = 1 if AT_LENGTH else 4
"""Times real time at which a source is sent."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film: five seconds of it, or thirty where that is asked for."""
    if not AT_LENGTH:
        return BUNNY
    path = tmp_path_factory.mktemp("source") / "long.mp4"
    done = ffmpeg("-stream_loop", 5, "-i", BUNNY, "-c", "copy", path)
    assert done.returncode == 0, done.stderr
    return path


def test_ffmpeg_by_rtmp(spawn: Spawner, source: Path) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    done = ffmpeg("-readrate", PACE, "-i", source, "-c", "copy", "-f", "flv", gateway.url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    assert tracks == contained(source)
    assert end == WHOLE


def test_ffmpeg_by_rtmps(spawn: Spawner, source: Path, certificate: tuple[Path, Path]) -> None:
    gateway = RtmpGateway(spawn, "--tls-cert", certificate[0], "--tls-key", certificate[1])
    assert gateway.base.startswith("rtmps:")
    there = reader(spawn)
    done = ffmpeg("-readrate", PACE, "-i", source, "-c", "copy", "-f", "flv", gateway.url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    assert tracks == contained(source)
    assert end == WHOLE


def test_gstreamer_by_rtmp(spawn: Spawner, source: Path) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    pipeline = (
        f"filesrc location={source} ! qtdemux name=d flvmux name=m streamable=true ! rtmp2sink location={gateway.url} "
        "d.video_0 ! queue ! h264parse ! m. d.audio_0 ! queue ! aacparse ! m."
    )
    done = subprocess.run(["gst-launch-1.0", "-q", *pipeline.split()], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    ended()
    tracks, end = received(there)
    assert tracks == contained(source)
    assert end == WHOLE


@pytest.mark.parametrize(
    ("picture", "sound"), [("hevc", "libopus"), ("av1", "libopus"), ("vp9", "aac"), ("h264", "ac3")]
)
def test_pyav_by_enhanced_rtmp(spawn: Spawner, tmp_path: Path, picture: str, sound: str) -> None:
    source = tmp_path / "source.mp4"
    clips._encode(source, picture, sound, 30 if AT_LENGTH else 2)
    gateway, there = RtmpGateway(spawn), reader(spawn)
    pushing = spawn(PUSH, source, gateway.url, PACE, name="push")
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

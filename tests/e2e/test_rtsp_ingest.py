"""Encoders of several makes publish by RTSP, and every access unit arrives as it was in their source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests import clips
from tests.e2e.rtmp import KEY, contained, ffmpeg, reader, received
from tests.e2e.rtsp import PUSH, RtspGateway

if TYPE_CHECKING:
    from tests.daemon import Spawner

BUNNY = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
WHOLE = ["end ended 0"]
"""What a reader says that has lost nothing."""

KEPT_BACK = 4
"""Frames of AAC that FFmpeg's packer waits to send with others, and does not send at the end."""


def has_all(tracks: list[list[str]], source: Path) -> None:
    pictures, sounds = contained(source)
    assert tracks[0] == pictures
    assert tracks[1] == sounds[: len(tracks[1])]
    assert len(sounds) - len(tracks[1]) <= KEPT_BACK


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_ffmpeg_publishes(spawn: Spawner, transport: str) -> None:
    gateway, there = RtspGateway(spawn), reader(spawn)
    done = ffmpeg("-readrate", 2, "-i", BUNNY, "-c", "copy", "-f", "rtsp", "-rtsp_transport", transport, gateway.url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    has_all(tracks, BUNNY)
    assert end == WHOLE


@pytest.mark.parametrize(
    ("picture", "sound"), [("h264-b", "aac"), ("hevc", "libopus"), ("av1", "libopus"), ("vp9", "aac")]
)
def test_pyav_publishes_every_codec(spawn: Spawner, tmp_path: Path, picture: str, sound: str) -> None:
    source = tmp_path / "source.mp4"
    clips._encode(source, picture, sound, 2)
    gateway, there = RtspGateway(spawn), reader(spawn)
    pushing = spawn(PUSH, source, gateway.url, "tcp", 2, name="push")
    there.await_line("frame")
    with arclyd.connect() as control:
        codecs = [track.codec for track in control.qos(KEY).tracks]
    assert codecs == [{"hevc": "h265", "h264-b": "h264"}.get(picture, picture), sound.removeprefix("lib")]
    pushing.await_line("pushed")
    tracks, end = received(there)
    has_all(tracks, source)
    assert end == WHOLE

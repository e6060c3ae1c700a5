"""`arclyd listen srt` with real encoders: what is in their file is what a subscriber receives."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e.rtmp import contained, ended, received
from tests.e2e.srt import CLIP, PUBLISH, STANDARD, SrtGateway, sent
from tests.e2e.test_mpegts_ingest import up

if TYPE_CHECKING:
    from tests.daemon import Daemon, Spawner


@pytest.fixture(autouse=True)
def _encoder() -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")


@pytest.mark.parametrize("stream_id", [PUBLISH, STANDARD])
def test_what_ffmpeg_sends_is_what_is_received(daemon: Daemon, spawn: Spawner, stream_id: str) -> None:
    gateway, script = SrtGateway(spawn), up(spawn)
    done = sent(gateway.url(stream_id, "linger=5"))
    assert done.returncode == 0, done.stderr
    ended()
    tracks, _ = received(script)
    assert tracks == contained(CLIP)

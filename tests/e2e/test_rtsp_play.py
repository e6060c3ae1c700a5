"""Players of several makes read streams back by RTSP, over TCP and UDP, every access unit as it was published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import clips
from tests.e2e.rtsp import PLAY, RtspGateway
from tests.e2e.test_rtmp_play import go_on, published, since_the_newest_keyframe, watched

if TYPE_CHECKING:
    from tests.daemon import Spawner


@pytest.mark.parametrize(
    ("picture", "sound", "transport"),
    [
        ("h264", "aac", "tcp"),
        ("h264", "aac", "udp"),
        ("hevc", "libopus", "udp"),
        ("av1", "aac", "tcp"),
        ("vp9", "libopus", "tcp"),
    ],
)
def test_pyav_plays_every_codec(spawn: Spawner, picture: str, sound: str, transport: str) -> None:
    clip = clips.clip(picture, sound)
    gateway = RtspGateway(spawn)
    with published(clip) as publisher:
        player = spawn(PLAY, gateway.url, transport, name="play")
        wanted = since_the_newest_keyframe(clip)
        # A player holds a few frames back: more of the stream has to come.
        go_on(publisher, clip, players=1)
        found = watched(player, len(wanted))
    assert found[0][2] == "1" or picture == "vp9"  # of which FFmpeg does not say it here
    assert [facts[1] for facts in found][: len(wanted)] == wanted

"""Players of several makes read streams back by RTSP, over TCP and UDP, every access unit as it was published."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests import clips
from tests.e2e.rtsp import PLAY, RtspGateway
from tests.e2e.test_rtmp_play import PROGRAM, go_on, published, since_the_newest_keyframe, watched
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Script, Spawner


LENGTH = 4.0
"""Seconds of a clip, which is published again and again: a frame is known by its digest only within one of them."""

TOGETHER = 0.040
"""Seconds by which picture and sound may be off."""


def out_of_step(found: list[list[str]], clip: clips.Clip) -> float:
    """Seconds by which sound is late against the picture, by the newest packets of each that are the clip's."""
    shown: dict[str, float] = {}
    for kind, digest, _, at in found:
        for sample in clip.of(kind == "audio"):
            if sample.digest == digest:
                shown[kind] = float(at) - float(sample.pts * clip.tracks[sample.track].time_base)
    return (shown["audio"] - shown["video"] + LENGTH / 2) % LENGTH - LENGTH / 2


@pytest.mark.parametrize(
    ("picture", "sound", "transport"),
    [
        ("h264", "aac", "tcp"),
        ("h264", "aac", "udp"),
        ("h264", "aac", "http"),
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
    said = [line.split() for line in player.lines if line.startswith(("video ", "audio "))]
    first = [facts for facts in said if facts[0] == "video"][: len(wanted)]
    until = said.index(first[-1])
    if picture != "av1":  # whose hidden pictures are alike, down to the digest
        assert abs(out_of_step(said[: until + 1], clip)) < TOGETHER


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_ffmpeg_plays(spawn: Spawner, transport: str) -> None:
    clip = clips.clip("h264-b", "aac")
    gateway = RtspGateway(spawn)
    with published(clip) as publisher:
        options = f"-v error -rtsp_transport {transport} -buffer_size 2000000 -select_streams a -of csv=p=0"
        shown = "-show_packets -show_entries packet=data_hash -show_data_hash sha256"
        player = spawn(PROGRAM, "ffprobe", *options.split(), *shown.split(), gateway.url, name="ffprobe")
        go_on(publisher, clip, players=1)
        digests = wait_until(lambda: hashes(player, 40), what=f"the sound; {player.errors}")
        player.kill()
    wanted = [sample.digest for sample in clip.of(1)]
    place = wanted.index(digests[0])
    assert digests == (wanted[place:] + wanted)[:40]


def hashes(player: Script, number: int) -> list[str]:
    """The first so many that a player told, when there are so many."""
    found = re.findall("[0-9a-f]{64}", " ".join(player.lines))
    return found[:number] if len(found) >= number else []


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_gstreamer_plays(spawn: Spawner, transport: str) -> None:
    clip = clips.clip("h264-b", "aac")
    gateway = RtspGateway(spawn)
    with published(clip) as publisher:
        source = f"rtspsrc location={gateway.url} protocols={transport} latency=0 udp-buffer-size=2000000 name=s"
        ends = (
            "s. ! application/x-rtp,media=video ! rtph264depay ! video/x-h264,stream-format=avc,alignment=au ! "
            "checksumsink hash=sha256 sync=false "
            "s. ! application/x-rtp,media=audio ! rtpmp4gdepay ! fakesink sync=false"
        )
        player = spawn(PROGRAM, "gst-launch-1.0", "-q", *source.split(), *ends.split(), name="gstreamer")
        go_on(publisher, clip, players=1)
        wanted = since_the_newest_keyframe(clip)
        wait_until(lambda: len(player.lines) >= len(wanted), what=f"the pictures; {player.errors}")
        player.kill()
    assert [line.split()[-1] for line in player.lines[: len(wanted)]] == wanted

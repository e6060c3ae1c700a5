"""Players read streams back by RTMP: ffprobe and ffmpeg, GStreamer, and PyAV where Enhanced RTMP is spoken."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import arclyd
from tests import clips
from tests.e2e.rtmp import KEY, RtmpGateway, publish_until_begun, watching
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Script, Spawner

PLAY = """
    import hashlib, sys
    import av

    with av.open(sys.argv[1], format="flv", options={"analyzeduration": "500000"}) as source:
        print("streams", *(stream.codec_context.name for stream in source.streams), flush=True)
        for packet in source.demux():
            if packet.size:
                print(packet.stream.type, hashlib.sha256(packet).hexdigest(), int(packet.is_keyframe), flush=True)
"""

PROGRAM = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"


def published(clip: clips.Clip) -> arclyd.Publisher:
    """A publisher that has sent all of a clip, and says no more: what a player gets now is what the ring held."""
    publisher = arclyd.Publisher(KEY, clip.tracks)
    clips.publish(publisher, clip.samples)
    return publisher


def since_the_newest_keyframe(clip: clips.Clip) -> list[str]:
    pictures = clip.of(0)
    start = max(place for place, sample in enumerate(pictures) if sample.keyframe)
    return [sample.digest for sample in pictures[start:]]


def watched(script: Script, number: int) -> list[list[str]]:
    """What a player got, once it has so many pictures."""

    def pictures() -> list[list[str]]:
        assert script.process.poll() is None, script.errors
        return [line.split() for line in script.lines if line.startswith("video ")]

    wait_until(lambda: len(pictures()) >= number, what="the pictures")
    return pictures()


def go_on(publisher: arclyd.Publisher, clip: clips.Clip, players: int) -> None:
    """Publish the clip once more, its pictures when all players have begun where the newest keyframe was until now."""
    shift, first = clips.Fraction(4), clip.of(1)[:6]
    publish_until_begun(publisher, first, readers=players, shift=shift)
    clips.publish(publisher, [sample for sample in clip.samples if sample not in first], shift=shift)


@pytest.mark.parametrize(
    ("picture", "sound"), [("h264", "aac"), ("hevc", "libopus"), ("av1", "aac"), ("vp9", "libopus"), ("h264", "ac3")]
)
def test_every_codec_comes_back_as_it_was_from_the_newest_keyframe_on(spawn: Spawner, picture: str, sound: str) -> None:
    clip = clips.clip(picture, sound)
    gateway = RtmpGateway(spawn)
    with published(clip) as publisher:
        player = spawn(PLAY, gateway.url, name="play")
        wanted = since_the_newest_keyframe(clip)
        # A player holds a few frames back: more of the stream has to come.
        go_on(publisher, clip, players=1)
        found = watched(player, len(wanted))
    assert found[0][2] == "1"
    assert [digest for _, digest, _ in found][: len(wanted)] == wanted


def test_ffprobe_and_gstreamer_read_h264_and_aac(spawn: Spawner) -> None:
    clip = clips.clip("h264-b", "aac")
    gateway = RtmpGateway(spawn)
    with published(clip) as publisher:
        wanted = "ffprobe -v error -of json -show_streams -show_packets -show_data_hash sha256"
        ffprobe = spawn(PROGRAM, *wanted.split(), gateway.url, name="ffprobe")
        pipeline = (
            f"rtmp2src location={gateway.url} ! flvdemux name=d d.video ! queue ! fakesink d.audio ! queue ! fakesink"
        )
        gstreamer = spawn(PROGRAM, "gst-launch-1.0", "-v", *pipeline.split(), name="gstreamer")
        go_on(publisher, clip, players=2)
        config = clip.tracks[0].config.hex()
        wait_until(lambda: config in "".join(gstreamer.lines), what="GStreamer to have read the configuration")
        gstreamer.kill()
    found: dict[str, Any] = json.loads("".join(ffprobe.finish()))
    shown = [(stream["codec_name"], stream.get("width")) for stream in found["streams"]]
    assert sorted(shown) == [("aac", None), ("h264", 160)]
    pictures = [packet for packet in found["packets"] if packet["codec_type"] == "video"]
    every = since_the_newest_keyframe(clip) + [sample.digest for sample in clip.of(0)]
    assert [packet["data_hash"].removeprefix("SHA256:") for packet in pictures] == every


def test_a_player_is_told_that_there_is_no_such_stream(spawn: Spawner) -> None:
    gateway = RtmpGateway(spawn)
    command = ["ffprobe", "-v", "error", gateway.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0


def test_players_show_where_they_are_and_what_they_lost(spawn: Spawner) -> None:
    clip = clips.clip("h264", "aac")
    gateway = RtmpGateway(spawn)
    with published(clip), arclyd.connect() as control:
        player = spawn(PLAY, gateway.url, name="play")
        wait_until(lambda: watching() == 1, what="the player")
        (told,) = control.subscribers(KEY)
        assert told.name.startswith("rtmp 127.0.0.1:")
        player.kill()
        wait_until(lambda: watching() == 0, what="the player to be gone")
        left = [event for event in control.events(1, follow=False) if event.kind == "disconnected"]
        assert left[-1].key == KEY

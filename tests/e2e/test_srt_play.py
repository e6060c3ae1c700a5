"""Players read streams back by SRT: ffprobe, GStreamer and srt-live-transmit, at once from the newest keyframe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import arclyd
from arclyd.media.formats.mpegts.demuxer import Demuxer, Unit
from tests import clips
from tests.e2e.rtmp import KEY, watching
from tests.e2e.srt import PASSPHRASE, READ, SrtGateway
from tests.e2e.test_rtmp_play import PROGRAM, go_on, published, since_the_newest_keyframe
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Script, Spawner

COLLECT = """
    import os, sys

    os.dup2(os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY), 1)
    os.execvp(sys.argv[2], sys.argv[2:])
"""

STANDARD_READ = f"#!::r={KEY},m=request"


def run(spawn: Spawner, *words: object) -> Script:
    return spawn(PROGRAM, *words, name=str(words[0]))


@pytest.mark.parametrize("stream_id", [READ, STANDARD_READ])
def test_ffprobe_and_gstreamer_read_h264_and_aac(spawn: Spawner, stream_id: str) -> None:
    clip = clips.clip("h264-b", "aac")
    gateway = SrtGateway(spawn)
    probe = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_packets"]
    pipeline = (
        "! tsdemux name=d d.video_0_0100 ! queue ! h264parse ! fakesink d.audio_0_0101 ! queue ! aacparse ! fakesink"
    )
    with published(clip) as publisher:
        ffprobe = run(spawn, *probe, gateway.url(stream_id))
        source = ["srtsrc", f"uri=srt://127.0.0.1:{gateway.port}", f"streamid={stream_id}"]
        gstreamer = run(spawn, "gst-launch-1.0", "-v", *source, *pipeline.split())
        go_on(publisher, clip, players=2)
        wait_until(lambda: "width=(int)160" in "".join(gstreamer.lines), what="GStreamer to have found the picture")
        wait_until(lambda: "rate=(int)48000" in "".join(gstreamer.lines), what="GStreamer to have found the sound")
    found: dict[str, Any] = json.loads("".join(ffprobe.finish()))
    shown = [(stream["codec_name"], stream.get("width")) for stream in found["streams"]]
    assert sorted(shown) == [("aac", None), ("h264", 160)]
    pictures = [packet for packet in found["packets"] if packet["codec_type"] == "video"]
    every = since_the_newest_keyframe(clip) + [sample.digest for sample in clip.of(0)]
    assert len(pictures) == len(every)
    assert "K" in pictures[0]["flags"]


def test_what_is_in_the_ring_comes_at_once_and_encrypted(spawn: Spawner, tmp_path: Path) -> None:
    secret, received = tmp_path / "secret", tmp_path / "received.ts"
    secret.write_text(PASSPHRASE)
    clip = clips.clip("h264", "aac")
    gateway = SrtGateway(spawn, "--passphrase-file", secret)
    wanted = len(since_the_newest_keyframe(clip))
    with published(clip):  # and nothing more is published
        url = gateway.url(READ, f"passphrase={PASSPHRASE}")
        spawn(COLLECT, received, "srt-live-transmit", "-q", url, "file://con", name="player")

        def pictures() -> int:
            # The end of the last picture is the beginning of the next, which does not come.
            units = Demuxer().receive(received.read_bytes()) if received.exists() else ()
            return sum(isinstance(unit, Unit) and unit.pid == 0x100 for unit in units)

        wait_until(lambda: pictures() == wanted - 1, what="the pictures since the newest keyframe")


def test_players_show_where_they_are_and_how_their_line_was(spawn: Spawner) -> None:
    clip = clips.clip("h264", "aac")
    gateway = SrtGateway(spawn)
    with published(clip), arclyd.connect() as control:
        player = run(spawn, "ffmpeg", "-v", "error", "-i", gateway.url(READ), "-f", "null", "-")
        wait_until(lambda: watching() == 1, what="the player")
        (told,) = control.subscribers(KEY)
        assert told.name.startswith("srt 127.0.0.1:")
        player.signal(9)
        wait_until(lambda: watching() == 0, what="the player to be gone")
        gateway.says(f"{KEY}: the connection ended (rtt ")
        left = [event for event in control.events(1, follow=False) if event.kind == "disconnected"]
        assert left[-1].key == KEY
        assert "retransmitted" in left[-1].facts["reason"]


def test_a_player_that_stands_still_is_let_go_and_no_other_is_hurt(spawn: Spawner) -> None:
    clip = clips.clip("h264", "aac")
    gateway = SrtGateway(spawn, "--stalled", "2")
    with published(clip) as publisher:
        slow = run(spawn, "srt-live-transmit", "-q", gateway.url(READ), "file://con")
        other = run(spawn, *["ffprobe", "-v", "error", "-of", "json", "-show_packets"], gateway.url(READ))
        wait_until(lambda: watching() == 2, what="the players")
        go_on(publisher, clip, players=2)
        slow.signal(19)  # SIGSTOP
        wait_until(lambda: watching() == 1, what="it to be let go")
        clips.publish(publisher, clip.samples, shift=clips.Fraction(8))
    packets: dict[str, Any] = json.loads("".join(other.finish()))
    pictures = [packet for packet in packets["packets"] if packet["codec_type"] == "video"]
    assert len(pictures) == len(since_the_newest_keyframe(clip)) + 2 * len(clip.of(0))

"""`arclyd push` and `arclyd pull` against a gateway of our own: every access unit, and connections made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import arclyd
from tests import clips
from tests.e2e.rtmp import KEY, RtmpGateway, publish_until_begun, reader, received
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Spawner

COPY = "live/copy"


def before(clip: clips.Clip, seconds: float) -> list[clips.Sample]:
    return [sample for sample in clip.samples if sample.dts * clip.tracks[sample.track].time_base < seconds]


def publish_to_a_reader(publisher: arclyd.Publisher, clip: clips.Clip) -> None:
    """Publish all of a clip, most of it once somebody reads on from its first keyframe."""
    begin, more = len(before(clip, 0.3)), len(before(clip, 0.6))
    clips.publish(publisher, clip.samples[:begin])
    publish_until_begun(publisher, clip.samples[begin:more])
    clips.publish(publisher, clip.samples[more:])


def digests(clip: clips.Clip) -> list[list[str]]:
    return [[sample.digest for sample in clip.of(place)] for place in range(len(clip.tracks))]


def complete(tracks: list[list[str]], clip: clips.Clip) -> None:
    """Every picture is there, and the sound from the first of them on: what is before it no reader of a ring gets."""
    pictures, sounds = digests(clip)
    assert tracks[0] == pictures
    assert tracks[1] == sounds[-len(tracks[1]) :]
    assert len(sounds) - len(tracks[1]) <= 5


@pytest.mark.parametrize(("picture", "sound"), [("h264-b", "aac"), ("hevc", "libopus"), ("av1", "libopus")])
def test_what_is_pushed_arrives(spawn: Spawner, picture: str, sound: str) -> None:
    clip = clips.clip(picture, sound)
    gateway, there = RtmpGateway(spawn), reader(spawn, COPY)
    pushing = spawn(ARCLYD, "push", KEY, f"{gateway.base}/{COPY}", name="push")
    with arclyd.Publisher(KEY, clip.tracks) as publisher:
        publish_to_a_reader(publisher, clip)
        there.await_line("frame")
    tracks, end = received(there)
    complete(tracks, clip)
    assert end == ["end ended 0"]
    assert COPY.partition("/")[2] not in pushing.errors


def test_what_is_pulled_arrives(spawn: Spawner) -> None:
    clip = clips.clip("hevc", "aac")
    gateway, there = RtmpGateway(spawn), reader(spawn, COPY)
    spawn(ARCLYD, "pull", f"{gateway.base}/{KEY}", COPY, name="pull")
    with arclyd.Publisher(KEY, clip.tracks) as publisher:
        publish_to_a_reader(publisher, clip)
        last = clip.of(0)[-1].digest
        wait_until(lambda: any(last in line for line in there.lines), what="the last picture")
        with arclyd.connect() as control:
            assert control.info(COPY).metadata.ingest_protocol == "rtmp"
            control.end(COPY)
    tracks, _ = received(there)
    complete(tracks, clip)


def test_a_server_that_goes_away_is_found_again(spawn: Spawner) -> None:
    clip = clips.clip("h264", "aac")
    gateway = RtmpGateway(spawn)
    pushing = spawn(ARCLYD, "push", KEY, f"{gateway.base}/{COPY}", name="push")
    with arclyd.Publisher(KEY, clip.tracks) as publisher, arclyd.connect() as control:
        clips.publish(publisher, clip.samples)
        wait_until(lambda: any(s.key == COPY and s.qos.keyframes for s in control.list_streams()), what="the copy")
        gateway.script.kill()
        wait_until(lambda: "again in 1 s" in pushing.errors, what="the loss to be noticed")
        spawn(ARCLYD, "listen", "rtmp", "--bind", f"127.0.0.1:{gateway.port}", name="listen")
        clips.publish(publisher, clip.samples, shift=clips.Fraction(4))
        wait_until(lambda: control.info(COPY).epoch == 2, what="the copy to go on")


def test_a_refusal_is_told_and_tried_again(spawn: Spawner) -> None:
    gateway = RtmpGateway(spawn)
    pulling = spawn(ARCLYD, "pull", f"{gateway.base}/live/none", COPY, name="pull")
    wait_until(lambda: "NetStream.Play.StreamNotFound" in pulling.errors, what="the refusal")
    wait_until(lambda: "again in 2 s" in pulling.errors, what="another try")
    wrong = spawn(ARCLYD, "pull", "http://127.0.0.1/live/x", COPY, name="wrong")
    assert wrong.wait() == 2

"""`arclyd pull` and `arclyd push` by RTSP against a gateway of our own: every access unit, however it travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import arclyd
from tests import clips
from tests.e2e.rtmp import KEY, reader, received
from tests.e2e.rtsp import RtspGateway
from tests.e2e.test_rtmp_remote import COPY, complete, publish_to_a_reader
from tests.e2e.test_rtsp_life import guarded  # noqa: F401 - a fixture
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Spawner


@pytest.mark.parametrize(("picture", "sound"), [("h264-b", "aac"), ("hevc", "libopus")])
def test_what_is_pushed_arrives(spawn: Spawner, picture: str, sound: str) -> None:
    clip = clips.clip(picture, sound)
    gateway, there = RtspGateway(spawn), reader(spawn, COPY)
    spawn(ARCLYD, "push", KEY, f"{gateway.base}/{COPY}", name="push")
    with arclyd.Publisher(KEY, clip.tracks) as publisher:
        publish_to_a_reader(publisher, clip)
        there.await_line("frame")
    tracks, end = received(there)
    complete(tracks, clip)
    assert end == ["end ended 0"]


@pytest.mark.parametrize("options", [(), ("--udp-ports", "2000-2001")])
def test_what_is_pulled_arrives(spawn: Spawner, options: tuple[str, ...]) -> None:
    """In datagrams, and within the connection where those are not to be had: two tracks need more than two ports."""
    clip = clips.clip("h264-b", "aac")
    gateway, there = RtspGateway(spawn, *options), reader(spawn, COPY)
    pulling = spawn(ARCLYD, "pull", f"{gateway.base}/{KEY}", COPY, name="pull")
    with arclyd.Publisher(KEY, clip.tracks) as publisher:
        publish_to_a_reader(publisher, clip)
        last = clip.of(0)[-1].digest
        wait_until(lambda: any(last in line for line in there.lines), what="the last picture")
        with arclyd.connect() as control:
            assert control.info(COPY).metadata.ingest_protocol == "rtsp"
            control.end(COPY)
    tracks, _ = received(there)
    complete(tracks, clip)
    assert ("within the connection from now on" in pulling.errors) is bool(options)


def test_a_camera_that_refuses_is_asked_again(spawn: Spawner) -> None:
    gateway = RtspGateway(spawn)
    pulling = spawn(ARCLYD, "pull", f"{gateway.base}/live/none", COPY, name="pull")
    wait_until(lambda: "DESCRIBE refused: 404" in pulling.errors, what="the refusal")
    wait_until(lambda: "again in 2 s" in pulling.errors, what="another try")


def test_a_camera_with_a_password_is_shown_it_and_found_again(
    guarded: RtspGateway,  # noqa: F811 - the fixture
    spawn: Spawner,
) -> None:
    clip = clips.clip("h264", "aac")
    url = guarded.url.replace("://", "://studio:horse@")
    pulling = spawn(ARCLYD, "pull", url, "copy/cam1", name="pull")
    with arclyd.Publisher(KEY, clip.tracks) as publisher, arclyd.connect() as control:
        clips.publish(publisher, clip.samples)
        wait_until(lambda: any(s.key == "copy/cam1" and s.qos.keyframes for s in control.list_streams()), what="a copy")
        guarded.script.kill()
        wait_until(lambda: "again in 1 s" in pulling.errors, what="the loss to be noticed")
        spawn(ARCLYD, "listen", "rtsp", "--bind", f"127.0.0.1:{guarded.port}", name="listen")
        clips.publish(publisher, clip.samples, shift=clips.Fraction(4))
        wait_until(lambda: control.info("copy/cam1").epoch == 2, what="the copy to go on")
    assert "horse" not in pulling.errors

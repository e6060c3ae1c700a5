"""`arclyd pull --on-demand`: a stream of elsewhere is fetched while somebody wants it, and not otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.errors import StreamNotFound
from tests import clips
from tests.e2e.rtmp import KEY, RtmpGateway, watching
from tests.e2e.rtsp import RtspGateway
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Script, Spawner

COPY = "copy/cam1"


def said(script: Script, text: str, times: int) -> None:
    wait_until(lambda: script.errors.count(text) == times, what=f"{text!r}, the {times}. time; it said {script.errors}")


@pytest.mark.parametrize("protocol", ["rtsp", "rtmp"])
def test_it_is_fetched_while_somebody_wants_it(spawn: Spawner, tmp_path: Path, protocol: str) -> None:
    source = tmp_path / "source.mp4"
    clips._encode(source, "h264", "aac", 4)
    spawn(ARCLYD, "publish", source, KEY, "--loop", name="publish")
    url = RtspGateway(spawn).url if protocol == "rtsp" else RtmpGateway(spawn).url
    pulling = spawn(ARCLYD, "pull", url, COPY, "--on-demand", "--linger", 2, name="pull")
    for time in (1, 2):
        with arclyd.Subscriber(COPY, wait=60) as subscriber:
            said(pulling, "somebody wants it", time)
            first = subscriber.recv(timeout=60)
            wait_until(lambda: subscriber.recv(timeout=60).publish_ns > first.publish_ns, what="more of it")  # noqa: B023
            assert watching(KEY) == 1
        said(pulling, "nobody wanted it for 2 s", time)
        wait_until(lambda: watching(KEY) == 0, what="the server to be left")


def test_who_asks_a_gateway_wakes_it_too(spawn: Spawner, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    clips._encode(source, "h264", "aac", 4)
    spawn(ARCLYD, "publish", source, KEY, "--loop", name="publish")
    gateway = RtmpGateway(spawn)
    with arclyd.connect() as control:
        pulling = spawn(ARCLYD, "pull", gateway.url, COPY, "--on-demand", name="pull")

        def asked() -> bool:
            with pytest.raises(StreamNotFound):
                control.admit(COPY, "play", address="127.0.0.1:5", protocol="rtmp", shown={})
            return "somebody wants it" in pulling.errors

        wait_until(asked, what="the wish to be heard")
        wait_until(lambda: [stream for stream in control.list_streams() if stream.key == COPY], what="the stream")

"""Browsers publish from the page by WHIP, and watch by WHEP and by HLS: Chromium with a made-up camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import arclyd
from tests.clips import clip, publish
from tests.e2e.browser import Browser
from tests.e2e.packager import Packager
from tests.e2e.webrtc import WebrtcGateway
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon import Spawner

KEY = "live/browser"
OPTIONS = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
)
DECODED = "document.getElementById('video').getVideoPlaybackQuality().totalVideoFrames"
TIME = "document.getElementById('video').currentTime"
MESSAGE = "document.getElementById('message').textContent"


@pytest.fixture
def browser() -> Iterator[Callable[[], Browser]]:
    """Starts browsers."""
    started: list[Browser] = []

    def start() -> Browser:
        started.append(Browser(*OPTIONS))
        return started[-1]

    yield start
    for each in started:
        each.close()


def grows(page: Browser, value: str, by: float) -> None:
    """Wait until a value in the page is larger by so much than it is now."""
    before = page.evaluate(value)
    wait_until(lambda: (page.evaluate(value) or 0) >= before + by, what=f"{value} to grow: {page.evaluate(MESSAGE)}")


def test_one_browser_publishes_from_the_page_and_another_watches_both_ways(
    spawn: Spawner, browser: Callable[[], Browser]
) -> None:
    gateway = WebrtcGateway(spawn)
    packager = Packager(spawn, "--webrtc", gateway.base)
    sender = browser()
    sender.open(f"{packager.url}/publish")
    sender.evaluate("document.getElementById('go').focus()")
    sender.press("Enter")
    wait_until(lambda: sender.evaluate(MESSAGE) == "Publishing.", what="the page to publish")
    with arclyd.Subscriber(KEY, wait=60) as reader:
        assert [track.codec.label for track in reader.tracks] == ["h264", "opus"]
    wait_until(lambda: "b/s" in sender.evaluate("document.getElementById('bitrate').textContent"), what="the bitrate")
    wait_until(lambda: sender.evaluate("document.getElementById('level').value") > 0, what="a sound")
    assert "fps" in sender.evaluate("document.getElementById('fps').textContent")

    viewer = browser()
    viewer.open(f"{packager.url}/{KEY}")
    grows(viewer, TIME, 2)
    grows(viewer, DECODED, 30)
    wait_until(lambda: viewer.evaluate("!document.getElementById('direct-choice').hidden"), what="the choice of WebRTC")
    viewer.evaluate("document.getElementById('direct').focus()")
    viewer.press("Space")
    wait_until(lambda: viewer.evaluate("document.getElementById('video').srcObject !== null"), what="WebRTC")
    grows(viewer, TIME, 2)
    grows(viewer, DECODED, 30)
    assert viewer.evaluate("document.getElementById('video').videoWidth") >= 160
    viewer.press("Space")
    wait_until(lambda: viewer.evaluate("document.getElementById('video').srcObject === null"), what="HLS again")
    grows(viewer, DECODED, 30)

    sender.evaluate("document.getElementById('go').focus()")
    sender.press("Enter")
    wait_until(
        lambda: not any(each.key == KEY and "publishing" in each.state for each in arclyd.connect().list_streams()),
        what="the stream to be over",
    )
    assert [line for line in [*sender.said, *viewer.said] if line.startswith("error")] == []


def test_the_page_says_why_a_stream_with_b_frames_plays_by_hls_only(
    spawn: Spawner, browser: Callable[[], Browser]
) -> None:
    media = clip("h264-b", "aac")
    gateway = WebrtcGateway(spawn)
    with arclyd.Publisher(KEY, media.tracks) as publisher:
        publish(publisher, media.samples)
        packager = Packager(spawn, "--webrtc", gateway.base)
        viewer = browser()
        viewer.open(f"{packager.url}/{KEY}")
        wait_until(
            lambda: viewer.evaluate("!document.getElementById('direct-choice').hidden"), what="the choice of WebRTC"
        )
        viewer.evaluate("document.getElementById('direct').click()")
        note = "document.getElementById('note').textContent"
        wait_until(lambda: "B-frames" in (viewer.evaluate(note) or ""), what="the reason")
        assert viewer.evaluate("document.getElementById('direct').checked") is False
        wait_until(lambda: (viewer.evaluate(TIME) or 0) > 0, what="HLS to play")

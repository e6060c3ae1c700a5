"""Browsers publish from the page by WHIP, and watch by WHEP and by HLS: Chromium with a made-up camera."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests.clips import clip, publish
from tests.e2e.browser import Browser
from tests.e2e.packager import Packager
from tests.e2e.rtmp import RtmpGateway, watching
from tests.e2e.webrtc import KEY, WebrtcGateway, await_pictures
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.daemon import Spawner

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


@contextmanager
def encoding(args: list[str]) -> Iterator[None]:
    """An ffmpeg that encodes while entered."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *args]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


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
    sender.evaluate("document.getElementById('name').value = 'live/cam1'; document.getElementById('go').focus()")
    sender.press("Enter")
    wait_until(lambda: sender.evaluate(MESSAGE) == "Publishing.", what="the page to publish")
    with arclyd.Subscriber(KEY, wait=60) as reader:
        reader.recv(timeout=60)
        assert [track.codec.label for track in reader.tracks] == ["h264", "opus"]
    wait_until(lambda: "b/s" in sender.evaluate("document.getElementById('bitrate').textContent"), what="the bitrate")
    wait_until(lambda: sender.evaluate("document.getElementById('level').value") > 0, what="a sound")
    outline = sender.outline()
    for part in (
        'textbox "Stream"',
        'radio "Camera" [checked]',
        'checkbox "Microphone" [checked]',
        'button "Stop"',
        "meter",
    ):
        assert part in outline, outline

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


PUBLISH = """(async () => {
    const { negotiate } = await import("./signal.js");
    const connection = new RTCPeerConnection();
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 240 } });
    const sending = connection.addTransceiver(stream.getVideoTracks()[0], { direction: "sendonly" });
    const codecs = RTCRtpSender.getCapabilities("video").codecs;
    sending.setCodecPreferences(codecs.filter((codec) => codec.mimeType === "video/CODEC" ));
    window.kept = [connection, stream];
    window.session = await negotiate(connection, "URL", "");
})()"""

WATCH = """(async () => {
    const { negotiate } = await import("./signal.js");
    window.videos = [];
    window.left = [];
    for (let number = 0; number < COUNT; number += 1) {
        const connection = new RTCPeerConnection();
        const video = document.createElement("video");
        [video.muted, video.autoplay] = [true, true];
        document.body.append(video);
        video.srcObject = new MediaStream();
        for (const kind of ["video", "audio"]) {
            connection.addTransceiver(kind, { direction: "recvonly" });
        }
        connection.addEventListener("track", ({ track }) => video.srcObject.addTrack(track));
        video.connection = connection;
        window.videos.push(video);
        window.left.push((await negotiate(connection, "URL", "")).leftOut);
    }
})()"""
LEAST = "Math.min(...window.videos.map((video) => video.getVideoPlaybackQuality().totalVideoFrames))"


@pytest.mark.parametrize("codec", ["VP8", "VP9", "AV1"])
def test_codecs_pass_through_from_a_browser_and_to_it(
    spawn: Spawner, browser: Callable[[], Browser], codec: str
) -> None:
    gateway = WebrtcGateway(spawn)
    packager = Packager(spawn, "--webrtc", gateway.base)
    page = browser()
    page.open(f"{packager.url}/publish")
    page.evaluate(PUBLISH.replace("CODEC", codec).replace("URL", gateway.url("whip")))
    with arclyd.Subscriber(KEY, wait=60) as reader:
        reader.recv(timeout=60)
        assert [track.codec.label for track in reader.tracks] == [codec.lower()]
        assert (reader.tracks[0].width, reader.tracks[0].height) == (320, 240)
    watch = WATCH.replace("COUNT", "1").replace("URL", gateway.url("whep"))
    if codec == "AV1":  # taken, not sent
        with pytest.raises(AssertionError, match="browsers do not take av1"):
            page.evaluate(watch)
    else:
        page.evaluate(watch)
        grows(page, LEAST, 20)


def test_ten_viewers_watch_at_once_what_comes_by_rtmp(spawn: Spawner, browser: Callable[[], Browser]) -> None:
    rtmp, gateway = RtmpGateway(spawn), WebrtcGateway(spawn)
    packager = Packager(spawn, "--webrtc", gateway.base)
    source = ["-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-f", "lavfi", "-i", "sine"]
    encoders = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "25", "-c:a", "aac"]
    with encoding([*source, *encoders, "-f", "flv", f"{rtmp.base}/{KEY}"]):
        await_pictures(KEY)
        page = browser()
        page.open(f"{packager.url}/publish")
        page.evaluate(WATCH.replace("COUNT", "10").replace("URL", gateway.url("whep")))
        grows(page, LEAST, 30)
        assert page.evaluate("window.left") == ["audio: browsers do not take aac by WebRTC"] * 10
        assert watching(KEY) >= 10
        page.evaluate("window.videos.map((video) => video.connection.close())")


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

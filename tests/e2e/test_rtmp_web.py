"""From an encoder by RTMP to a browser by HLS, every process real; and on through the encoder's being cut off."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.e2e.browser import Browser
from tests.e2e.packager import KEY, Packager
from tests.e2e.rtmp import RtmpGateway
from tests.packaging import make_clip
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon import Daemon, Spawner

PROGRAM = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
PLAYED = "document.getElementById('video').currentTime"
MESSAGE = "document.getElementById('message').textContent"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = Browser()
    yield found
    found.close()


def await_playing(browser: Browser, after: float = 0.0) -> float:
    """The picture goes on beyond that, and nothing is left to be said; how far it is then."""
    script = f"{PLAYED} > {after} && {MESSAGE} === ''"
    wait_until(lambda: browser.evaluate(script), what=script)
    return float(browser.evaluate(PLAYED))


@pytest.mark.timeout(240)
def test_a_browser_sees_what_an_encoder_sends(browser: Browser, daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    clip = make_clip(tmp_path, "h264_aac.mp4", 60)
    gateway, packager = RtmpGateway(spawn), Packager(spawn)
    send = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(clip), "-c", "copy", "-f", "flv", gateway.url]
    encoder = spawn(PROGRAM, *send, name="ffmpeg")
    browser.open(f"{packager.url}/{KEY}")
    at = await_playing(browser)
    told = json.loads(
        subprocess.run(
            [sys.executable, "-m", "arclyctl", "info", KEY, "--json", "--socket", daemon.socket],
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
    )
    assert told["state"] == ["publishing"]
    assert told["metadata"]["ingest_protocol"] == "rtmp"
    assert told["metadata"]["publisher_addr"].startswith("127.0.0.1:")
    assert [track["codec"] for track in told["qos"]["tracks"]] == ["h264", "aac"]
    assert told["qos"]["video_bitrate_bps"] > 0
    encoder.kill()
    spawn(PROGRAM, *send, name="ffmpeg")
    await_playing(browser, at + 5)

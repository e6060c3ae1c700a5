"""Streams played in a real browser, by the page's player and by those of others.

`ARCLYD_STRESS=1` watches each for half a minute, and wants of the page every picture in time and no standstill: for a
machine with nothing else to do. Without it, on any machine, the picture moves and goes on; how well is printed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.e2e.browser import LONG, WATCHED, Browser, pixels, serving_players
from tests.e2e.packager import KEY, TRACK, Packager
from tests.packaging import make_clip
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon import Daemon, Spawner

FPS = 25
NEAR = 1.5
"""Seconds behind the source in low latency, at parts of 200 ms."""

LOOK = """(() => {
    const video = document.getElementById("video"), quality = video.getVideoPlaybackQuality();
    const text = (id) => document.getElementById(id)?.textContent ?? "";
    return [performance.now() / 1000, video.currentTime, quality.totalVideoFrames, quality.droppedVideoFrames,
            text("behind")];
})()"""

STANDSTILLS = """(() => {
    const video = document.getElementById("video");
    window.standstills = 0;
    video.addEventListener("waiting", () => { window.standstills += video.readyState < 3; });
})()"""


@dataclass(frozen=True, slots=True)
class Look:
    """What a video element has done by a time; seconds and pictures. ``behind``: None where the page does not tell."""

    at: float
    played: float
    pictures: int
    dropped: int
    behind: float | None


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = Browser()
    yield found
    found.close()


@pytest.fixture(scope="module")
def players() -> Iterator[str]:
    yield from serving_players()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough to be played once, with a keyframe a second."""
    return make_clip(tmp_path_factory.mktemp("clip"), "h264_aac.mp4", 120)


@pytest.fixture
def publisher(daemon: Daemon, spawn: Spawner, clip: Path) -> None:
    spawn(ARCLYD, "publish", clip, KEY, name="publish")


def look(browser: Browser) -> Look:
    at, played, pictures, dropped, behind = browser.evaluate(LOOK)
    number, _, unit = behind.partition(" ")
    seconds = float(number) / (1000 if unit == "ms" else 1) if unit else None
    return Look(at, played, pictures, dropped, seconds)


def assert_moving(browser: Browser, folder: Path) -> None:
    """What is on the screen changes, and is more than one colour."""
    shots = [folder / "first.png", folder / "last.png"]
    for shot in shots:
        pictures = look(browser).pictures
        wait_until(lambda least=pictures: look(browser).pictures > least + FPS // 2, what="another picture")
        browser.shoot("video", shot)
    one, other = (pixels(shot) for shot in shots)
    assert one.shape == other.shape
    assert len(np.unique(one.reshape(-1, 3), axis=0)) > 100
    assert np.mean(one != other) > 0.01


def watched(browser: Browser, folder: Path, what: str, *, flawless: bool) -> list[Look]:
    """Watch what the page plays, and see that it moves and goes on; ``flawless``: and loses nothing."""
    wait_until(lambda: look(browser).played and look(browser).pictures > FPS, what=f"{what} to play")
    browser.evaluate(STANDSTILLS)
    looks = [look(browser)]
    while looks[-1].at - looks[0].at < WATCHED:
        time.sleep(1)  # between two looks, each of which costs the page some time
        looks.append(look(browser))
    first, last = looks[0], looks[-1]
    seconds, pictures, dropped = last.at - first.at, last.pictures - first.pictures, last.dropped - first.dropped
    standstills = browser.evaluate("window.standstills")
    print(f"\n{what}: {seconds:.1f} s, {pictures} pictures, {dropped} dropped, {standstills} standstills")
    if behind := sorted(look.behind for look in looks if look.behind is not None):
        print(f"behind the source: {behind[0]} to {behind[-1]} s, {behind[len(behind) // 2]} s in the middle")
    assert_moving(browser, folder)
    assert last.played - first.played > seconds / 2
    assert pictures > seconds * FPS / 2
    if flawless:
        assert (dropped, standstills) == (0, 0)
        assert last.played - first.played > seconds * 0.98
    return looks


@pytest.mark.parametrize("kind", ["LL-HLS", "HLS"])
@pytest.mark.timeout(240)
def test_the_page_plays(
    browser: Browser, daemon: Daemon, publisher: None, spawn: Spawner, tmp_path: Path, kind: str
) -> None:
    packager = Packager(spawn, KEY, *(() if kind == "LL-HLS" else ("--no-low-latency",)))
    packager.await_file(f"/{KEY}/index.m3u8")
    if kind == "HLS":  # a player stays three target durations behind the end, if there is as much
        wait_until(lambda: packager.get(TRACK).text.count("#EXTINF") >= 4, what="some segments")
    browser.open(f"{packager.url}/{KEY}")
    looks = watched(browser, tmp_path, kind, flawless=LONG)
    behind = [look.behind for look in looks if look.behind is not None]
    assert len(behind) == len(looks)
    if LONG and kind == "LL-HLS":
        assert max(behind) < NEAR
    fetched = browser.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
    parts = [name for name in fetched if ".m4s" in name and name.rpartition("/")[2].count(".") == 2]
    assert bool(parts) == (kind == "LL-HLS")
    assert browser.said == []


@pytest.mark.parametrize("player", ["dashjs", "shaka"])
@pytest.mark.timeout(240)
def test_others_play_the_dash_stream(
    browser: Browser, daemon: Daemon, publisher: None, spawn: Spawner, players: str, tmp_path: Path, player: str
) -> None:
    packager = Packager(spawn, KEY, kind="dash")
    packager.await_file(f"/{KEY}/manifest.mpd")
    browser.open(f"{players}/{player}.html?manifest={packager.url}/{KEY}/manifest.mpd")
    watched(browser, tmp_path, f"DASH in {player}", flawless=False)
    assert browser.evaluate("window.errors") == []


@pytest.mark.parametrize("player", ["dashjs", "shaka"])
@pytest.mark.timeout(240)
def test_others_go_on_where_a_rendition_joins_the_dash_stream(
    browser: Browser,
    daemon: Daemon,
    publisher: None,
    spawn: Spawner,
    players: str,
    tmp_path_factory: pytest.TempPathFactory,
    player: str,
) -> None:
    """It begins later, with times of its own, and its pictures are reordered."""
    packager = Packager(spawn, KEY, kind="dash")
    packager.await_file(f"/{KEY}/manifest.mpd")
    browser.open(f"{players}/{player}.html?manifest={packager.url}/{KEY}/manifest.mpd")
    wait_until(lambda: look(browser).played and look(browser).pictures > FPS, what="it to play")
    spawn(ARCLYD, "publish", make_clip(tmp_path_factory.mktemp("joins"), "h264_bframes_aac.mp4", 60), f"{KEY}~other")
    wait_until(lambda: packager.get(f"/{KEY}/manifest.mpd").text.count("<Period") == 2, what="another period")
    before = look(browser)
    wait_until(lambda: browser.evaluate("window.pictures()") == 2, what="it to play where there are both")
    wait_until(lambda: look(browser).played > before.played + WATCHED, what="it to go on")
    assert browser.evaluate("window.errors") == []

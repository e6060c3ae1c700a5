"""The list of the streams in a real browser: what it shows, what it says, and how it is used without a mouse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.e2e.browser import Browser, pixels
from tests.e2e.packager import KEY, Packager
from tests.packaging import make_clip
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon import Daemon, Script, Spawner

SOUND = "radio/one"

CARD = f"[...document.querySelectorAll('.card')].find((card) => card.querySelector('a').textContent === '{KEY}')"
FIGURES = (
    f"Object.fromEntries([...{CARD}.querySelectorAll('[data-figure]')].map((e) => [e.dataset.figure, e.innerText]))"
)
POINTS = f"({CARD}?.querySelector('.line').getAttribute('d') ?? '').split('L').length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = Browser()
    yield found
    found.close()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return make_clip(folder, "h264_aac.mp4", 20), make_clip(folder, "sound.m4a", 20)


@pytest.fixture
def publishers(daemon: Daemon, spawn: Spawner, clips: tuple[Path, Path]) -> list[Script]:
    keys = (KEY, SOUND)
    return [
        spawn(ARCLYD, "publish", clip, key, "--loop", name="publish") for clip, key in zip(clips, keys, strict=True)
    ]


@pytest.fixture
def packager(publishers: list[Script], spawn: Spawner) -> Packager:
    found = Packager(spawn)
    for key in (KEY, SOUND):
        found.await_file(f"/{key}/index.m3u8")
    return found


def await_in(browser: Browser, script: str, what: str) -> Any:
    """The value of an expression in the page, once it is true."""
    return wait_until(lambda: browser.evaluate(script), what=what)


def test_the_list_shows_what_there_is(
    browser: Browser, packager: Packager, publishers: list[Script], tmp_path: Path
) -> None:
    browser.open(packager.url)
    await_in(browser, f"{POINTS} > 3", "a line of some seconds")
    await_in(browser, f"{CARD}.querySelector('img').naturalWidth === 160", "the picture")
    figures = browser.evaluate(FIGURES)
    assert figures["state"] == "live"
    assert figures["bitrate"].endswith("b/s")
    assert figures["fps"].endswith("fps")
    browser.shoot(".card .plot", tmp_path / "plot.png")
    drawn = pixels(tmp_path / "plot.png")
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) >= 3  # paper, line and the area below it
    outline = browser.outline()
    for line in ("banner", "main", 'heading "Streams" [level=1]', "list", f'link "{KEY}"', "term: Bitrate"):
        assert line in outline, outline
    assert "Sound only" in outline
    publishers[1].signal(15)
    await_in(browser, f"document.getElementById('message').textContent.startsWith('{SOUND} is ')", "the news")
    assert browser.said == []  # no error, nothing that the content policy refused


def test_a_stream_is_opened_by_keyboard_and_the_list_is_found_again(browser: Browser, packager: Packager) -> None:
    browser.open(packager.url)
    await_in(browser, f"{CARD} !== undefined", "the card")
    reached = []
    for _ in range(3):  # the box that holds the figures, and a link for each stream
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached == ["pause", KEY, SOUND]
    browser.press("Shift+Tab")
    browser.press("Enter")
    await_in(browser, f"location.pathname === '/{KEY}' && document.title === '{KEY}'", "the stream's page")
    await_in(browser, "document.getElementById('video').currentTime > 0", "the player")
    browser.press("Tab")
    browser.press("Enter")
    await_in(browser, "location.pathname === '/' && document.title === 'Streams'", "the list")


def test_a_card_stays_itself_while_its_figures_change(browser: Browser, packager: Packager) -> None:
    browser.open(packager.url)
    await_in(browser, f"{CARD} !== undefined", "the card")
    browser.evaluate(f"window.kept = {CARD}; {CARD}.querySelector('a').focus()")
    before = browser.evaluate(POINTS)
    await_in(browser, f"{POINTS} > {before}", "the next second")
    assert browser.evaluate(f"window.kept === {CARD} && document.activeElement === window.kept.querySelector('a')")
    browser.evaluate("document.getElementById('pause').click()")
    browser.evaluate(
        "window.asked = 0; const real = fetch; window.fetch = (...all) => (window.asked += 1, real(...all))"
    )
    browser.evaluate("new Promise((resolve) => setTimeout(resolve, 2500))")
    assert browser.evaluate("window.asked") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", f"/{KEY}"])
def test_it_fits_a_narrow_screen_in_light_and_dark(
    browser: Browser, packager: Packager, path: str, scheme: str
) -> None:
    browser.open(packager.url + path, viewport={"width": 320, "height": 640}, colorScheme=scheme)
    await_in(browser, "document.querySelector('.line')?.getAttribute('d')", "the plot")
    assert browser.evaluate("document.documentElement.scrollWidth") == 320
    colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour[4:-1].split(","))) < 200) == (scheme == "dark")

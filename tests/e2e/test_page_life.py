"""A stream's page before, during and after its stream, and what a link needs where tokens are asked for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from arclyd.control import tokens
from tests.e2e.browser import Browser
from tests.e2e.packager import KEY, Packager
from tests.packaging import make_clip
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon import Daemon, Spawner

SECRET = b"of sixteen bytes or more"
MESSAGE = "document.getElementById('message').textContent"
PLAYED = "document.getElementById('video').currentTime"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = Browser()
    yield found
    found.close()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path, "h264_aac.mp4", 20)


def await_in(browser: Browser, script: str) -> None:
    wait_until(lambda: browser.evaluate(script), what=script)


def await_playing(browser: Browser) -> None:
    """The picture goes on, and nothing is left to be said."""
    await_in(browser, f"{PLAYED} > 0 && {MESSAGE} === ''")
    at = browser.evaluate(PLAYED)
    await_in(browser, f"{PLAYED} > {at + 1}")


@pytest.mark.timeout(240)
def test_the_page_waits_plays_and_plays_again(browser: Browser, daemon: Daemon, spawn: Spawner, clip: Path) -> None:
    packager = Packager(spawn)
    browser.open(f"{packager.url}/{KEY}")
    await_in(browser, f"{MESSAGE}.startsWith('There is no such stream')")
    for _ in range(2):
        publisher = spawn(ARCLYD, "publish", clip, KEY, "--loop", name="publish")
        await_playing(browser)
        publisher.signal(15)
        publisher.wait()
        await_in(browser, f"{MESSAGE} === 'The stream has ended.'")


@pytest.mark.timeout(240)
def test_a_killed_packager_is_waited_for(browser: Browser, daemon: Daemon, spawn: Spawner, clip: Path) -> None:
    spawn(ARCLYD, "publish", clip, KEY, "--loop", name="publish")
    packager = Packager(spawn)
    packager.await_file(f"/{KEY}/index.m3u8")
    browser.open(f"{packager.url}/{KEY}")
    await_playing(browser)
    packager.script.kill()
    await_in(browser, f"{MESSAGE} !== ''")
    Packager(spawn, bind=packager.bind)
    await_playing(browser)


@pytest.mark.timeout(240)
def test_a_link_with_a_token_is_enough(
    browser: Browser, daemon: Daemon, spawn: Spawner, clip: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    spawn(ARCLYD, "publish", clip, KEY, "--loop", name="publish")
    packager = Packager(spawn, "--token-secret", str(secret))
    token = tokens.issue(SECRET, KEY, int(time.time()) + 1000)
    packager.await_file(f"/{KEY}/index.m3u8?token={token}")
    browser.open(f"{packager.url}/")
    await_in(browser, f"{MESSAGE}.includes('needs a token')")
    browser.open(f"{packager.url}/?token=1:00")
    await_in(browser, f"{MESSAGE}.includes('has expired')")
    browser.open(f"{packager.url}/?token={token}")
    await_in(browser, "document.querySelector('.card img')?.naturalWidth === 160")
    browser.evaluate("document.querySelector('.card a').click()")
    await_in(browser, f"location.pathname === '/{KEY}'")
    await_playing(browser)
    assert browser.evaluate("[...document.querySelectorAll('#addresses a')].every((a) => a.href.includes('token='))")
    assert browser.said == []
    browser.evaluate("document.getElementById('all').click()")
    await_in(browser, "document.querySelectorAll('.card').length === 1")

"""What the page's addresses answer: pages, their files, figures, and who may have them."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.control import tokens
from arclyd.packagers.http.page import ASSETS
from tests.e2e.packager import KEY, TRACK, Packager, publish, publishing
from tests.packaging import make_clip, read_clip
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.daemon import Daemon, Spawner
    from tests.e2e.packager import Clip

SECRET = b"of sixteen bytes or more"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return read_clip(make_clip(tmp_path_factory.mktemp("clip"), "h264_aac.mp4"), time.time_ns())


@pytest.fixture
def packager(daemon: Daemon, spawn: Spawner, clip: Clip) -> Iterator[Packager]:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        found = Packager(spawn, KEY)
        found.await_file(TRACK)
        yield found


def streams(packager: Packager, query: str = "") -> list[dict[str, Any]]:
    answer = packager.get(f"/streams.json{query}")
    found: list[dict[str, Any]] = json.loads(answer.text)["streams"] if answer.status == 200 else []
    return found


def await_streams(packager: Packager, count: int, query: str = "") -> list[dict[str, Any]]:
    """The figures once there are those of ``count`` streams: they are taken once a second."""
    return wait_until(lambda: len(found := streams(packager, query)) == count and found, what=f"{count} streams")


def test_figures_are_those_of_the_stream(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    packager = Packager(spawn, KEY)
    assert packager.get("/streams.json").headers["Cache-Control"] == "no-store"
    assert streams(packager) == []
    with publishing(KEY, tracks) as publisher:
        half = len(frames) // 2
        publish(publisher, frames[:half])
        packager.await_file(TRACK)
        await_streams(packager, 1)
        wait_until(lambda: streams(packager)[0]["history"], what="the first second")
        publish(publisher, frames[half:])  # comes in one second, or in two
        rest = sum(len(frame.payload) for frame in frames[half:]) * 8
        wait_until(lambda: sum(streams(packager)[0]["history"]) > 0.7 * rest, what="the bitrate to be shown")
        [found] = streams(packager)
        assert found["state"] == ["publishing"]
        assert found["codecs"] == ["avc1.42c00b", "mp4a.40.2"]
        assert (found["key"], found["width"], found["height"], found["lag"]) == (KEY, 160, 120, 0)
        assert found["viewers"] == 1  # `await_file` above
        assert streams(packager, f"?stream={KEY}") == streams(packager)
        assert streams(packager, "?stream=live/none") == []
    wait_until(lambda: streams(packager)[0]["state"] == ["ended"], what="the end to be shown")


def test_pages_and_their_files_have_the_headers_that_keep_them_safe(packager: Packager) -> None:
    for path in ("/", f"/{KEY}", "/live/none"):
        page = packager.get(path)
        assert page.status == (404 if "none" in path else 200)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert page.headers["X-Content-Type-Options"] == "nosniff"
    for name in ASSETS:
        asset = packager.get(f"/{name}")
        assert asset.status == 200
        tag = asset.headers["ETag"]
        again = packager.get(f"/{name}", If_None_Match=f'"other", {tag}')
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
        assert packager.get(f"/{name}", If_None_Match='"other"').status == 200
        zipped = packager.get(f"/{name}", Accept_Encoding="gzip")
        body = gzip.decompress(zipped.body) if "Content-Encoding" in zipped.headers else zipped.body
        assert body == asset.body
        assert packager.get(f"/{name}", method="HEAD").body == b""
    assert packager.get("/", method="POST").status == 405


def test_a_token_shows_the_streams_that_it_opens(daemon: Daemon, spawn: Spawner, clip: Clip, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    tracks, frames = clip
    packager = Packager(spawn, "--token-secret", str(secret))
    now = int(time.time())
    good, other = (tokens.issue(SECRET, key, now + 1000) for key in (KEY, "live/cam2"))
    old = tokens.issue(SECRET, KEY, now - 1)
    with (
        publishing(KEY, tracks) as one,
        publishing(KEY + "~low", tracks) as low,
        publishing("live/cam2", tracks) as two,
    ):
        for publisher in (one, low, two):
            publish(publisher, frames)
        shown = await_streams(packager, 2, f"?token={good}")
        assert [stream["key"] for stream in shown] == [KEY, KEY + "~low"]
        assert [stream["key"] for stream in await_streams(packager, 1, f"?token={other}")] == ["live/cam2"]
        for token in ("", "?token=", f"?token={old}", "?token=x", f"?stream={KEY}&token={other}"):
            refused = packager.get(f"/streams.json{token}")
            assert refused.status == 403, token
            assert KEY not in refused.text
        # Pages and their files tell nothing of the streams; a stream's page says by its status that it would not play.
        assert packager.get("/").status == 200
        assert packager.get("/list.js").status == 200
        assert packager.get(f"/{KEY}").status == packager.get(f"/live/none?token={good}").status == 403
        assert packager.get(f"/{KEY}?token={good}").status == 200
        assert packager.get(f"/{KEY}/snapshot.jpg").status == 403
        later = tokens.issue(SECRET, "live/later", now + 1000)
        assert streams(packager, f"?stream=live/later&token={later}") == []
        assert packager.get(f"/live/later?token={later}").status == 404

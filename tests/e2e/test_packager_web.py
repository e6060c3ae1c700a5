"""What a packager answers: held requests, nonsense, headers, tokens, HTTPS; and what it writes to a directory."""

from __future__ import annotations

import gzip
import http.client
import itertools
import os
import re
import socket
import ssl
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import m3u8
import pytest

import arclyd
from arclyd.control import tokens
from tests.e2e.packager import (
    KEY,
    PACKAGE,
    TRACK,
    Answer,
    Asking,
    Packager,
    again,
    decoded,
    newest,
    publish,
    publishing,
    whole,
)
from tests.packaging import FakeFrame, make_clip, read_clip
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arclyd.media.track import Track
    from tests.daemon import Daemon, Spawner
    from tests.small_disk import SmallDisk

    Clip = tuple[list[Track], list[FakeFrame]]

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUeU8BpCt8cfDxlL2NDv2jP0U67lEwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDEwMTg0NFoYDzIxMjYxMDMx
MTAxODQ0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQU9yifZx7W7b/XX4II+yQkztaM1AFNN4z4wi8Iu189zHiZ5Rmjk5Kh
jvDw40GJ+gfHUW6qhB4UTVYLAwI7GA4ko28wbTAdBgNVHQ4EFgQU0qHGsTk4eAQK
b0eoZv2sl6lQ1PQwHwYDVR0jBBgwFoAU0qHGsTk4eAQKb0eoZv2sl6lQ1PQwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARhwR/AAABgglsb2NhbGhvc3QwCgYIKoZI
zj0EAwIDSAAwRQIhAJoH+ar67Sa3LB39UxeqpK5RTNkY+GR8lIGWyqSgBuEbAiB2
MFJH8F1nm9Kj8UFj/aN6vSZJWxtE1b2KbVyXBHaHMQ==
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgPNXIa7HEEZceHBR+
kLLdlqMLac9n1vanWa3hDa7nmgmhRANCAAQU9yifZx7W7b/XX4II+yQkztaM1AFN
N4z4wi8Iu189zHiZ5Rmjk5KhjvDw40GJ+gfHUW6qhB4UTVYLAwI7GA4k
-----END PRIVATE KEY-----
"""
"""Of 127.0.0.1, signed by itself, good for a hundred years: with its key, which protects nothing."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """Six seconds, a keyframe each second, as they would have been captured just now."""
    return read_clip(make_clip(tmp_path_factory.mktemp("clip"), "h264_aac.mp4"), time.time_ns())


# --------------------------------------------------------------- low latency


def test_a_reload_is_held_until_what_it_asks_for_is_there(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager = Packager(spawn, KEY)
        text = packager.await_file(TRACK).text
        hint = re.search(r'PRELOAD-HINT:TYPE=PART,URI="([^"]+)"', text)
        assert hint
        number = newest(text) + 1
        part = text.count(f"-{number}.") - 1
        asked = [
            Asking(packager, f"{TRACK}?_HLS_msn={number}&_HLS_part={part}"),
            Asking(packager, f"{TRACK}?_HLS_msn={number}"),
        ]
        hinted = Asking(packager, f"/{KEY}/{hint[1]}")
        publish(publisher, again(clip, 6))
        assert hint[1] in asked[0].answer().text
        assert newest(asked[1].answer().text) >= number
        assert hinted.answer().status == 200
        assert hinted.answer().body == packager.get(f"/{KEY}/{hint[1]}").body
        assert packager.get(f"{TRACK}?_HLS_msn={newest(packager.get(TRACK).text) + 9}").status == 400
        assert packager.get(f"{TRACK}?_HLS_part=1").status == 400


@contextmanager
def held(packager: Packager, request: str) -> Iterator[http.client.HTTPConnection]:
    """A connection whose request is held: one that came after it is answered."""
    connection = http.client.HTTPConnection(packager.bind, timeout=30)
    try:
        connection.connect()
        connection.sock.sendall(request.encode())
        assert packager.get(f"/{KEY}/clock").status == 200
        yield connection
    finally:
        connection.close()


def answered(connection: http.client.HTTPConnection, method: str = "GET") -> Answer:
    """The next answer of a connection that stays open."""
    begun = connection.sock.recv(1 << 16, socket.MSG_PEEK)
    assert method != "HEAD" or begun.endswith(b"\r\n\r\n"), "a body where none was asked for"
    response = http.client.HTTPResponse(connection.sock, method=method)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def test_held_requests_are_answered_alike_however_they_are_asked(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager = Packager(spawn, KEY)
        number = newest(packager.await_file(TRACK).text) + 1
        path = f"{TRACK}?_HLS_msn={number + 1}&_HLS_part=0"
        ways = [("GET", "1.1", ""), ("GET", "1.1", "Accept-Encoding: gzip\r\n"), ("HEAD", "1.1", ""),
                ("GET", "1.0", ""), ("GET", "1.1", "Connection: close\r\n")]  # fmt: skip
        with ExitStack() as stack:
            connections = [
                stack.enter_context(held(packager, f"{method} {path} HTTP/{version}\r\nHost: x\r\n{more}\r\n"))
                for method, version, more in ways
            ]
            publish(publisher, again(clip, 6)[: len(frames) // 10])  # no segment ends after the one waited for
            answers = [answered(each, way[0]) for each, way in zip(connections, ways, strict=True)]
            same = packager.get(path)
            assert newest(same.text) >= number
            for way, answer in zip(ways, answers, strict=True):
                assert answer.status == 200
                body = gzip.decompress(answer.body) if "gzip" in way[2] else answer.body
                assert whole(body.decode()) == ([] if way[0] == "HEAD" else whole(same.text))
                told = {name.lower() for name in answer.headers} - {"connection", "content-encoding"}
                assert told == {name.lower() for name in same.headers}
                assert answer.headers["Cache-Control"] == same.headers["Cache-Control"]
            assert all(each.sock.recv(1) == b"" for each in connections[3:])
            for connection in connections[:3]:  # the others stay, and the next answer is in its place
                connection.request("GET", path)
                assert connection.getresponse().read() == same.body


def test_a_held_viewer_gets_its_own_token_back(daemon: Daemon, spawn: Spawner, clip: Clip, tmp_path: Path) -> None:
    tracks, frames = clip
    secret = tmp_path / "secret"
    secret.write_bytes(b"of sixteen bytes or more\n")
    packager = Packager(spawn, KEY, "--token-secret", str(secret))
    mine, others = (tokens.issue(b"of sixteen bytes or more", KEY, int(time.time()) + more) for more in (1000, 2000))
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        number = newest(packager.await_file(f"{TRACK}?token={mine}").text) + 1
        waiting = [
            Asking(packager, f"{TRACK}?_HLS_msn={number}&token={token}", Accept_Encoding="gzip")
            for token in (mine, others)
        ]
        publish(publisher, again(clip, 6))
        for asking, own, other in zip(waiting, (mine, others), (others, mine), strict=True):
            text = gzip.decompress(asking.answer().body).decode()
            uris = re.findall(r'URI="([^"]+)"', text) + re.findall(r"^[^#\s]\S+", text, re.MULTILINE)
            assert uris
            assert all(uri.endswith(f"?token={own}") for uri in uris)
            assert other not in text


def test_a_growing_segment_is_sent_as_it_grows(daemon: Daemon, spawn: Spawner, clip: Clip) -> None:
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager = Packager(spawn, KEY)
        text = packager.await_file(TRACK).text
        number = newest(text) + 1
        name = re.sub(r"-\d+\.m4s", f"-{number}.m4s", re.findall(r"^[^#\s]\S*\.m4s", text, re.MULTILINE)[0])
        connection = http.client.HTTPConnection(packager.bind, timeout=30)
        connection.request("GET", f"/{KEY}/{name}")
        response = connection.getresponse()  # its first part is there, its last is not published
        assert response.headers["Transfer-Encoding"] == "chunked"
        publish(publisher, again(clip, 6))
        body = response.read()
        connection.close()
        assert body == packager.get(f"/{KEY}/{name}").body


# ------------------------------------------------------------------- the web


@pytest.fixture
def packager(daemon: Daemon, spawn: Spawner, clip: Clip) -> Iterator[Packager]:
    """One with a stream of six seconds."""
    tracks, frames = clip
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        found = Packager(spawn, KEY)
        found.await_file(TRACK)
        yield found


def test_nonsense_gets_the_right_answer_and_harms_nothing(packager: Packager) -> None:
    init = re.findall(r'URI="(\w+\.mp4)"', packager.get(TRACK).text)[0]
    name = re.findall(r"^[^#\s]\S*\.m4s", packager.get(TRACK).text, re.MULTILINE)[0]
    missing = [
        "/live", "/live/none", "/live/.cam", "/live/cam1/", "/web/../page.py",
        "/live/none/index.m3u8", "/live/cam1/none",
        "/live/cam1/../../../../etc/passwd", "/..%2f..%2f..%2fetc/passwd/index.m3u8", "/live/..%2f..%2fetc%2fpasswd",
        "/live/%00/index.m3u8", "/live/cam1/%00", "/live/.cam/index.m3u8", "//live/cam1/index.m3u8",
        "/live/cam1/track-9.m3u8", "/live/cam1/track-1000000.m3u8", f"/live/cam1/{'a' * 4000}",
        f"/live/cam1/x{name}", f"/live/cam1/{re.sub('-0-', '-7-', name)}",
        "/live/cam1/" + re.sub(r"-\d+\.m4s", "-9999999999999999999.m4s", name), "/live/cam1/000000000000.mp4",
    ]  # fmt: skip
    for path in missing:
        assert packager.get(path).status == 404, path
    for query in (
        "_HLS_msn=-1",
        "_HLS_msn=x",
        "_HLS_msn=" + "9" * 40,
        "_HLS_msn=1&_HLS_part=x",
        "_HLS_msn=%F0%9F%98%80",
    ):
        assert packager.get(f"{TRACK}?{query}").status == 400, query
    ranges = {
        "bytes=0-9": 206, "bytes=-7": 206, "bytes=5-": 206, "bytes=0-99999999999999999999": 416, "bytes=99999-": 416,
        "bytes=-0": 416, "bytes=9-2": 200, "bytes=0-1,5-6": 200, "lines=1-2": 200, "bytes=x": 200, "bytes=": 200,
    }  # fmt: skip
    whole_init = packager.get(f"/{KEY}/{init}").body
    for text, status in ranges.items():
        assert packager.get(f"/{KEY}/{init}", Range=text).status == status, text
    assert packager.get(f"/{KEY}/{init}", Range="bytes=5-9").body == whole_init[5:10]
    assert packager.get(f"/{KEY}/{init}", Range="bytes=-4").body == whole_init[-4:]
    assert packager.get(TRACK, method="POST").status == 405
    assert packager.get(TRACK, Cookie="x" * 1_000_000).status == 400
    assert packager.get(f"{TRACK}?{'q' * 1_000_000}").status in {400, 414}
    with socket.create_connection(packager.bind.split(":")) as raw:  # type: ignore[arg-type] # host and port
        raw.sendall(os.urandom(5000) + b"\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        while raw.recv(1 << 16):
            pass
    assert packager.get(TRACK).status == 200
    assert "Traceback" not in packager.script.errors


def test_headers_are_what_players_and_caches_need(packager: Packager) -> None:
    playlist = packager.get(TRACK)
    name = re.findall(r"^[^#\s]\S*\.m4s", playlist.text, re.MULTILINE)[0]
    assert playlist.headers["Content-Type"] == "application/vnd.apple.mpegurl"
    assert playlist.headers["Cache-Control"] == "no-cache"
    assert packager.get(f"/{KEY}/manifest.mpd").headers["Content-Type"] == "application/dash+xml"
    segment = packager.get(f"/{KEY}/{name}")
    assert segment.headers["Content-Type"] == "video/mp4"
    assert "immutable" in segment.headers["Cache-Control"]
    for answer in (playlist, segment, packager.get("/live/none/index.m3u8")):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    asked = packager.get(TRACK, method="OPTIONS", Origin="http://page.example", Access_Control_Request_Method="GET")
    assert (asked.status, asked.headers["Access-Control-Allow-Methods"]) == (204, "GET, HEAD, OPTIONS")
    head = packager.get(f"/{KEY}/{name}", method="HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(segment.body)))
    assert packager.get(f"/{KEY}/live.ts", method="HEAD").headers["Content-Type"] == "video/mp2t"
    zipped = packager.get(TRACK, Accept_Encoding="gzip")
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == packager.get(TRACK).body


def test_viewers_are_counted_and_reported(packager: Packager) -> None:
    for number in range(3):
        packager.get(TRACK, User_Agent=f"player {number}")
    for number in range(2):
        packager.get(TRACK, User_Agent="player 1", X_Forwarded_For=f"10.0.0.{number}")
    with arclyd.connect() as control:
        # The fixture's own request, which had no name, is one, too.
        wait_until(lambda: control.metadata(KEY).tags.get("package.viewers") == "6", what="six viewers")


def test_a_token_opens_its_stream_until_it_expires(daemon: Daemon, spawn: Spawner, clip: Clip, tmp_path: Path) -> None:
    tracks, frames = clip
    secret = tmp_path / "secret"
    secret.write_bytes(b"of sixteen bytes or more\n")
    packager = Packager(spawn, KEY, "--token-secret", str(secret))
    now = int(time.time())
    good = tokens.issue(b"of sixteen bytes or more", KEY, now + 1000)
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        playlist = packager.await_file(f"{TRACK}?token={good}").text
        bad = ["", "x", good + "0", good.replace(":", "0:", 1), tokens.issue(b"another secret", KEY, now + 1000),
               tokens.issue(b"of sixteen bytes or more", KEY, now - 1),
               tokens.issue(b"of sixteen bytes or more", "live/cam2", now + 1000)]  # fmt: skip
        for token in bad:
            assert packager.get(f"{TRACK}?token={token}").status == 403, token
        assert packager.get("/live/none/index.m3u8").status == 403
        uris = re.findall(r'URI="([^"]+)"', playlist) + re.findall(r"^[^#\s]\S+", playlist, re.MULTILINE)
        assert all(packager.get(f"/{KEY}/{uri}").status == 200 for uri in uris[:3] + uris[-2:])
        assert decoded(f"{packager.url}/{KEY}/index.m3u8?token={good}", "-t", "2") == ""


def test_it_serves_https(daemon: Daemon, spawn: Spawner, clip: Clip, tmp_path: Path) -> None:
    tracks, frames = clip
    pem = tmp_path / "localhost.pem"
    pem.write_text(CERTIFICATE)
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        packager = Packager(spawn, KEY, "--tls-cert", str(pem))
        assert packager.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(pem))

        def there() -> str:
            try:
                with urllib.request.urlopen(f"{packager.url}{TRACK}", context=trusting, timeout=30) as answer:
                    return answer.read().decode()
            except urllib.error.HTTPError:
                return ""

        assert "#EXTM3U" in wait_until(there, what="the playlist")
        assert decoded(f"{packager.url}/{KEY}/index.m3u8", "-t", "1") == ""


# ----------------------------------------------------------------- directory


@pytest.mark.parametrize("kind", ["hls", "dash"])
def test_a_directory_holds_what_plays_and_nothing_old(
    daemon: Daemon, spawn: Spawner, clip: Clip, tmp_path: Path, kind: str
) -> None:
    tracks, frames = clip
    folder = tmp_path / "www" / "live" / "cam1"
    folder.mkdir(parents=True)
    (folder / "deadbeef-0-1.m4s").write_bytes(b"left by an earlier one")
    (folder / "robots.txt").write_text("somebody else's")
    arguments = (kind, KEY, "--directory", str(tmp_path / "www"), "--no-serve", "--window", "6")
    spawn(PACKAGE, *arguments, name="package")
    index = folder / ("index.m3u8" if kind == "hls" else "manifest.mpd")
    with publishing(KEY, tracks) as publisher:
        for seconds in range(0, 30, 6):
            publish(publisher, again((tracks, frames), seconds))
        wait_until(index.exists, what="the index")
        if kind == "hls":
            for name in ("track-0.m3u8", "track-1.m3u8", "ts.m3u8"):
                playlist = m3u8.loads((folder / name).read_text())
                assert all((folder / segment.uri).exists() for segment in playlist.segments)
                assert "CAN-BLOCK-RELOAD" not in (folder / name).read_text()
    if kind == "hls":
        wait_until(lambda: "ENDLIST" in (folder / "ts.m3u8").read_text(), what="the end")
        for name in ("index.m3u8", "index-ts.m3u8"):
            assert decoded(str(folder / name)) == ""
    else:
        wait_until(lambda: "mediaPresentationDuration" in index.read_text(), what="the end")
    names = {path.name for path in folder.iterdir()}
    assert "deadbeef-0-1.m4s" not in names
    assert "robots.txt" in names
    assert not [name for name in names if name.startswith(".")]
    numbers = sorted(
        {int(name.split("-")[2].partition(".")[0]) for name in names if name.count("-") == 2 and "m4s" in name}
    )
    assert len(numbers) < 12
    assert all(after - before == 1 for before, after in itertools.pairwise(numbers))


def test_a_full_disk_is_told_and_harms_only_the_files(
    daemon: Daemon, spawn: Spawner, clip: Clip, disk: SmallDisk
) -> None:
    tracks, frames = clip
    packager = Packager(spawn, KEY, "--directory", str(disk.outside / "www"))
    file = disk.outside / "www" / KEY / "track-0.m3u8"
    with publishing(KEY, tracks) as publisher:
        publish(publisher, frames)
        wait_until(file.exists, what="the playlist in the directory")
        disk.fill()
        publish(publisher, again(clip, 6))
        wait_until(lambda: "No space left on device" in packager.script.errors, what="the full disk to be told")
        served = newest(packager.await_file(TRACK).text)
        publish(publisher, again(clip, 12))
        wait_until(lambda: newest(packager.get(TRACK).text) > served, what="the stream to be served on")
        assert packager.script.errors.count("No space left on device") == 1
        assert m3u8.loads(file.read_text()).segments  # what was there is whole
        disk.free()
        wait_until(lambda: newest(file.read_text()) > served, what="the files to be written again")
    wait_until(lambda: "ENDLIST" in file.read_text(), what="the end")
    assert f"{KEY}: written again" in packager.script.errors
    assert decoded(str(file.with_name("index.m3u8")), "-live_start_index", "0") == ""


def test_what_can_not_work_is_one_line(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("secret")
    taken = socket.create_server(("127.0.0.1", 0))
    cases = [
        ("hls", "cam1"), ("hls", KEY, "--bind", "nowhere"), ("hls", KEY, "--no-serve"),
        ("hls", KEY, "--rendition", "low"), ("hls", "--rendition", "live/a=live/c", "--rendition", "live/b=live/c"),
        ("hls", KEY, "--token-secret", str(short)), ("hls", KEY, "--tls-cert", str(short)), ("cmaf", KEY),
        ("hls", KEY, "--bind", f"127.0.0.1:{taken.getsockname()[1]}"),
    ]  # fmt: skip
    scripts = [spawn(PACKAGE, *case, name="package") for case in cases]
    for script in scripts:
        assert script.wait() != 0
        assert "Traceback" not in script.errors
        assert "arclyd: error: " in script.errors.splitlines()[-1]
    taken.close()

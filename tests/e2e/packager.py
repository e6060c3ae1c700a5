"""A packager process for the tests, streams for it whose every frame is known, and what players make of both."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import m3u8

import arclyd
from tests.packaging import FakeFrame, Packet, later
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from arclyd.media.track import Track
    from tests.daemon import Script, Spawner

    Clip = tuple[list[Track], list[FakeFrame]]

KEY = "live/cam1"
TRACK = f"/{KEY}/track-0.m3u8"

PACKAGE = """
    import sys
    from arclyd.__main__ import main
    sys.argv.insert(1, "package")
    sys.exit(main())
"""

SERVING = re.compile(r"serving on (https?://\S+)")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Packager:
    """An `arclyd package` on a port of its own."""

    def __init__(self, spawn: Spawner, *args: str, kind: str = "hls", bind: str = "127.0.0.1:0") -> None:
        self.script: Script = spawn(PACKAGE, kind, *args, "--bind", bind, name="package")
        found = wait_until(self._serving, what="the packager to serve")
        self.url = found[1]
        self.bind = urlsplit(self.url).netloc

    def get(self, path: str, *, method: str = "GET", timeout: float = 30, **headers: str) -> Answer:
        """What it answers; ``path`` is sent as it is. Underscores in names of headers stand for hyphens."""
        connection = http.client.HTTPConnection(self.bind, timeout=timeout)
        try:
            connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def await_file(self, path: str) -> Answer:
        """What it answers once there is such a stream."""
        found: list[Answer] = []

        def there() -> bool:
            assert self.script.process.poll() is None, self.script.errors
            found.append(self.get(path))
            return found[-1].status == 200

        wait_until(there, what=f"{path} to be served; it said {self.script.errors}")
        return found[-1]

    def _serving(self) -> re.Match[str] | None:
        assert self.script.process.poll() is None, self.script.errors
        return SERVING.search(self.script.errors)


@contextmanager
def publishing(key: str, tracks: Sequence[Track], **options: object) -> Iterator[arclyd.Publisher]:
    """A publisher in this process."""
    with arclyd.Publisher(key, tracks=tracks, **options) as publisher:  # type: ignore[arg-type] # passed through
        yield publisher


def publish(publisher: arclyd.Publisher, frames: Iterable[FakeFrame]) -> None:
    """Publish frames, without their configurations: the tracks have them."""
    for frame in frames:
        if not frame.is_config:
            publisher.publish(
                frame.track,
                frame.payload,
                pts=frame.pts,
                dts=frame.dts,
                duration=frame.duration,
                keyframe=frame.keyframe,
                capture_ns=frame.capture_ns,
            )


def probed(url: str, kind: str) -> list[Packet]:
    """The packets of the first video or audio stream ("v", "a") as ffprobe reads them, in its order."""
    command = ["ffprobe", "-v", "error", "-select_streams", f"{kind}:0", "-show_packets", "-show_data_hash", "sha256"]
    done = subprocess.run([*command, "-of", "json", url], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    return [
        Packet(Fraction(packet["dts_time"]), Fraction(packet["pts_time"]), packet["data_hash"].removeprefix("SHA256:"))
        for packet in json.loads(done.stdout)["packets"]
    ]


def decoded(url: str, *options: str) -> str:
    """What ffmpeg has to say while it decodes everything."""
    command = ["ffmpeg", "-v", "warning", "-nostdin", *options, "-i", url, "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def again(clip: Clip, seconds: int) -> list[FakeFrame]:
    tracks, frames = clip
    return later(frames, tracks, Fraction(seconds), 0)


def whole(text: str) -> list[str]:
    """The lines of a playlist that stay as long as a segment is listed."""
    return [line for line in text.splitlines() if not line.startswith(("#EXT-X-PART:", "#EXT-X-PRE", "#EXT-X-REND"))]


def newest(playlist: str) -> int:
    parsed = m3u8.loads(playlist)
    return parsed.media_sequence + len([segment for segment in parsed.segments if segment.uri]) - 1


class Asking:
    """A request in a thread, while the test goes on."""

    def __init__(self, packager: Packager, path: str, **headers: str) -> None:
        self._answers: list[Answer] = []

        def ask() -> None:
            self._answers.append(packager.get(path, **headers))

        self._thread = threading.Thread(target=ask, daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        self._thread.join(30)
        assert self._answers, "no answer"
        return self._answers[0]

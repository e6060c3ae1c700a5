"""An SRT gateway process for the tests, and callers of several makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.rtmp import KEY, ffmpeg
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    import subprocess

    from tests.daemon import Script, Spawner

CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
SERVING = re.compile(r"serving on srt://(\S+):(\d+)")
PUBLISH = f"publish:{KEY}"
READ = f"read:{KEY}"
STANDARD = f"#!::r={KEY},m=publish"


class SrtGateway:
    """An `arclyd listen srt` on a port of its own."""

    def __init__(self, spawn: Spawner, *args: object, bind: str = "127.0.0.1:0") -> None:
        self.script: Script = spawn(ARCLYD, "listen", "srt", "--bind", bind, *args, name="listen")
        self.port = int(wait_until(self._serving, what="the gateway to serve")[2])

    def _serving(self) -> re.Match[str] | None:
        assert self.script.process.poll() is None, self.script.errors
        return SERVING.search(self.script.errors)

    def url(self, stream_id: str, *options: str) -> str:
        """As callers of all makes take it."""
        said = "&".join([f"streamid={stream_id}", *options])
        return f"srt://127.0.0.1:{self.port}?{said}"

    def says(self, text: str) -> None:
        """Wait until it has said that."""
        wait_until(lambda: text in self.script.errors, what=f"{text!r}; it said {self.script.errors}")


def sent(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """What ffmpeg makes of sending the clip, at its own pace."""
    return ffmpeg("-re", *options, "-i", CLIP, "-c", "copy", "-f", "mpegts", url)

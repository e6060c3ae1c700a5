"""An SRT gateway process for the tests, and callers of several makes."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import arclyd
from tests.e2e.rtmp import KEY
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from arclyd.control.reports import Metadata
    from tests.daemon import Script, Spawner

CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
SERVING = re.compile(r"serving on srt://(\S+):(\d+)")
PUBLISH = f"publish:{KEY}"
READ = f"read:{KEY}"
PASSPHRASE = "correcthorsebattery"
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

    @staticmethod
    def metadata(key: str, suits: Callable[[Mapping[str, str]], bool]) -> Metadata:
        """What is said of a stream, once its tags suit."""

        def find() -> Metadata | None:
            with arclyd.connect() as control, contextlib.suppress(arclyd.StreamNotFound):
                said = control.metadata(key)
                return said if suits(said.tags) else None
            return None

        return wait_until(find, what="the tags")  # type: ignore[return-value] # it is there, then

    @staticmethod
    def await_units(script: Script, count: int) -> None:
        """Wait until a reader has received so many access units."""

        def received() -> int:
            return sum(line.startswith("frame ") and line.split()[5] == "0" for line in script.lines)

        wait_until(lambda: received() >= count, timeout=100, what=f"{count} access units")


CALL = """
    import sys
    from arclyd.ingest.srt.library import ERR, OUT, Option, load

    # Calls with a stream id, says what came of it, and holds the line.
    library = load()
    sock, poll = library.create(), library.poll()
    if sys.argv[2]:
        library.set_bytes(sock, Option.STREAMID, sys.argv[2].encode())
    library.watch(poll, sock, OUT | ERR, anew=True)
    library.connect(sock, "127.0.0.1", int(sys.argv[1]))
    while not (found := library.wait(poll, 1000)):
        pass
    print("told", library.rejection(sock) if found[0][1] & ERR else "connected", flush=True)
    sys.stdin.readline()
    library.cleanup()
"""

ENCODE = """
    import os, sys

    words = "-v error -nostdin -re -f lavfi -i testsrc2=size=160x90:rate=25 -c:v libx264 -preset ultrafast -g 12 -t"
    os.execvp("ffmpeg", ["ffmpeg", *words.split(), sys.argv[1], "-f", "mpegts", sys.argv[2]])
"""

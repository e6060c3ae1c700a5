"""A gateway for transport streams as a process, for the tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.e2e.rtmp import KEY
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Script, Spawner
    from tests.e2e.networks import Network

SERVING = re.compile(r"serving on (\w+)://(\S+):(\d+)")


class TransportGateway:
    """An `arclyd listen mpegts` on a port of its own."""

    def __init__(self, spawn: Spawner | Network, url: str, *args: object, key: str | None = KEY) -> None:
        words = [url, *([key] if key else []), *args]
        self.script: Script = spawn(ARCLYD, "listen", "mpegts", *words, name="listen")
        scheme, host, port = wait_until(self._serving, what="the gateway to serve").groups()
        self.port = int(port)
        self.base = f"{scheme}://{host}:{port}"

    def _serving(self) -> re.Match[str] | None:
        assert self.script.process.poll() is None, self.script.errors
        return SERVING.search(self.script.errors)

    def says(self, text: str) -> None:
        """Wait until it has said that."""
        wait_until(lambda: text in self.script.errors, what=f"{text!r}; it said {self.script.errors}")

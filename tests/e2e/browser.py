"""A real Chromium, without a window, and what is watched in it."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

WEB = Path(__file__).resolve().parents[1] / "web"
PLAYERS = WEB / "node_modules"

LONG = "ARCLYD_STRESS" in os.environ
WATCHED = 30 if LONG else 10
"""Seconds a stream is watched. At length, on a machine with nothing else to do, every picture has to be shown."""

PATIENCE = 60


def pixels(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A screenshot: height, width, red green blue."""
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


class Browser:
    """One page of a Chromium of its own; ``options``: of its command line."""

    def __init__(self, *options: str) -> None:
        chromium, node = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("node")
        if chromium is None or node is None or not PLAYERS.exists():
            pytest.skip("needs chromium, node and what tests/web/package.json names (.ci/tools test)")
        self._lines: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(
            [node, str(WEB / "driver.mjs"), chromium, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        assert self._next() == "ready\n"

    def open(self, url: str, **options: object) -> None:
        """Go to a page; ``options``: of playwright's `browser.newPage`."""
        self._ask("open", url=url, options=options)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page; None on the way from one page to another."""
        return self._ask("evaluate", script=script)

    def press(self, key: str) -> None:
        """Press a key."""
        self._ask("press", key=key)

    def shoot(self, selector: str, path: Path) -> None:
        """Take a picture of an element."""
        self._ask("shoot", selector=selector, path=str(path))

    def outline(self) -> str:
        """The page as assistive technology has it: roles, names, texts."""
        return str(self._ask("outline"))

    @property
    def said(self) -> list[str]:
        """What the page wrote to the console, and its errors."""
        found: list[str] = self._ask("said")
        return found

    def close(self) -> None:
        """End the driver and every process of the browser."""
        descendants = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for process in psutil.wait_procs(descendants, timeout=5)[1]:
            process.kill()
        self._reading.join(10)
        self._process.stdout.close()

    def _ask(self, name: str, **arguments: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"name": name, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._next())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def _next(self) -> str:
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"the browser gave no answer in {PATIENCE} s") from None
        assert line, "the browser's driver ended"
        return line

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serving_players() -> Iterator[str]:
    """Serve the players of `tests/web` on a port of its own, as somebody else's site would; gives the URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(WEB)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

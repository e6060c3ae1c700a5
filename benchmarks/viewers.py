"""A packager and its viewers: first playlist, blocking reloads of low-latency HLS, also with tokens and beside clients
that never read, nginx beside.

A part exists when the frame is published that shows where it ends; it is released to a viewer when that has the whole
playlist that lists it. The stream's frames are of one size, so that a part's number says which frame that was.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import arclyd
from arclyd.control.tokens import issue
from benchmarks import crowd
from benchmarks.harness.script import Settings, main
from benchmarks.harness.worker import started
from benchmarks.resources import pss_mib, run_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.synchronize import Event
    from pathlib import Path

    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage

KEY: Final = "bench/viewers"
FPS: Final = 25
SIZE: Final = 2_000_000 // 8 // FPS
"""Bytes of a picture: 2 Mb/s."""
OF_PART: Final = 5
"""Pictures of a part, of which a segment has `crowd.PARTS`."""
OF_SEGMENT: Final = OF_PART * crowd.PARTS
AVCC: Final = bytes.fromhex("0142c01fffe100166742c01fda014016e840000003004000000ca3c60ca801000468ce3c80")
SECRET: Final = b"what tokens are made with"
RUN_SECONDS: Final = 10.0
"""How long a stream has run before its packager comes."""
LOOK_SECONDS: Final = 0.002
PATIENCE_SECONDS: Final = 30.0


def publish(socket: str, times: Any, ready: Event, stop: Event) -> None:
    """25 pictures a second, a keyframe every two seconds; ``times``: monotonic, when each was published."""
    track = arclyd.Track.video("h264", config=AVCC, width=1280, height=720)
    with arclyd.Publisher(KEY, [track], socket=socket) as publisher:
        begun, payload = time.monotonic(), (SIZE - 4).to_bytes(4, "big") + bytes([0x65]) * (SIZE - 4)
        for number in range(len(times)):
            if stop.wait(max(0.0, begun + number / FPS - time.monotonic())):
                break
            times[number] = time.monotonic()
            publisher.publish(0, payload, pts=number * 3600, keyframe=number % OF_SEGMENT == 0)
            ready.set()


@contextlib.contextmanager
def packaging(stage: Stage, *options: str) -> Iterator[tuple[int, int]]:
    """A packager of all streams; gives its port and process id."""
    log = stage.folder / f"{stage.unique()}.log"
    command = [sys.executable, "-m", "arclyd", "package", "hls", "--socket", stage.socket, "--bind", "127.0.0.1:0"]
    with (
        log.open("wb") as file,
        subprocess.Popen([*command, *options], stdin=subprocess.DEVNULL, stderr=file) as process,
    ):
        try:
            while not (found := re.search(r"serving on http://127.0.0.1:(\d+)", log.read_text())):
                if process.poll() is not None:
                    raise RuntimeError(f"no packager: {log.read_text()}")
                time.sleep(LOOK_SECONDS)
            yield int(found[1]), process.pid
        finally:
            process.kill()


@contextlib.contextmanager
def nginx(stage: Stage, root: Path) -> Iterator[int | None]:
    """An nginx of one worker that serves ``root``; gives its port, or None where it is not installed."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        yield None
        return
    port, folder = 8871, stage.folder / "nginx"
    folder.mkdir()
    paths = " ".join(f"{each}_temp_path {folder};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; user root;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; {paths}\n"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    with subprocess.Popen([program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]) as process:
        try:
            yield port
        finally:
            process.terminate()


def fetch(port: int, path: str) -> str:
    """The text at a path; empty: it is not there yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
    except OSError:
        return ""
    return text


def playlist_of(port: int, token: str = "") -> str:
    """The stream's playlist, once it has a whole segment."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "#EXTINF" not in (text := fetch(port, f"/{KEY}/track-0.m3u8" + (f"?token={token}" if token else ""))):
        if time.monotonic() > deadline:
            raise RuntimeError("no playlist")
        time.sleep(LOOK_SECONDS)
    return text


def first_playlist_ms(stage: Stage) -> float:
    """From the packager's attachment to the first playlist that it answers with."""
    attached: list[float] = []

    def look() -> None:
        with arclyd.connect(stage.socket) as control:
            while not control.subscribers(KEY):
                time.sleep(LOOK_SECONDS)
        attached.append(time.monotonic())

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    with packaging(stage) as (port, _):
        playlist_of(port)
        served = time.monotonic()
        looking.join()
    return (served - attached[0]) * 1e3


def released_ms(came: Any, times: Any, first: int) -> list[float]:
    """Milliseconds from the frame that ended each part to each viewer's playlist with it."""
    count = int(came[0])
    delays = []
    for entry in range(count):
        number, part, at = int(came[1 + 3 * entry]), int(came[2 + 3 * entry]), came[3 + 3 * entry]
        ended_by = (number - first) * OF_SEGMENT + (part + 1) * OF_PART
        delays.append((at - times[ended_by]) * 1e3)
    return sorted(delays)


def quantile(ordered: Sequence[float], share: float) -> float:
    """That quantile of sorted values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def reloads(
    stage: Stage,
    port: int,
    pid: int,
    times: Any,
    *,
    viewers: int,
    seconds: float,
    parts: bool,
    tokens: tuple[str, ...] = (),
) -> tuple[list[float], float]:
    """Delays of all releases in milliseconds, sorted, and the processors that the packager took."""
    text = playlist_of(port, tokens[0] if tokens else "")
    name = re.findall(r"^(\w+)-0-\d+\.m4s", text, re.MULTILINE)[0]
    newest = max(int(number) for number in re.findall(r"-0-(\d+)\.", text))
    came = stage.context.Array("d", 1 + 3 * int(viewers * (seconds + 10) * 6), lock=False)
    watching = crowd.Crowd(port, f"/{KEY}", name, newest + 1, viewers, parts, tokens)
    with started(stage, crowd.watch, watching, came):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not came[0] and time.monotonic() < deadline:  # the segment that they wait for
            time.sleep(LOOK_SECONDS)
        before, began = run_seconds(pid), time.monotonic()
        time.sleep(seconds)
        spent = (run_seconds(pid) - before) / (time.monotonic() - began)
    return released_ms(came, times, first=1), spent


def with_tokens(stage: Stage, times: Any, *, viewers: int, seconds: float) -> tuple[list[float], float]:
    """What `reloads` gives where each viewer has a token of its own."""
    secret = stage.folder / "secret"
    secret.write_bytes(SECRET)
    tokens = tuple(issue(SECRET, KEY, int(time.time()) + 3600 + number) for number in range(viewers))
    with packaging(stage, "--token-secret", str(secret)) as (port, pid), started(stage, publish, stage.socket, times):
        return reloads(stage, port, pid, times, viewers=viewers, seconds=seconds, parts=False, tokens=tokens)


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """A stream of its own for the first playlists, and one that the viewers follow from its first frame on."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure

    stage.daemon()
    viewers, slow, seconds = (
        settings.by_scale(10, 500, 500),
        settings.by_scale(20, 1000, 1000),
        settings.by_scale(1.0, 8.0, 30.0),
    )
    figures = []

    def add(what: str, unit: str, labels: Labels, *values: float) -> None:
        figures.append(Measured(what, unit, labels, Figure.of(values)))

    def added(transport: str, delays: list[float], spent: float, **more: int) -> None:
        labels: Labels = {"transport": transport, "viewers": viewers, **more}
        add("playlist released after its part exists, p50", "ms", labels, quantile(delays, 0.5))
        add("playlist released after its part exists, p99", "ms", labels, quantile(delays, 0.99))
        add("playlists a second", "1/s", labels, len(delays) / seconds)
        add("packager", "processors", labels, spent)

    times = stage.context.Array("d", FPS * 3600, lock=False)
    with started(stage, publish, stage.socket, times):
        time.sleep(settings.by_scale(2.5, RUN_SECONDS, RUN_SECONDS))
        taken = [first_playlist_ms(stage) for _ in range(settings.by_scale(1, 5, 20))]
        add("first playlist after attaching", "ms", {"transport": "packager"}, *taken)
    times = stage.context.Array("d", FPS * 3600, lock=False)
    delays, spent = with_tokens(stage, times, viewers=viewers, seconds=seconds)
    added("reloads, a token each", delays, spent)
    times = stage.context.Array("d", FPS * 3600, lock=False)
    root = stage.folder / "www"
    with packaging(stage, "--directory", str(root)) as (port, pid), started(stage, publish, stage.socket, times):
        for parts in (False, True):
            delays, spent = reloads(stage, port, pid, times, viewers=viewers, seconds=seconds, parts=parts)
            added("reloads and parts" if parts else "reloads", delays, spent)
        segment = re.findall(r"^\w+-0-\d+\.m4s$", playlist_of(port), re.MULTILINE)[-1]
        paths = [f"/{KEY}/{segment}", f"/{KEY}/live.ts"]
        with started(stage, crowd.ignore, port, paths, slow):
            delays, spent = reloads(stage, port, pid, times, viewers=viewers, seconds=seconds, parts=False)
            added("reloads", delays, spent, **{"clients that never read": slow})
            add("memory of the packager (PSS)", "MiB", {"transport": "packager"}, pss_mib(pid))
        with nginx(stage, root) as other:
            if other is None:
                settings.say("left out, not installed: nginx")
            for name, serving in (("packager", port), ("nginx", other)):
                if serving is None:
                    continue
                wait_for = root / KEY / "track-0.m3u8"
                while not wait_for.exists():
                    time.sleep(LOOK_SECONDS)
                listed = re.findall(r"^\w+-0-\d+\.m4s$", wait_for.read_text(), re.MULTILINE)[-1]
                for what, path in (("playlist", "track-0.m3u8"), ("segment of 500 kB", listed)):
                    rate = asyncio.run(crowd.load(serving, f"/{KEY}/{path}", 50, settings.by_scale(0.3, 3.0, 10.0)))
                    add(f"answers with a {what}", "1/s", {"transport": name, "connections": 50}, rate)
    return figures


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

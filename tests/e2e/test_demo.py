"""The demo ends in order, tells the truth when a part fails, and leaves nothing behind."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, str(ROOT / "examples" / "demo.py")]


@contextmanager
def demo(folder: Path, *args: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The demo with ``folder`` as its temporary directory, in a session (and so without a terminal) of its own."""
    process = subprocess.Popen(
        [*DEMO, *args],
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for child in started_by(process.pid):
            child.kill()
        process.kill()
        process.wait()


def started_by(session: int) -> list[psutil.Process]:
    """Every other process of the demo's session: its parts have process groups, not sessions, of their own."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != session and os.getsid(process.pid) == session and process.status() != "zombie":
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def regions() -> set[str]:
    return {path.name for path in Path("/dev/shm").glob("arclyd.*")}


def assert_nothing_left(process: subprocess.Popen[str], folder: Path, before: set[str]) -> None:
    assert started_by(process.pid) == []
    assert list(folder.iterdir()) == []
    # Other tests may run beside this one; a region of the demo's own would bear its key.
    assert not [name for name in regions() - before if "live@demo" in name]


def rows(output: str) -> dict[str, list[str]]:
    return {words[0]: words[1:] for line in output.splitlines() if len(words := line.split()) == 7}


def test_it_ends_by_itself_and_accounts_for_every_frame(tmp_path: Path) -> None:
    before = regions()
    with demo(tmp_path, "--seconds", "4") as process:
        output, _ = process.communicate(timeout=90)
        assert process.returncode == 0, output
        assert_nothing_left(process, tmp_path, before)
    table = rows(output)
    published = int(table["publisher"][0])
    assert published > 0
    for reader in ("analysis", "archive"):
        frames, gaps, missed, damaged = map(int, table[reader][:4])
        assert frames + missed == published
        assert (gaps == 0) == (missed == 0)
        assert damaged == 0
    assert "every frame accounted for: yes" in output
    assert "left behind: no process, no region" in output
    assert re.search(r"^\s*stats \| ", output, re.MULTILINE), "without a terminal the live figures are plain lines"


def test_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    before = regions()
    with demo(tmp_path) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "frames/s" in line:
                break
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=90)
        assert process.returncode == 0, "".join(seen) + output
        assert "every frame accounted for: yes" in output
        assert_nothing_left(process, tmp_path, before)


def test_a_part_that_fails_fails_the_demo_with_its_last_lines(tmp_path: Path) -> None:
    before = regions()
    with demo(tmp_path, "--source", "/nowhere/at-all.mp4") as process:
        output, _ = process.communicate(timeout=90)
        assert process.returncode == 1, output
        assert "demo: error: publisher ended with exit code" in output
        assert "arclyd: error:" in output
        assert "at-all.mp4" in output
        assert_nothing_left(process, tmp_path, before)


def test_a_part_that_is_killed_fails_the_demo(tmp_path: Path) -> None:
    before = regions()
    with demo(tmp_path) as process:
        assert process.stdout is not None
        running = next(line for line in process.stdout if line.startswith("running:"))
        pid = re.search(r"publisher \(pid (\d+)\)", running)
        assert pid
        os.kill(int(pid[1]), signal.SIGKILL)
        output, _ = process.communicate(timeout=90)
        assert process.returncode == 1, output
        assert "publisher ended with exit code -9" in output
        assert_nothing_left(process, tmp_path, before)


def test_on_a_terminal_the_live_figures_are_a_table(tmp_path: Path) -> None:
    before = regions()
    ours, theirs = pty.openpty()
    try:
        with demo(tmp_path, "--seconds", "3", stdout=theirs) as process:
            os.close(theirs)
            screen = b""
            while chunk := read_terminal(ours):
                screen += chunk
            wait_until(lambda: process.poll() is not None, what="the demo's end")
            assert process.returncode == 0, screen.decode(errors="replace")
            assert_nothing_left(process, tmp_path, before)
    finally:
        os.close(ours)
    assert b"live/demo" in screen
    assert b" | " not in screen.partition(b"running:")[2].partition(b"every frame")[0], "no log lines in the table"
    assert screen.rstrip().rfind(b"\x1b[?25h") > screen.rfind(b"\x1b[?25l"), "the cursor is visible again"


def read_terminal(descriptor: int) -> bytes:
    """What the terminal shows next; empty once the other side is closed, which Linux reports as EIO."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""

"""The examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import arclyd
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Daemon, Spawner

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
MEDIA = ROOT / "tests" / "media" / "bigbuckbunny.mp4"
GATEWAY = "import sys; from arclyd.__main__ import main; sys.exit(main())"


def test_the_ten_lines_of_both_sides(daemon: Daemon, spawn: Spawner) -> None:
    publisher = spawn((EXAMPLES / "publish.py").read_text(), "live/clock", 3)
    publisher.await_line("second 0")
    subscriber = spawn((EXAMPLES / "subscribe.py").read_text(), "live/clock")
    subscriber.await_line("0 0 0 24 key")
    assert publisher.finish()[-1] == "second 2: 1 subscribers"
    lines = subscriber.finish()
    assert [line.split()[0] for line in lines[:-1]] == ["0", "1", "2"]
    assert lines[-1] == "the end: ended"


def test_grabbing_frames(daemon: Daemon, spawn: Spawner) -> None:
    spawn(GATEWAY, "publish", MEDIA, "live/bbb", "--loop")
    with arclyd.connect() as control:
        wait_until(control.list_streams, what="the stream")
    grabber = spawn((EXAMPLES / "grab_frames.py").read_text(), "live/bbb", "--count", 30)
    lines = grabber.finish(timeout=60)
    assert lines[-1] == "30 pictures, 0 frames lost"
    assert all(re.fullmatch(r" +\d+\.\d{3} s  1280x720  mean +\d+\.\d\d", line) for line in lines[:-1]), lines

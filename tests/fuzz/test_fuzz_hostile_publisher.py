"""A publisher that scribbles over its own region: its readers and the daemon's figures stay an error away from harm."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.errors import ArclydError
from tests.fuzz.intruder import GROWTH
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon import Daemon, Spawner

psutil = pytest.importorskip("psutil")

VANDAL = """
    import sys
    import arclyd
    from arclyd.errors import ArclydError
    from tests.fuzz.scribble import Vandal

    VIDEO = arclyd.Track.video("h264", width=64, height=36)
    TRACKS = [VIDEO, arclyd.Track.audio("opus", sample_rate=48000, channels=2)]

    def publish_and_scribble(seed):
        with arclyd.Publisher("live/fuzz", TRACKS, ring_bytes=65536, slots=64) as pub:
            for number in range(20):
                pub.publish(0, bytes(1000), pts=number * 3000, keyframe=number % 10 == 0)
            vandal = Vandal(sys.argv[1], "live/fuzz", seed)
            if seed == 0:
                print("ready", flush=True)
            for number in range(20, 2000):
                vandal.scribble(20)
                pub.publish(number % 2, bytes(1000), pts=number * 3000, keyframe=number % 10 == 0)

    for seed in range(1_000_000):
        try:
            publish_and_scribble(seed)
        except (ArclydError, StopIteration):
            pass
"""


def ask_everything(control: arclyd.Control) -> int:
    """Every question there is about a stream; how many had an answer. Those about all streams have one."""
    assert "live/sound" in {info.key for info in control.list_streams()}
    assert control.info("live/sound").key == "live/sound"
    control.subscribers()
    questions: tuple[Callable[[], object], ...] = (
        lambda: control.info("live/fuzz"),
        lambda: control.metadata("live/fuzz"),
        lambda: control.qos("live/fuzz"),
        lambda: control.gop_index("live/fuzz"),
        lambda: control.subscribers("live/fuzz"),
    )
    answered, refusals = 0, []
    for question in questions:
        try:
            question()
            answered += 1
        except ArclydError as error:
            refusals.append(error)
    assert [str(error) for error in refusals if error.code == "error"] == []  # the daemon's own fault
    return answered


def read_some() -> int:
    """Attach anew and read; how many frames came."""
    frames = 0
    try:
        with arclyd.Subscriber("live/fuzz", start="oldest") as sub:
            for _ in range(200):
                item = sub.recv_raw(timeout=0.001)
                if isinstance(item, arclyd.Frame):
                    item.tobytes()
                    frames += 1
    except (ArclydError, TimeoutError):
        pass
    return frames


@pytest.mark.usefixtures("nothing_left")
def test_a_publisher_that_scribbles_over_its_region(daemon: Daemon, spawn: Spawner) -> None:
    sound = spawn(
        """
        import sys, arclyd
        with arclyd.Publisher("live/sound", [arclyd.Track.data()]) as pub:
            pub.publish(0, b"sound", pts=0)
            print("ready", flush=True)
            sys.stdin.read()
        """
    )
    sound.await_line("ready")
    region = [name for name in daemon.regions() if "sound" not in name]
    assert region == []
    vandal = spawn(VANDAL, daemon.instance, name="vandal")
    vandal.await_line("ready")
    answered = frames = 0
    before = psutil.Process(daemon.pid).memory_info().rss
    with arclyd.connect() as control:
        for _ in range(150):
            answered += ask_everything(control)
            frames += read_some()
            assert control.health().status in ("healthy", "degraded", "unhealthy")
        assert control.info("live/sound").publisher is not None
    assert answered > 300
    assert frames > 0
    assert psutil.Process(daemon.pid).memory_info().rss - before < GROWTH
    assert vandal.process.poll() is None, vandal.errors
    assert not re.search("request_failed|Traceback|unhandled", daemon.log), daemon.log[-3000:]
    vandal.kill()
    with arclyd.connect() as control:
        control.end("live/sound")
        wait_until(
            lambda: "live/sound" not in {info.key for info in control.list_streams()}, what="the sound one's end"
        )

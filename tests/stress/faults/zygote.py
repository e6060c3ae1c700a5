"""A process that forks the players of the fault matrix: ``python -m tests.stress.faults.zygote``.

Each line of standard input is a JSON list: folder, role, arguments. The player's standard input is the pipe ``in`` of
the folder, its output goes to ``out`` there. Forked from an interpreter that is warm, a player is there at once.

SIGTERM makes a player leave in order, SIGUSR1 raises an exception in it, SIGUSR2 makes it fork: the child tries what
its parent's publisher or subscriber can do, says how that went, and stays.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import arclyd
from arclyd.client import claim, subscriber
from arclyd.ring import _ring
from tests.e2e.reading import TRACKS, VIDEO_CONFIG, picture
from tests.stress.faults.points import Points

if TYPE_CHECKING:
    from types import FrameType

WARM = (arclyd.AlreadyPublishing, arclyd.Publisher, arclyd.Subscriber, arclyd.EndOfStream, arclyd.Gap)
HOLDS_IN_PYTHON = ("SIGUSR1", "SIGUSR2")


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def hold(place: str) -> None:
    """Wait here as at a fault point, but let signal handlers run."""
    say("at", place)
    assert os.read(0, 1)


def told() -> str:
    """The next line of standard input, byte by byte: traps read there, too."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(0, 1) or b"end\n"
    return line.decode().strip()


class Faults:
    """Where this player is to be held, and what its signals do."""

    def __init__(self, way: str) -> None:
        self.in_python = way in HOLDS_IN_PYTHON
        self.points = Points(_ring)
        self.mine: list[object] = []
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGUSR1, self._raise)
        signal.signal(signal.SIGUSR2, self._fork)

    def _leave(self, number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(0)

    def _raise(self, number: int, frame: FrameType | None) -> NoReturn:
        raise RuntimeError("a fault was asked for")

    def _fork(self, number: int, frame: FrameType | None) -> None:
        if os.fork():
            return
        for one in self.mine:
            try:
                if isinstance(one, arclyd.Publisher):
                    one.publish(0, b"child", pts=0, keyframe=True)
                else:
                    one.recv(timeout=0)  # type: ignore[attr-defined]
            except arclyd.ArclydError as error:
                say("child", os.getpid(), type(error).__name__)
        if not self.mine:
            say("child", os.getpid(), "nothing")
        while True:
            signal.pause()


def publisher(faults: Faults, key: str, when: str) -> None:
    if when == "claim" and faults.in_python:
        writer = claim.Writer
        claim.Writer = lambda *args: (hold("claim"), writer(*args))[1]  # type: ignore[assignment, misc]
    elif when == "claim":
        faults.points.arm("claim.epoch", "trap")
    elif when.startswith("kill:"):
        faults.points.arm(when.split(":")[1], "kill", int(when.split(":")[2]))
    with arclyd.Publisher(key, TRACKS) as pub:
        faults.mine.append(pub)
        say("publishing", pub.epoch)
        n = 0
        while when.startswith("kill:"):
            pub.publish(n % 2, picture(n, 320), pts=n * (960 if n % 2 else 1800), keyframe=n % 4 == 0)
            pub.set_config(0, VIDEO_CONFIG)
            n += 1
        while (line := told()) != "end":
            if line == "hold" and faults.in_python:
                with pub.reserve(0, 5000) as span:
                    span.buffer[:2500] = bytes(2500)
                    hold("frame")
                    span.commit(5000, pts=n * 1800)
            elif line == "hold":
                faults.points.arm("copy.half", "trap")
            for _ in range(10):
                pub.publish(n % 2, picture(n), pts=n * (960 if n % 2 else 1800), keyframe=n % 10 == 0)
                n += 1
            say("published", n)
        if when == "end" and faults.in_python:
            hold("end")
        elif when == "end":
            faults.points.arm("end.state", "trap")
    say("ended")


def reader(faults: Faults, key: str, when: str, start: str) -> None:
    trap = {"join": "join.chosen", "frame": "read.fields", "end": "rest.over"}.get(when)
    if when == "join" and faults.in_python:
        build = subscriber.Reader
        subscriber.Reader = lambda *args, **facts: (hold("join"), build(*args, **facts))[1]  # type: ignore[assignment, misc]
    elif trap and not faults.in_python:
        faults.points.arm(trap, "trap")
    with arclyd.Subscriber(key, start=start) as sub:
        faults.mine.append(sub)
        say("attached")
        while True:
            try:
                item = sub.recv_raw(timeout=60)
            except arclyd.EndOfStream as end:
                if when == "end" and faults.in_python:
                    hold("end")
                say("end", end.reason, sub.dropped)
                return
            if isinstance(item, arclyd.Gap):
                say("gap", item.missed, item.resumed_at)
                continue
            if when == "frame" and faults.in_python and item.keyframe:
                hold("frame")
                when = ""
            assert item.is_intact()
            say("frame", item.seq, item.epoch, int(item.keyframe), int(item.is_config), int(item.discontinuity))


ROLES = {"publisher": publisher, "reader": reader}


def play(folder: str, role: str, way: str, socket: str, arguments: list[str]) -> NoReturn:
    code = 1
    try:
        os.environ["ARCLYD_SOCKET"] = socket
        os.dup2(os.open(f"{folder}/in", os.O_RDWR), 0)
        os.dup2(os.open(f"{folder}/out", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        say("pid", os.getpid())
        ROLES[role](Faults(way), *arguments)
        code = 0
    except SystemExit:
        say("left")
        code = 0
    except (RuntimeError, arclyd.ArclydError) as error:
        say("raised", type(error).__name__, error)
    except BaseException:
        say("broken", json.dumps(traceback.format_exc()))
    finally:
        os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for players: the system reaps them
    say("ready")
    for line in sys.stdin:
        folder, role, way, socket, *arguments = json.loads(line)
        if os.fork() == 0:
            play(folder, role, way, socket, arguments)

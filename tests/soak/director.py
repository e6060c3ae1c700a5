"""Who directs the soak: starts the processes, makes them die, and counts what is left over at the end."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import arclyd
from tests.daemon import Daemon
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = Path(__file__).resolve().parents[2]
KEYS: Final = tuple(f"soak/s{n}" for n in range(4))
STARTS: Final = ("keyframe", "live", "oldest", 0, -0.5)
CONFIG: Final = """
    [apps."*"]
    ring_bytes = "512KiB"
    slots = 512
    grace = 1.5
"""
GROWTH_KIB: Final = 8 << 10
"""What a daemon that has served a whole soak may hold above one that has just started: its event log, and arenas."""

EXACT: Final = ("descriptors", "threads", "mapped regions")
"""What the daemon must hold exactly as many of as a fresh one."""

GONE: Final = (arclyd.StreamNotFound, arclyd.SubscriberNotFound, arclyd.RequestRefused, arclyd.DaemonUnavailable)
"""What a command may meet while everything comes and goes."""


class Actor:
    """A process of the soak; ``fates`` are the signals that may have killed it."""

    def __init__(self, folder: Path, env: dict[str, str], number: int, role: str, key: str, **options: Any) -> None:
        self.role, self.key = role, key
        self.fates: set[int] = set()
        self.stopped_until = 0.0
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.soak.actors", role, key]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*command, json.dumps(options)], cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=out, stderr=err
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def said(self) -> list[dict[str, Any]]:
        """What it said so far."""
        text = self._out.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def signal(self, number: int) -> None:
        if number == signal.SIGSTOP:
            self.stopped_until = time.monotonic() + 4 * random.random()
        elif number != signal.SIGCONT:
            self.fates.add(number)
        self.process.send_signal(number)

    def end(self) -> None:
        """Its end, in order; one that stands still goes on first."""
        if self.alive and self.role != "come_and_go":  # that one ends with its input, and tells how it fared
            self.process.send_signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        self._close_input()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:  # where every thread of it stands belongs in the report
            self.process.send_signal(signal.SIGABRT)

    def close(self) -> str:
        """Reap it; returns what went wrong, or nothing."""
        self._close_input()
        code, errors = self.process.wait(), self._err.read_text()[-3000:]
        self._err.unlink()
        # SIGTERM ends an interpreter that has not come to its handler yet; killed by it, it may have said anything.
        if code == 0 or -code in self.fates:
            return f"{self.role} {self.key} wrote: {errors}" if errors and code == 0 else ""
        return f"{self.role} {self.key} ended with {code}: {errors}"

    def _close_input(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()


class Soak:
    """One soak in ``folder``; everything it does follows from ``seed``, but for what the machine makes of it."""

    def __init__(self, folder: Path, seed: int, out: IO[str] = sys.stdout) -> None:
        self.done: collections.Counter[str] = collections.Counter()
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.totals: collections.Counter[str] = collections.Counter()
        self.problems: list[str] = []
        self.figures: dict[str, str] = {}
        self._folder = folder
        self._dice = random.Random(seed)
        self._out = out
        self._number = 0
        self._actors: list[Actor] = []
        self._daemon = Daemon(folder, CONFIG)
        self._fresh: dict[str, int] = {}
        self._stopped_daemon_until = 0.0

    # -------------------------------------------------------------- the course

    def run(self, seconds: float) -> bool:
        """The whole soak; True: nothing is left over and nothing went wrong."""
        try:
            self._daemon.start()
            self._fresh = wait_until(self._settled, what="the fresh daemon to be at rest")
            self._storm(seconds)
            self._calm()
            self._consistency()
            self._leftovers()
        except Exception as error:
            self.problems.append(f"{type(error).__name__}: {error}")
        finally:
            for actor in self._actors:
                actor.process.kill()
                actor.close()
            self._resume_daemon()
            self._daemon.clean()
        return not self.problems

    def _settled(self) -> dict[str, int] | None:
        """What the daemon holds once nobody is connected."""
        before = held_by(self._daemon.pid)
        with arclyd.connect(self._daemon.socket) as control:
            counted = next(check for check in control.health().checks if check.name == "connections")
        time.sleep(0.1)
        return before if counted.detail.startswith("1 ") and held_by(self._daemon.pid) == before else None

    def _storm(self, seconds: float) -> None:
        begun = time.monotonic()
        shown = begun
        self._start("come_and_go", "soak/churn")
        while (now := time.monotonic()) < begun + seconds and not self.problems:
            self._reap()
            for actor in self._actors:
                if actor.stopped_until and now > actor.stopped_until:
                    actor.stopped_until = 0.0
                    actor.signal(signal.SIGCONT)
            if self._stopped_daemon_until and now > self._stopped_daemon_until:
                self._resume_daemon()
            self._populate()
            # The daemon of the last quarter lives to the end: what it has left over is what is looked at.
            self._strike(daemon_too=now < begun + 0.75 * seconds)
            if now - shown >= 15:
                shown = now
                self._show(now - begun)
            time.sleep(self._dice.uniform(0.02, 0.25))

    def _populate(self) -> None:
        living = [actor for actor in self._actors if actor.alive]
        publishers = [actor for actor in living if actor.role == "publish"]
        readers = [actor for actor in living if actor.role.startswith("read")]
        key = self._dice.choice(KEYS)
        if len(publishers) < 6 and (self._dice.random() < 0.3 or all(one.key != key for one in publishers)):
            self._publisher(key)
        if len(readers) < 10:
            self._reader(self._dice.choice(KEYS))

    def _publisher(self, key: str) -> None:
        options = {
            "on_taken": self._dice.choice((None, "replace", "backup", "backup")),
            "tracks": self._dice.choices(("plain", "other"), (5, 1))[0],
            "ring_bytes": self._dice.choices((None, 1 << 20), (5, 1))[0],
            "rate": self._dice.choice((50, 200, 400)),
        }
        self._start("publish", key, **options)

    def _reader(self, key: str) -> None:
        how = {
            "start": self._dice.choice(STARTS),
            "resync": self._dice.choice(("keyframe", "keyframe", "oldest")),
            "max_lag": self._dice.choices((None, 1000), (6, 1))[0],
        }
        role, lazy = self._dice.choices(("read", "read_async"), (2, 1))[0], self._dice.choice((0, 0, 0.005))
        self._start(role, key, how=how, lazy=lazy)

    def _strike(self, *, daemon_too: bool) -> None:
        blow = self._dice.random()
        if blow < 0.40:
            self._hit()
        elif blow < 0.48:
            self._command()
        elif blow < 0.52 and daemon_too and not self._stopped_daemon_until:
            self._hit_daemon()

    def _hit(self) -> None:
        victims = [actor for actor in self._actors if actor.alive and actor.said and actor.role != "come_and_go"]
        if victims:
            victim = self._dice.choice(victims)
            number = self._dice.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
            victim.signal(number)
            self.done[f"{number.name} {victim.role}"] += 1

    def _hit_daemon(self) -> None:
        way = self._dice.choice(("SIGKILL", "SIGTERM", "SIGSTOP", "SIGHUP"))
        self.done[f"{way} daemon"] += 1
        if way == "SIGSTOP":
            self._stopped_daemon_until = time.monotonic() + 2 * self._dice.random()
            self._daemon_signal(signal.SIGSTOP)
        elif way == "SIGHUP":
            self._daemon_signal(signal.SIGHUP)
        else:
            end: Callable[[], None] = self._daemon.kill if way == "SIGKILL" else self._daemon.stop
            end()
            time.sleep(self._dice.choice((0, 0.2, 1.0)))
            self._daemon.start()

    def _command(self) -> None:
        key, command = self._dice.choice(KEYS), self._dice.choice(("end", "kick", "throw out", "keyframe", "look"))
        with contextlib.suppress(*GONE), arclyd.connect(self._daemon.socket, timeout=10) as control:
            if command == "end":
                control.end(key)
            elif command == "kick":
                for seat in control.subscribers(key)[:1]:
                    control.kick(key, seat.id)
            elif command == "throw out":
                control.kick(key, 0)
            elif command == "keyframe":
                control.request_keyframe(key)
            else:
                self._look(control, key)
            self.done[f"command {command}"] += 1

    @staticmethod
    def _look(control: arclyd.Control, key: str) -> None:
        control.list_streams()
        control.health()
        control.gop_index(key)
        control.qos(key)

    # ----------------------------------------------------------------- the end

    def _calm(self) -> None:
        """Everybody ends; after the grace time no stream is there."""
        self._resume_daemon()
        for actor in self._actors:
            actor.end()
        self._reap()
        with arclyd.connect(self._daemon.socket) as control:
            wait_until(lambda: not control.list_streams(), timeout=20, what="the last stream's end")

    def _consistency(self) -> None:
        """A stream whose every frame is known: everybody's counts of it are the same."""
        frames, readers = 300, 3
        publisher = self._start("publish", "soak/final", count=frames, rate=1000, ring_bytes=4 << 20)
        crowd = [self._start("read", "soak/final", how={"start": 0}, lazy=0) for _ in range(readers)]
        published = wait_until(lambda: found(publisher, "published"), what="the frames")
        wait_until(lambda: all(found(actor, "attached") is not None for actor in crowd), what="the readers")
        with arclyd.connect(self._daemon.socket) as control:
            wait_until(lambda: control.info("soak/final").subscribers == readers, what="the count of readers")
            info, qos = control.info("soak/final"), control.qos("soak/final")
            seats = control.subscribers("soak/final")
        self._same("subscribers", qos.subscribers, len(seats), readers)
        self._same("reader processes", sorted(seat.pid for seat in seats), sorted(one.process.pid for one in crowd))
        self._same("frames", published, info.head, qos.total_frames, sum(track.frames for track in qos.tracks))
        self._same("bytes", qos.total_bytes, sum(track.bytes for track in qos.tracks))
        publisher.process.communicate(b"end\n", timeout=20)
        for actor in crowd:
            actor.process.wait(20)
            self._same("a reader's end", actor.said[-1]["outcome"], "ended")
            self._same("a reader's frames", actor.said[-1]["frames"], published)
        self._reap()

    def _leftovers(self) -> None:
        """Regions, processes, descriptors, memory."""
        with arclyd.connect(self._daemon.socket) as control:
            wait_until(lambda: not control.list_streams(), timeout=20, what="the last stream's end")
            # How late its loop was at worst it remembers for a while: being stopped and a busy machine make it so.
            ill = [check for check in control.health().checks if check.status != "healthy" and check.name != "loop"]
        self._same("health", ill, [])
        self._same("regions", self._daemon.regions(), [])
        self._same("processes", [actor.process.pid for actor in self._actors], [])
        pid, fresh = self._daemon.pid, self._fresh
        with contextlib.suppress(AssertionError):  # the comparison says what is too much
            wait_until(lambda: all(held_by(pid)[name] <= fresh[name] for name in EXACT), timeout=5)
        held = held_by(pid)
        for name, was in fresh.items():
            self.figures[f"daemon's {name}, fresh and after"] = f"{was} and {held[name]}"
        for name in EXACT:
            self._same(f"the daemon's {name}", held[name], fresh[name])
        if held["KiB of its own"] > fresh["KiB of its own"] + GROWTH_KIB:
            self.problems.append(f"the daemon grew: {self.figures}")
        if "Traceback" in self._daemon.log:
            self.problems.append(f"the daemon's log: {self._daemon.log[-4000:]}")
        self._daemon.stop()
        self._same("files beside the socket", Path(self._daemon.socket).exists(), False)

    # ------------------------------------------------------------------ inside

    def _start(self, role: str, key: str, **options: Any) -> Actor:
        self._number += 1
        options.setdefault("seed", self._dice.randrange(1 << 30))
        self._actors.append(Actor(self._folder, self._daemon.env, self._number, role, key, **options))
        self.done[f"started {role}"] += 1
        return self._actors[-1]

    def _reap(self) -> None:
        for actor in [actor for actor in self._actors if not actor.alive]:
            self._actors.remove(actor)
            if problem := actor.close():
                self.problems.append(problem)
            last = actor.said[-1] if actor.said else {}
            self.outcomes[f"{actor.role}: {last.pop('outcome', 'killed')}"] += 1
            self.totals.update({f"{actor.role}: {name}": value for name, value in last.items() if name in COUNTED})

    def _same(self, what: str, *values: object) -> None:
        if any(value != values[0] for value in values):
            self.problems.append(f"{what}: {' and '.join(map(str, values))} should be the same")

    def _daemon_signal(self, number: int) -> None:
        os.kill(self._daemon.pid, number)

    def _resume_daemon(self) -> None:
        if self._stopped_daemon_until:
            self._stopped_daemon_until = 0.0
            self._daemon_signal(signal.SIGCONT)

    def _show(self, elapsed: float) -> None:
        living = collections.Counter(actor.role for actor in self._actors if actor.alive)
        blows = sum(count for name, count in self.done.items() if name.startswith("SIG"))
        frames = self.totals["read: frames"] + self.totals["read_async: frames"]
        facts = ", ".join(f"{count} {role}" for role, count in sorted(living.items()))
        print(f"{elapsed:6.0f} s  {blows} blows, {frames} frames checked; now {facts}", file=self._out, flush=True)


COUNTED: Final = frozenset(
    ("published", "frames", "replayed", "gaps", "missed", "overwritten", "epochs", "discontinuities", "rounds")
)


def found(actor: Actor, name: str) -> Any:
    """The fact ``name``, once the actor said it."""
    return next((line[name] for line in actor.said if name in line), None)


def held_by(pid: int) -> dict[str, int]:
    """What a process holds."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {
        "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"]),
        "mapped regions": sum("/dev/shm/arclyd." in line for line in maps),
        "KiB of its own": int(status["RssAnon"].split()[0]),
    }

"""All parts together: a daemon, one published stream, two subscriber processes, live figures, a closing account.

    python examples/demo.py [--seconds 20] [--source FILE]

Every part is a process of its own, as it would be in use, on a control socket in a temporary directory: the demo
never meets another daemon on the host. It ends after ``--seconds`` or at Ctrl-C. Exit code 0: every part ran to its
end, every subscriber accounts for every frame, and neither a process nor a region is left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import arclyd
from arclyd.control.paths import instance_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "live/demo"
READERS = ("analysis", "archive")
SHM = Path("/dev/shm")  # noqa: S108 - where POSIX shared memory is on Linux
START_SECONDS = 30.0
STOP_SECONDS = 10.0
TICK_SECONDS = 0.1


class DemoFailed(Exception):
    """A part did not do what it is there for."""


# ------------------------------------------------------------- a subscriber


@dataclass(slots=True)
class Tally:
    """What one subscriber received; ``crc`` runs over all payloads in order."""

    first: int = -1
    last: int = -1
    frames: int = 0
    bytes: int = 0
    gaps: int = 0
    missed: int = 0
    damaged: int = 0
    crc: int = 0
    end_reason: str = ""

    def add(self, frame: arclyd.Frame) -> None:
        self.crc = zlib.crc32(frame.data, self.crc)
        self.damaged += not frame.is_intact()
        self.first = frame.seq if self.first < 0 else self.first
        self.last = frame.seq
        self.frames += 1
        self.bytes += len(frame.data)

    def add_gap(self, gap: arclyd.Gap) -> None:
        self.gaps += 1
        self.missed += gap.missed


def subscribe(report: Path) -> int:
    """Read the stream to its end, print a line a second, leave the tally as JSON."""
    tally = Tally()
    with arclyd.Subscriber(KEY, start="oldest") as subscriber:
        printed, frames, size = time.monotonic(), 0, 0
        while not tally.end_reason:
            with contextlib.suppress(TimeoutError):
                receive(subscriber, tally)
            now = time.monotonic()
            if now - printed >= 1.0:
                rate, bits = (tally.frames - frames) / (now - printed), 8 * (tally.bytes - size) / (now - printed)
                print(f"{rate:5.1f} frames/s {bits / 1e6:6.2f} Mbit/s  at frame {tally.last}  {tally.missed} missed")
                printed, frames, size = now, tally.frames, tally.bytes
    report.write_text(json.dumps(asdict(tally)))
    print(f"{tally.frames} frames, {tally.missed} missed; the stream {tally.end_reason}")
    return 0


def receive(subscriber: arclyd.Subscriber, tally: Tally) -> None:
    try:
        item = subscriber.recv_raw(timeout=0.5)
    except arclyd.EndOfStream as end:
        tally.end_reason = end.reason
        return
    if isinstance(item, arclyd.Gap):
        tally.add_gap(item)
    else:
        tally.add(item)


# --------------------------------------------------------------------- parts


@dataclass(slots=True)
class Part:
    """One child process in a process group of its own, its output kept in a file."""

    name: str
    process: subprocess.Popen[str]
    log: Path
    reader: threading.Thread | None = None
    cpu_percent: float = 0.0
    ended: bool = False

    def running(self) -> bool:
        return self.process.poll() is None

    def cpu_seconds(self) -> float:
        """User and system time so far; fields 14 and 15 of proc(5), counted after the command's name."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return not self.running()

    def stop(self, number: signal.Signals) -> bool:
        """Ask by signal, then end the whole group; False where it had to be killed."""
        if self.running():
            self.process.send_signal(number)
        in_order = self.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.reader is not None:
            self.reader.join(STOP_SECONDS)
        return in_order

    def last_lines(self, count: int = 8) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  {line}" for line in lines[-count:]) or "  (it said nothing)"


@dataclass(slots=True)
class Demo:
    """The parts, in the order they were started, and what they share."""

    folder: Path
    source: list[str]
    terminal: bool
    parts: list[Part] = field(default_factory=list)

    @property
    def socket(self) -> str:
        return str(self.folder / "control.sock")

    def start(self, name: str, command: list[str], *, on_terminal: bool = False, shown: bool = False) -> Part:
        """Start ``command``; its output goes to the terminal itself, or to its log and (``shown``) to ours."""
        log = self.folder / f"{name}.log"
        environment = {**os.environ, "ARCLYD_SOCKET": self.socket, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=None if on_terminal else subprocess.PIPE,
            stderr=None if on_terminal else subprocess.STDOUT,
            text=True,
            errors="replace",
            process_group=0,
        )
        part = Part(name, process, log)
        if process.stdout is not None:
            part.reader = threading.Thread(target=keep, args=(part,), kwargs={"shown": shown}, daemon=True)
            part.reader.start()
        self.parts.append(part)
        return part

    def check(self) -> None:
        """Raise for the first part that ended before its time."""
        for part in self.parts:
            if not part.ended and not part.running():
                raise self.failed(part)

    @staticmethod
    def failed(part: Part) -> DemoFailed:
        if part.reader is not None:
            part.reader.join(STOP_SECONDS)
        code = part.process.returncode
        return DemoFailed(f"{part.name} ended with exit code {code}; its last lines:\n{part.last_lines()}")

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers(ready):
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"{part.name}:\n{part.last_lines()}" for part in self.parts)
                raise DemoFailed(f"waited {START_SECONDS:.0f} s for {what}\n{logs}")
            time.sleep(TICK_SECONDS)

    @staticmethod
    def answers(ready: Callable[[], bool]) -> bool:
        try:
            return ready()
        except arclyd.ArclydError:
            return False

    def end(self, part: Part, number: signal.Signals) -> None:
        """End one part in order; a part that has to be killed, or ends with an error, has failed."""
        part.ended = True
        expected = (0, -number, 128 + number)
        if not part.stop(number) or part.process.returncode not in expected:
            raise self.failed(part)

    def collect(self, part: Part) -> Tally:
        """A subscriber's account; it ends by itself once it has read the stream to the end."""
        part.ended = True
        if not part.wait(STOP_SECONDS) or part.process.returncode != 0:
            raise self.failed(part)
        return Tally(**json.loads((self.folder / f"{part.name}.json").read_text()))

    def close(self) -> list[str]:
        """End whatever is still there, newest first; returns what was left over and had to be removed."""
        killed = [part.name for part in reversed(self.parts) if not part.stop(signal.SIGTERM)]
        regions = sorted(SHM.glob(f"arclyd.{instance_of(self.socket)}.*"))
        for region in regions:
            region.unlink(missing_ok=True)
        return [f"process {name}" for name in killed] + [f"region {region.name}" for region in regions]


def keep(part: Part, *, shown: bool) -> None:
    """Copy a part's output to its log, line by line, and to ours with its name in front."""
    assert part.process.stdout is not None
    with part.log.open("w") as log:
        for line in part.process.stdout:
            log.write(line)
            log.flush()
            if shown:
                print(f"{part.name:>9} | {line.rstrip()}", flush=True)


# ----------------------------------------------------------------- the course


def run(demo: Demo, seconds: float | None, stop: threading.Event) -> bool:
    """Start everything, watch it, end it in order and give the account; False where the figures do not add up."""
    shown = not demo.terminal
    daemon = demo.start("daemon", ["-m", "arclyd", "serve", "--socket", demo.socket])
    demo.wait_for("the daemon", lambda: arclyd.connect(demo.socket).version().pid == daemon.process.pid)
    publisher = demo.start("publisher", ["-m", "arclyd", "publish", *demo.source, KEY])
    with arclyd.connect(demo.socket) as control:
        demo.wait_for("the first frames", lambda: control.qos(KEY).total_frames > 0)
        readers = [
            demo.start(name, [__file__, "--subscriber", str(demo.folder / f"{name}.json")], shown=shown)
            for name in READERS
        ]
        demo.wait_for("the subscribers", lambda: len(control.subscribers(KEY)) == len(READERS))
        print("running:", ", ".join(f"{part.name} (pid {part.process.pid})" for part in demo.parts), flush=True)
        stats = demo.start("stats", ["-m", "arclyctl", "stats", "--watch"], on_terminal=demo.terminal, shown=shown)
        elapsed = watch(demo, [daemon, publisher, *readers], seconds, stop)
        picture = control.metadata(KEY)
        demo.end(stats, signal.SIGINT)
        demo.end(publisher, signal.SIGINT)
        tallies = [demo.collect(reader) for reader in readers]
        published = published_frames(control)
    demo.end(daemon, signal.SIGTERM)
    rates = f"{picture.video_bitrate_bps / 1e6:.2f} + {picture.audio_bitrate_bps / 1e6:.2f} Mbit/s"
    print(f"\n{elapsed:.1f} s of {KEY}: {picture.width}x{picture.height}, {picture.fps:.2f} fps, {rates}")
    return account(published, daemon, publisher, list(zip(readers, tallies, strict=True)))


def watch(demo: Demo, measured: list[Part], seconds: float | None, stop: threading.Event) -> float:
    """Wait for the end and return how long that was; the processor time of ``measured`` is taken over that span."""
    began = time.monotonic()
    before = [part.cpu_seconds() for part in measured]
    while not stop.wait(TICK_SECONDS):
        demo.check()
        if seconds is not None and time.monotonic() - began >= seconds:
            break
    elapsed = time.monotonic() - began
    for part, spent in zip(measured, before, strict=True):
        part.cpu_percent = 100 * (part.cpu_seconds() - spent) / elapsed
    return elapsed


def published_frames(control: arclyd.Control) -> int:
    """How many frames the stream had, by the daemon's account of its end."""
    ends = [event for event in control.events(0, follow=False) if event.kind == "publish_ended" and event.key == KEY]
    if not ends:
        raise DemoFailed("the daemon knows nothing of the stream's end")
    return int(str(ends[-1].facts["head"]))


def account(published: int, daemon: Part, publisher: Part, readers: list[tuple[Part, Tally]]) -> bool:
    """Print the table; True where every reader accounts for every frame and nothing is damaged."""
    row = "{:<10}{:>8}{:>6}{:>8}{:>9}{:>9}{:>8}".format
    print(row("", "frames", "gaps", "missed", "damaged", "MB", "CPU %"))
    print(row(daemon.name, *"-----", f"{daemon.cpu_percent:.1f}"))
    print(row(publisher.name, published, *"----", f"{publisher.cpu_percent:.1f}"))
    for part, tally in readers:
        size, load = f"{tally.bytes / 1e6:.2f}", f"{part.cpu_percent:.1f}"
        print(row(part.name, tally.frames, tally.gaps, tally.missed, tally.damaged, size, load))
    tallies = [tally for _, tally in readers]
    complete = all(tally.first == 0 and tally.frames + tally.missed == published for tally in tallies)
    same = len({tally.crc for tally in tallies}) == 1
    answer = {True: "yes", False: "NO"}
    print(f"every frame accounted for: {answer[complete]}; both read the same bytes: {answer[same]}")
    gapless = not any(tally.missed for tally in tallies)
    return complete and (same or not gapless) and not any(tally.damaged for tally in tallies)


@contextlib.contextmanager
def own_foreground() -> Iterator[None]:
    """Take Ctrl-C on the terminal for this process alone.

    `make` in the same process group would be interrupted too, and report a demo that was ended on purpose as an
    error. Without a terminal, or in its background, nothing changes.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield
        return
    before = os.getpgrp()
    try:
        if before == os.getpid() or os.tcgetpgrp(terminal) != before:
            yield
            return
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # tcsetpgrp from what is by then the background
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # the shell watches make, and would not see us stop
        os.setpgid(0, 0)
        os.tcsetpgrp(terminal, os.getpid())
        try:
            yield
        finally:
            os.tcsetpgrp(terminal, before)
    finally:
        os.close(terminal)


def demonstrate(source: list[str], seconds: float | None) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    demo = Demo(Path(tempfile.mkdtemp(prefix="arclyd-demo-")), source, terminal=sys.stdout.isatty())
    failure = ""
    try:
        with own_foreground():
            if not run(demo, seconds, stop):
                failure = "the figures above do not add up"
    except (DemoFailed, arclyd.ArclydError) as error:
        failure = str(error)
    finally:
        left = demo.close()
        shutil.rmtree(demo.folder, ignore_errors=True)
        if demo.terminal:
            print("\x1b[?25h", end="")  # the live table hides the cursor
    print(f"left behind: {', '.join(left) or 'no process, no region'}")
    if failure:
        print(f"demo: error: {failure}", file=sys.stderr)
    return 1 if failure or left else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, help="end after that long (default: at Ctrl-C)")
    parser.add_argument("--source", default="test:", help="what to publish: a media file, or test: (the default)")
    parser.add_argument("--subscriber", type=Path, metavar="REPORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.subscriber is not None:
        return subscribe(options.subscriber)
    looped = [] if options.source.startswith("test:") else ["--loop"]
    return demonstrate([options.source, *looped], options.seconds)


if __name__ == "__main__":
    sys.exit(main())

"""Frames a second from one publisher to n subscribers: arclyd beside its peers and beside what the machine can do.

Everything is received, checked and touched, or there is no figure. Beside the rates: processor seconds of all
processes for a million frames.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.harness.job import MIB, Job
from benchmarks.harness.script import Settings, main
from benchmarks.transports import PEERS, TRANSPORTS

if TYPE_CHECKING:
    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage

SIZES: Final = (200, 4096, 65536, MIB)
OURS: Final = tuple(name for name in TRANSPORTS if name.startswith("arclyd") and TRANSPORTS[name].flat_out)
LIMITS: Final = ("C core", "C core copying")
IN_PROCESS: Final = {
    "tokio broadcast (Rust, in-process)": "broadcast",
    "arcly-stream (Rust, in-process)": "arcly-stream",
}
FAST_PEERS: Final = ("Unix socket", "pyzmq", "iceoryx2", "zenoh", "zenoh without shm")
RUST: Final = Path(__file__).resolve().parent / "rust"
RUST_TARGET: Final = RUST.parent / "out" / "rust"


def jobs(settings: Settings, size: int, subscribers: int) -> list[Job]:
    """Who is measured at this point."""
    peers = [name for name in PEERS if TRANSPORTS[name].flat_out]
    who = [*OURS, *LIMITS, *peers]
    if settings.scale == "short":
        peers = [name for name in peers if subscribers == 1 or name in FAST_PEERS]
        who = ["arclyd", "arclyd recv_many", "C core", *peers]
    if subscribers == 0:
        who = [*(name for name in OURS if not TRANSPORTS[name].options.get("read")), "C core", "memcpy"]
    elif subscribers == 64:
        who = ["arclyd", "arclyd recv_many", "C core"]
    return [
        Job(name, size, subscribers, seconds=seconds(settings, subscribers), ring_bytes=settings.ring_bytes(size))
        for name in settings.chosen(who)
    ]


def seconds(settings: Settings, subscribers: int) -> float:
    """Of one run; more processes take longer to come to an even pace."""
    return settings.by_scale(0.02, 0.12, 0.4) * (1 if subscribers <= 8 else 2)


def points(settings: Settings) -> list[tuple[int, int]]:
    """Sizes and numbers of subscribers."""
    if settings.scale == "tiny":
        return [(200, 2), (65536, 0)]
    if settings.scale == "short":
        return [(size, 1) for size in SIZES] + [(200, 4), (4096, 4), (65536, 4), (MIB, 0)]
    return [(size, subscribers) for subscribers in (0, 1, 4, 8, 64) for size in SIZES]


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """All points, interleaved at each."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure, interleave

    settings.say(f"payload ring of arclyd and the C core: 32 MiB, {settings.ring_mib} MiB from frames of 64 KiB on")
    figures = []
    rust = rust_binary(settings)
    for size, subscribers in points(settings):
        labels: Labels = {"size": size, "subscribers": subscribers}
        repeats = settings.by_scale(1, 3, 5 if subscribers <= 8 else 3)
        results = interleave(stage, jobs(settings, size, subscribers), repeats, settings.say)
        for job, found in results.items():
            rate = Figure.of(result.rate for result in found)
            cpu = Figure.of(result.cpu_per_million for result in found)
            whom: Labels = {"transport": job.transport, **labels}
            figures.append(Measured("throughput", "frames/s", whom, rate))
            figures.append(Measured("processor time", "CPU s per million frames", whom, cpu))
        if rust and 0 < subscribers <= 8:
            for name, channel in IN_PROCESS.items():
                rates = [in_process(rust, channel, size, subscribers, settings) for _ in range(repeats)]
                figures.append(Measured("throughput", "frames/s", {"transport": name, **labels}, Figure.of(rates)))
    return figures


# ------------------------------------------------------- the in-process yardstick


def rust_binary(settings: Settings) -> Path | None:
    """The Rust harness; built where cargo is, in a full run only: that takes a minute."""
    binary = RUST_TARGET / "release" / "yardstick"
    if settings.transports:
        return None
    if settings.scale == "full" and shutil.which("cargo"):
        command = ["cargo", "build", "--release", "--manifest-path", str(RUST / "Cargo.toml")]
        command += ["--target-dir", str(RUST_TARGET)]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            settings.say(f"left out, cargo could not build it: {built.stderr.strip().splitlines()[-1]}")
            return None
    if not binary.exists():
        settings.say("left out, not built: the Rust yardstick (a full run builds it, where cargo is)")
        return None
    return binary


def in_process(binary: Path, channel: str, size: int, subscribers: int, settings: Settings) -> float:
    """Frames a second of one run."""
    window = Job("", size, subscribers).window
    command = [binary, channel, size, subscribers, seconds(settings, subscribers), window]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, timeout=120)
    facts = json.loads(done.stdout)
    return float(facts["frames"]) / float(facts["seconds"])


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

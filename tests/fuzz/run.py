"""Runs the fuzz targets one after another: ``python -m tests.fuzz.run --seconds N [--target NAME …] [--seed N]``.

Inputs that fail are saved in tests/fuzz/crashes; each belongs into the corpus with the fix. The region's target needs
clang. Python targets are coverage-guided where Atheris is installed (extra ``fuzz``), else mutated from their corpora.
Exit code 1: something was found.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.daemon import Daemon
from tests.fuzz import engine, guided, native
from tests.fuzz.engine import CRASHES, HERE, Outcome
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT: Final = HERE.parents[1]
CONFIG: Final = """
    [server]
    memory_budget = "96MiB"
    max_publishers = 20
    [apps."*"]
    ring_bytes = "1MiB"
    slots = 64
    grace = 1
"""
"""Of a daemon that hostile clients talk to: what they may claim is bounded, and gone soon after."""

READS_A_SECOND: Final = 20_000
MESSAGES_A_SECOND: Final = 2_500
"""What two cores manage at least, sanity checks included."""


def run_region(seconds: float, seed: int) -> Outcome:
    """libFuzzer on the C core."""
    with tempfile.TemporaryDirectory() as folder:
        return native.run(Path(folder), seconds, seed)


def run_python(name: str, seconds: float, seed: int) -> Outcome:
    """A target of this process's language, by the best engine there is."""
    if not guided.is_available():
        return engine.run(name, seconds, seed)
    CRASHES.mkdir(exist_ok=True)
    known, start = set(CRASHES.iterdir()), time.monotonic()
    with tempfile.TemporaryDirectory() as grown:
        done = _python(
            "tests.fuzz.guided", name, grown, str(engine.CORPUS / name), f"-max_total_time={max(1, round(seconds))}",
            f"-seed={seed + 1}", "-max_len=1024", "-timeout=20", f"-artifact_prefix={CRASHES}/{name}-",
        )  # fmt: skip
    executions = int((re.findall(r"Done (\d+) runs", done.stderr) or re.findall(r"#(\d+)", done.stderr) or ["0"])[-1])
    crashes = tuple(sorted(set(CRASHES.iterdir()) - known))
    if done.returncode and not crashes:
        raise RuntimeError(done.stderr[-2000:])
    for crash in crashes:
        crash.with_suffix(".txt").write_text(done.stderr[-6000:])
    return Outcome(name, executions, executions, time.monotonic() - start, crashes)


def run_scribble(seconds: float, seed: int) -> Outcome:
    """Readers of a region that is scribbled over."""
    return _child("scribble", "tests.fuzz.scribble", str(int(seconds * READS_A_SECOND)), str(seed), count="reads")


def run_intruder(seconds: float, seed: int) -> Outcome:
    """Hostile clients of a real daemon."""
    with tempfile.TemporaryDirectory(prefix="arclyd-fuzz-") as folder:
        daemon = Daemon(Path(folder), CONFIG)
        try:
            daemon.start()
            arguments = (daemon.socket, str(daemon.pid), str(int(seconds * MESSAGES_A_SECOND)), str(seed))
            return _child("intruder", "tests.fuzz.intruder", *arguments, count="messages")
        finally:
            daemon.clean()


def _child(name: str, module: str, *arguments: str, count: str) -> Outcome:
    start = time.monotonic()
    done = _python(module, *arguments)
    crashes: tuple[Path, ...] = ()
    if done.returncode:
        said = RuntimeError(f"exit code {done.returncode}: {done.stderr[-6000:]}")
        crashes = (engine.save(name, " ".join(arguments).encode(), said),)
    counts = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    number = int(counts.get(count, 0))
    print(f"{name}: {counts}", file=sys.stderr)
    return Outcome(name, number, number, time.monotonic() - start, crashes)


def _python(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "faulthandler", "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace", check=False)


def targets() -> dict[str, Callable[[float, int], Outcome]]:
    """Everything that can be fuzzed here, by name."""
    python = {name: (lambda seconds, seed, name=name: run_python(name, seconds, seed)) for name in TARGETS}
    region = {native.REGION: run_region} if native.has_fuzzer() else {}
    return {**region, **python, "scribble": run_scribble, "intruder": run_intruder}


def main(arguments: list[str] | None = None) -> int:
    """Run what the arguments say; returns the exit code."""
    every = targets()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60, help="for all of them together")
    parser.add_argument("--target", action="append", choices=sorted(every), help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed mutates alike")
    said = parser.parse_args(arguments)
    chosen = said.target or list(every)
    found = 0
    for name in chosen:
        outcome = every[name](said.seconds / len(chosen), said.seed)
        edges = f", {outcome.edges} edges" if isinstance(outcome, native.Found) else ""
        rate = round(outcome.fed / outcome.seconds)
        print(f"{name}: {outcome.executions:,} executions, {outcome.fed:,} fed, {rate:,}/s{edges}", flush=True)
        for crash in outcome.crashes:
            print(f"  FOUND {crash}", flush=True)
        found += len(outcome.crashes)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

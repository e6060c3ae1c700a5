"""The C target, fuzz_region.c: built with libFuzzer to search, with its own main to replay what was found."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.fuzz.engine import CORPUS, CRASHES, HERE, Outcome
from tests.native.building import CORE, WARNINGS

if TYPE_CHECKING:
    from pathlib import Path

REGION: Final = "region"
_SANITIZERS: Final = "address,undefined"
_LONGEST: Final = 1024
_SLOWEST: Final = 5
"""Seconds after which one input counts as a hang; one takes 0.1 ms."""


@dataclass(frozen=True, slots=True)
class Found(Outcome):
    """An outcome with the edges of the core and target that were reached."""

    edges: int = 0


def has_fuzzer() -> bool:
    """clang is here; its runtime for libFuzzer comes with that of the sanitizers."""
    return shutil.which("clang") is not None


def build_replay(folder: Path, compiler: str) -> Path:
    """The program that runs the inputs it is given."""
    return _build(folder / "replay", compiler, f"-fsanitize={_SANITIZERS}", "-DREPLAY")


def replay(program: Path) -> subprocess.CompletedProcess[str]:
    """Run the program on every checked-in input."""
    inputs = sorted(str(path) for path in (CORPUS / REGION).iterdir())
    return subprocess.run([program, *inputs], capture_output=True, text=True, timeout=100, check=False)


def run(folder: Path, seconds: float, seed: int = 0) -> Found:
    """Search for that long, from the checked-in corpus on, into ``folder``."""
    program = _build(folder / "fuzz", "clang", f"-fsanitize=fuzzer,{_SANITIZERS}")
    grown = folder / REGION
    grown.mkdir(exist_ok=True)
    CRASHES.mkdir(exist_ok=True)
    known = set(CRASHES.iterdir())
    start = time.monotonic()
    done = subprocess.run(
        [
            program, grown, CORPUS / REGION, f"-max_total_time={max(1, round(seconds))}", f"-seed={seed + 1}",
            f"-max_len={_LONGEST}", f"-timeout={_SLOWEST}", "-use_value_profile=1", "-print_final_stats=1",
            f"-artifact_prefix={CRASHES}/region-",
        ],
        capture_output=True, text=True, errors="replace", timeout=seconds + 120, check=False,
    )  # fmt: skip
    executions = _last(r"stat::number_of_executed_units: (\d+)", done.stderr)
    crashes = tuple(sorted(set(CRASHES.iterdir()) - known))
    if done.returncode and not crashes:
        raise RuntimeError(done.stderr[-2000:])
    for crash in crashes:
        crash.with_suffix(".txt").write_text(done.stderr[-6000:])
    edges = _last(r"cov: (\d+)", done.stderr)
    return Found(REGION, executions, executions, time.monotonic() - start, crashes, edges)


def _last(pattern: str, text: str) -> int:
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def _build(target: Path, compiler: str, *flags: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = [HERE / "fuzz_region.c", *sorted(CORE.glob("*.c"))]
    command = (
        compiler, "-std=c11", "-D_GNU_SOURCE", "-g", "-O1", *WARNINGS, "-fno-sanitize-recover=all", *flags, f"-I{CORE}",
        "-o", target, *sources,
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return target

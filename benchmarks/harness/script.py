"""What every benchmark script has in common: its options, its stage, its report."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from benchmarks.harness.build import ensure
from benchmarks.harness.job import MIB
from benchmarks.harness.stage import Stage
from benchmarks.transports import TRANSPORTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.harness.report import Measured

T = TypeVar("T")

SCALES: Final = ("tiny", "short", "full")


@dataclass(slots=True)
class Settings:
    """How much is measured, of whom, and where it is told."""

    scale: str = "short"
    transports: tuple[str, ...] = ()
    """Only these; empty: all that are installed."""
    ring_mib: int = 8
    """The payload ring for frames of 1 MiB: small enough to stay in the processor's cache, as a pool of chunks does."""
    notes: list[str] = field(default_factory=list)

    def by_scale(self, tiny: T, short: T, full: T) -> T:
        """One of the three."""
        return {"tiny": tiny, "short": short, "full": full}[self.scale]

    def say(self, line: str) -> None:
        """Tell at once, and note beside the figures."""
        print(line, file=sys.stderr, flush=True)
        if line not in self.notes:
            self.notes.append(line)

    def chosen(self, names: Iterable[str]) -> list[str]:
        """Those of ``names`` that are wanted and installed; what is missing is told once."""
        wanted = [name for name in names if not self.transports or name in self.transports]
        missing = sorted({TRANSPORTS[name].needs for name in wanted if TRANSPORTS[name].missing})
        if missing:
            self.say(f"left out, not installed: {', '.join(missing)} (pip install 'arclyd[bench]')")
        return [name for name in wanted if not TRANSPORTS[name].missing]

    def ring_bytes(self, size: int) -> int:
        """The payload ring for frames of that size: the default, and for large ones a ring that stays in cache."""
        return self.ring_mib * MIB if size >= 65536 else 32 * MIB


def measure(name: str, function: Callable[[Stage, Settings], list[Measured]], settings: Settings, out: Path) -> None:
    """Run one script's measurement, show it and save it."""
    ensure()
    from benchmarks.harness.report import Report

    with Stage() as stage:
        figures = function(stage, settings)
    report = Report(name, settings.scale, tuple(settings.notes), tuple(figures))
    report.show()
    report.save(out)


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """The options that all scripts share."""
    from benchmarks.harness.report import OUT

    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    parser.add_argument("--scale", choices=SCALES, default="short", help="how much is measured (%(default)s)")
    parser.add_argument("--transports", default="", metavar="A,B", help="only these (all that are installed)")
    parser.add_argument("--ring-mib", type=int, default=8, help="payload ring for frames of 1 MiB (%(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the JSON (%(default)s)")
    return parser


def settings_of(options: argparse.Namespace) -> Settings:
    """What the command line says."""
    names = tuple(name for name in options.transports.split(",") if name)
    if unknown := [name for name in names if name not in TRANSPORTS]:
        raise SystemExit(f"no such transport: {', '.join(unknown)}; there are {', '.join(TRANSPORTS)}")
    return Settings(options.scale, names, options.ring_mib)


def main(doc: str | None, function: Callable[[Stage, Settings], list[Measured]]) -> int:
    """A script by itself; it is called by its file's name."""
    options = arguments(doc).parse_args()
    measure(Path(sys.argv[0]).stem, function, settings_of(options), options.out)
    return 0

"""What comes out: a table on the terminal, JSON beside it, both of the same figures."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from benchmarks.harness.series import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

OUT: Final = Path(__file__).resolve().parents[1] / "out"
"""Where results go by default; not kept by git."""

Labels = Mapping[str, str | int]


def kind_of_machine() -> dict[str, str | int]:
    """The kind of machine: processor, how many, kernel, interpreter. Not its name."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "kernel": platform.release().partition("-")[0],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure: ``what`` in which ``unit``, of whom and under which circumstances (``labels``)."""

    what: str
    unit: str
    labels: Labels
    figure: Figure


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one script's run."""

    script: str
    scale: str
    notes: tuple[str, ...]
    """What was left out, and settings that a reader of the figures has to know."""
    figures: tuple[Measured, ...]
    machine: dict[str, str | int] = field(default_factory=kind_of_machine)

    def save(self, folder: Path) -> Path:
        """Write it as JSON; returns the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.script}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return path

    @classmethod
    def load(cls, path: Path) -> Report:
        """What `save` wrote."""
        facts = json.loads(path.read_text())
        figures = tuple(
            Measured(each["what"], each["unit"], each["labels"], Figure(**each["figure"])) for each in facts["figures"]
        )
        return cls(facts["script"], facts["scale"], tuple(facts["notes"]), figures, facts["machine"])

    def find(self, what: str, **labels: str | int) -> Figure | None:
        """The figure of that name under those circumstances."""
        wanted = labels.items()
        return next((each.figure for each in self.figures if each.what == what and wanted <= each.labels.items()), None)

    def show(self, console: Console | None = None) -> None:
        """Print a table for each kind of figure."""
        console = console or Console(width=None if sys.stdout.isatty() else 160)
        by_name = {
            what: [each for each in self.figures if each.what == what]
            for what in dict.fromkeys(each.what for each in self.figures)
        }
        for what, figures in by_name.items():
            if len(figures) > 1:
                console.print(_table(what, figures))
        if single := [figures[0] for figures in by_name.values() if len(figures) == 1]:
            console.print(_list(single))
        for note in self.notes:
            console.print(f"note: {note}", markup=False, highlight=False)


def number(value: float) -> str:
    """Three figures that count, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.3g}"


def spread(figure: Figure) -> str:
    """Median, then least and most."""
    if figure.repeats == 1:
        return number(figure.median)
    return f"{number(figure.median)} [dim]({number(figure.least)}..{number(figure.most)})[/dim]"


def size_name(size: int) -> str:
    """A frame's size as people write it."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB" if size >= 1 << 10 else f"{size} B"


def _table(what: str, figures: Sequence[Measured]) -> Table:
    """Whom down, circumstances across."""
    whom = next(iter(figures[0].labels))
    columns = list(dict.fromkeys(_circumstances(each.labels, whom) for each in figures))
    table = Table(title=f"{what} ({figures[0].unit})", title_justify="left")
    table.add_column(whom)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for name in dict.fromkeys(each.labels[whom] for each in figures):
        mine = {_circumstances(each.labels, whom): spread(each.figure) for each in figures if each.labels[whom] == name}
        table.add_row(str(name), *(mine.get(column, "") for column in columns))
    return table


def _list(figures: Sequence[Measured]) -> Table:
    """Figures that have nothing to stand beside."""
    table = Table()
    for heading in ("what", "where", "measured", "unit"):
        table.add_column(heading)
    for each in figures:
        table.add_row(each.what, _circumstances(each.labels, ""), spread(each.figure), each.unit)
    return table


def _circumstances(labels: Labels, whom: str) -> str:
    parts = []
    for name, value in labels.items():
        if name == "size":
            parts.append(size_name(int(value)))
        elif name != whom:
            parts.append(f"{value} {name}" if isinstance(value, int) else value)
    return ", ".join(parts)

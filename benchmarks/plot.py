"""Draws the throughput figures: ``python -m benchmarks.plot`` after a run; legible on light and on dark pages."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.harness.job import MIB
from benchmarks.harness.report import OUT, Report, size_name

INK: Final = "#808080"
"""Halfway: read on white as on black."""
COLOURS: Final = {"arclyd": "#e4572e", "C core": "#a8a8a8"}
OTHERS: Final = ("#4c9be8", "#5bb98c", "#b48ead", "#d9a441", "#59b2c5", "#9a7bd0", "#7f9f3f", "#c97b9b", "#6f8fbf")
WHO: Final = (
    "arclyd",
    "C core",
    "iceoryx2",
    "zenoh",
    "pyzmq",
    "Unix socket",
    "multiprocessing.Pipe",
    "multiprocessing.Queue",
    "shared_memory ring",
    "pynng",
)
SIZES: Final = (200, 4096, 65536, MIB)


def draw(folder: Path) -> Path | None:
    """``throughput.svg`` beside the JSON; None where matplotlib or the figures are missing."""
    source = folder / "throughput.json"
    if find_spec("matplotlib") is None:
        print("no plot: matplotlib is not installed (pip install 'arclyd[bench]')", file=sys.stderr)
        return None
    if not source.exists():
        return None
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    report = Report.load(source)
    mpl.rcParams.update({"text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "svg.fonttype": "none"})
    mpl.rcParams.update({"xtick.color": INK, "ytick.color": INK, "svg.hashsalt": "arclyd"})
    counts = [count for count in (1, 4) if report.find("throughput", transport="arclyd", subscribers=count)]
    if not counts:
        return None
    figure, axes = pyplot.subplots(1, len(counts), figsize=(5 * len(counts), 4), squeeze=False)
    others = iter(OTHERS * 2)
    colours = {name: COLOURS.get(name) or next(others) for name in WHO}
    for axis, count in zip(axes[0], counts, strict=False):
        for name in WHO:
            found = [(size, report.find("throughput", transport=name, subscribers=count, size=size)) for size in SIZES]
            known = [(size, figure.median) for size, figure in found if figure]
            if known:
                width = 2.5 if name == "arclyd" else 1.2
                axis.plot(*zip(*known, strict=True), "o-", color=colours[name], label=name, lw=width, ms=2 * width)
        axis.set(xscale="log", yscale="log", ylabel="frames/s", title=f"{count} subscriber{'s'[: count > 1]}")
        axis.set_xticks(SIZES, [size_name(size) for size in SIZES])
        axis.minorticks_off()
        axis.grid(color=INK, alpha=0.25, lw=0.5)
        axis.spines[["top", "right"]].set_visible(False)
        axis.patch.set_alpha(0)
    axes[0][0].legend(frameon=False, fontsize=7)
    figure.patch.set_alpha(0)
    figure.tight_layout()
    target = folder / "throughput.svg"
    figure.savefig(target, transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    return target


def main() -> int:
    """Draw, and say where it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder with the JSON (%(default)s)")
    target = draw(parser.parse_args().out)
    if target:
        print(target)
    return 0 if target else 1


if __name__ == "__main__":
    sys.exit(main())

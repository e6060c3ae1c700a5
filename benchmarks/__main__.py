"""All benchmarks in turn, then the summary and the plot: ``python -m benchmarks`` (short), ``--scale full``."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

from benchmarks.harness.script import arguments, measure, settings_of

SCRIPTS: Final = (
    "throughput",
    "latency",
    "publish_cost",
    "receive",
    "attach",
    "resources",
    "daemon_cost",
    "control",
    "retention",
    "fleet",
    "viewers",
)


def main() -> int:
    """Measure, save, sum up."""
    parser = arguments(__doc__)
    parser.add_argument("--only", default="", metavar="A,B", help=f"only these of {', '.join(SCRIPTS)}")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else SCRIPTS
    if unknown := set(wanted) - set(SCRIPTS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    for name in wanted:
        print(f"\n== {name}", file=sys.stderr, flush=True)
        measure(name, import_module(f"benchmarks.{name}").measure, settings_of(options), options.out)
    from benchmarks import plot, summary

    plot.draw(options.out)
    summary.show(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.soak --minutes N [--seed S]``: exit code 0 where nothing is left over, 1 otherwise."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.soak.director import Soak


def table(soak: Soak) -> str:
    """The closing table."""
    parts = (("done", soak.done), ("came of it", soak.outcomes), ("counted", soak.totals), ("held", soak.figures))
    lines = []
    for title, rows in parts:
        lines += [title, *(f"  {name:<44}{rows[name]}" for name in sorted(rows))]
    return "\n".join([*lines, *(f"PROBLEM {problem}" for problem in soak.problems)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Everything comes, goes and dies.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 16))
    options = parser.parse_args()
    print(f"soak of {options.minutes:g} minutes, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(Path(folder), options.seed)
        clean = soak.run(60 * options.minutes)
    print(table(soak))
    print("nothing is left over" if clean else f"{len(soak.problems)} problems")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())

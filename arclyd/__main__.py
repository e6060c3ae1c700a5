"""`python -m arclyd`: the `arclyd` command."""

from __future__ import annotations

import sys

from arclyd import cli


def main() -> int:
    """Run the `arclyd` command line; returns its exit code (the console script exits with it)."""
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())

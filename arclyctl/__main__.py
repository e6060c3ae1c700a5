"""`python -m arclyctl`: the `arclyctl` command."""

from __future__ import annotations

import sys

from arclyctl.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""Twenty seconds of the soak; ``python -m tests.soak --minutes N`` is the real one."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.soak.__main__ import table
from tests.soak.director import Soak

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 20 * float(os.environ.get("ARCLYD_STRESS", "1"))


@pytest.mark.timeout(SECONDS + 180)
def test_nothing_is_left_over(tmp_path: Path) -> None:
    soak = Soak(tmp_path, seed=11, out=sys.stderr)
    clean = soak.run(SECONDS)
    assert clean, table(soak)
    assert soak.done["started publish"] > 3
    assert sum(count for name, count in soak.done.items() if name.startswith("SIG")) > 3
    assert soak.totals["read: frames"] > 300

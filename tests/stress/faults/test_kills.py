"""Writers killed at every named point, one after the other, each re-claiming what the last one left.

``ARCLYD_STRESS=n`` makes it n times as many; with 100 it is 20,000 kills.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.stress.faults.building import environment
from tests.stress.faults.slaughter import WRITERS

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[3]
SCALE = float(os.environ.get("ARCLYD_STRESS", "1"))
KILLS = int(max(100 * SCALE, 3 * len(WRITERS)))
pytestmark = pytest.mark.timeout(120 * max(1.0, SCALE))


@pytest.mark.parametrize("seed", range(2))
def test_killed_inside_publish_and_claim(make_region: Callable[..., str], fault_build: Path, seed: int) -> None:
    name = make_region(8 << 20, 4096)
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.stress.faults.slaughter", name, str(KILLS), str(seed)]
    env = {**os.environ, **environment(fault_build)}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] == KILLS
    assert told["points"] == len(WRITERS)
    assert told["frames"] > 2 * KILLS
    assert told["discontinuities"] > KILLS / 10
    assert told["published_by_the_last_breath"] > KILLS / 20
    assert min(told["joined_newest"], told["joined_oldest"]) > KILLS / 4

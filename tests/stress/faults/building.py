"""The extension module with its fault points compiled in, and the environment that makes a process use it."""

from __future__ import annotations

import os
import re
import sysconfig
from pathlib import Path

from tests.native.building import COMPILERS, CORE, RING, run

HERE = Path(__file__).resolve().parent
OVERLAY = HERE / "overlay"
POINT = re.compile(r'ARCLY_FAULT\("([a-z_]+(?:\.[a-z_]+)?)"\)')


def build_with_faults(folder: Path) -> Path:
    """The module, built into ``folder``."""
    target = folder / "_ring_faults.abi3.so"
    sources = sorted((*RING.glob("_ring*.c"), *CORE.glob("*.c"), HERE / "fault.c"))
    done = run(
        COMPILERS[0], "-std=c11", "-O1", "-shared", "-fPIC", "-D_GNU_SOURCE", "-DPy_LIMITED_API=0x030B0000",
        "-Wall", "-Wextra", "-Werror", "-DARCLY_FAULTS", f"-I{sysconfig.get_path('include')}", f"-I{RING}", *sources,
        "-o", target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


def environment(ring: Path) -> dict[str, str]:
    """What a Python process needs to take ``ring`` for `arclyd.ring._ring` (see overlay/sitecustomize.py)."""
    path = os.pathsep.join(filter(None, (str(OVERLAY), os.environ.get("PYTHONPATH", ""))))
    return {"PYTHONPATH": path, "ARCLYD_FAULT_RING": str(ring)}


def points(*names: str) -> tuple[str, ...]:
    """The fault points of those files of the core (of all of them), in the order of the source."""
    files = [CORE / name for name in names] or sorted(CORE.glob("*.[ch]"))
    found = (POINT.findall(re.sub(r"/\*.*?\*/", "", file.read_text(), flags=re.DOTALL)) for file in files)
    return tuple(dict.fromkeys(point for each in found for point in each))

"""Builds the harness's C module with the C core of this tree, where it is missing or older than its sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
CORE: Final = HERE.parents[1] / "arclyd" / "ring" / "core"
MODULE: Final = HERE / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
FLAGS: Final = ("-std=c11", "-O3", "-Wall", "-Wextra", "-D_GNU_SOURCE", "-shared", "-fPIC", "-fvisibility=hidden")
"""As the ring's own module is built (pyproject.toml), so that what is compared is compiled alike."""


def ensure() -> None:
    """Make `benchmarks.harness._native` importable and up to date.

    Raises:
        RuntimeError: the compiler says no; with what it said.
    """
    sources = [*sorted(HERE.glob("*.c")), *sorted(CORE.glob("*.c"))]
    inputs = [*sources, *HERE.glob("*.h"), *CORE.glob("*.h")]
    if MODULE.exists() and MODULE.stat().st_mtime > max(path.stat().st_mtime for path in inputs):
        return
    compiler = os.environ.get("CC") or next((name for name in ("gcc", "clang") if shutil.which(name)), "cc")
    target = MODULE.with_suffix(f".{os.getpid()}")
    command = [compiler, *FLAGS, f"-I{CORE}", f"-I{sysconfig.get_path('include')}", *map(str, sources)]
    done = subprocess.run([*command, "-o", str(target)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{compiler} could not build the benchmarks' C module:\n{done.stderr}")
    target.replace(MODULE)

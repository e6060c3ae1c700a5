"""A newer build of the C core beside the installed one: layout minor + 1, and a compatible feature nobody knows yet.

What runs with `environment` finds it where the program imports the ring, through the interpreter's own start-up hook.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import textwrap
from typing import TYPE_CHECKING

from tests.native.building import COMPILERS, CORE, RING

if TYPE_CHECKING:
    from pathlib import Path

FEATURE = 1 << 40
HOOK = """
    import importlib.abc, importlib.util, sys


    class Newer(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "arclyd.ring._ring":
                return importlib.util.spec_from_file_location(name, {module!r})


    sys.meta_path.insert(0, Newer())
"""


def build_newer(folder: Path) -> Path:
    """Build it; the folder to put on PYTHONPATH."""
    sources = folder / "ring"
    shutil.copytree(RING, sources, ignore=shutil.ignore_patterns("*.so", "*.py", "__pycache__"))
    change(sources / "core" / "layout.h", "#define ARCLY_MINOR 0", "#define ARCLY_MINOR 1")
    known = "spec->crc ? ARCLY_FEATURE_CRC : 0"
    change(sources / "core" / "region.c", known, f"{FEATURE}ull | ({known})")
    module = folder / "_ring.abi3.so"
    include = f"-I{sysconfig.get_path('include')}"
    files = sorted((*sources.glob("_ring*.c"), *(sources / CORE.name).glob("*.c")))
    flags = ("-std=c11", "-O2", "-shared", "-fPIC", "-D_GNU_SOURCE", "-DPy_LIMITED_API=0x030B0000", include)
    command = [COMPILERS[0], *flags, f"-I{sources}", *map(str, files), "-o", str(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hooks = folder / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(textwrap.dedent(HOOK.format(module=str(module))))
    return hooks


def change(path: Path, old: str, new: str) -> None:
    """Replace the one place where ``old`` stands."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is not once in {path}"
    path.write_text(text.replace(old, new))


def environment(hooks: Path, env: dict[str, str] | None = None) -> dict[str, str]:
    """``env`` in which the newer build is the one that is found."""
    known = dict(os.environ if env is None else env)
    places = [str(hooks), *filter(None, [known.get("PYTHONPATH")])]
    return {**known, "PYTHONPATH": os.pathsep.join(places)}

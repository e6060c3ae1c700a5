"""Other interpreters: one build for all that follow, and a clear word where it can't be shared or does not fit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from arclyd.ring import _ring
from tests.native.building import RING, unavailable

SMOKE = """
import mmap, os, sys
sys.path.insert(0, sys.argv[1])
from arclyd.ring import _ring
fd = os.memfd_create("smoke")
os.ftruncate(fd, _ring.region_size(ring_bytes=1 << 16, slots=64))
_ring.format_region(fd, key="live/smoke", ring_bytes=1 << 16, slots=64)
region = _ring.Region(fd, writable=True)
writer = _ring.Writer(region, [(0, 0, (1, 90000), 0, 0, 0, 0)])
reader = _ring.Reader(region, ("seq", 0))
for n in range(1000):
    writer.publish(0, b"%d" % n, pts=n, keyframe=n % 10 == 0)
    frame = reader.recv(0)
    assert (frame.seq, frame.tobytes(), frame.keyframe) == (n, b"%d" % n, n % 10 == 0)
view = frame.data
del frame, reader, writer, region
assert bytes(view) == b"999"
print("passed")
"""

OWN_GIL = """
import sys
sys.path.insert(0, sys.argv[1])
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
id = interpreters.create()
code = "import sys; sys.path.insert(0, %r); from arclyd.ring import _ring" % sys.argv[1]
try:
    problem = interpreters.run_string(id, code)
except interpreters.RunFailedError as error:
    problem = error
print(problem)
"""


def newer(version: str) -> str:
    """That interpreter; the test is skipped where there is none (under CI, it fails)."""
    found = shutil.which(f"python{version}")
    managed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    if found and subprocess.run([found, "-c", ""], check=False, capture_output=True).returncode == 0:
        return found
    if not managed:
        unavailable(f"no Python {version}")
    return str(managed[-1])


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A folder with the package as a wheel has it: the one module built here, no source of this interpreter's."""
    package = tmp_path / "arclyd"
    (package / "ring").mkdir(parents=True)
    shutil.copy(RING.parent / "errors.py", package)
    shutil.copy(_ring.__file__, package / "ring")
    (package / "__init__.py").touch()
    (package / "ring" / "__init__.py").touch()
    return tmp_path


def run(interpreter: str, source: str, build: Path) -> str:
    command = [interpreter, "-I", "-X", "dev", "-W", "error", "-c", source, str(build)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_module_built_for_the_stable_interface_works_in_later_pythons(build: Path, version: str) -> None:
    assert _ring.__file__.endswith(".abi3.so")
    assert run(newer(version), SMOKE, build) == "passed\n"


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_an_interpreter_with_a_lock_of_its_own_is_refused_clearly(build: Path, version: str) -> None:
    assert "does not support loading in subinterpreters" in run(newer(version), OWN_GIL, build)


def test_a_build_without_the_lock_is_refused_clearly() -> None:
    command = [os.environ.get("CC", "cc"), "-fsyntax-only", "-DPy_GIL_DISABLED=1", "-DPy_LIMITED_API=0x030B0000"]
    include = f"-I{sysconfig.get_paths()['include']}"
    ended = subprocess.run(
        [*command, include, str(RING / "_ring.c")], check=False, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode != 0
    assert "arclyd needs an interpreter with the global lock" in ended.stderr
    assert sys.version_info >= (3, 11)

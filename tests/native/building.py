"""Building the C core for tests: with sanitizers, with a stop before each store, with one of its rules left out.

Nothing is built in the source tree: what `BUILD_FLAGS` of the installed module says stays true.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
RING = ROOT / "arclyd" / "ring"
CORE = RING / "core"
HERE = Path(__file__).resolve().parent
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
COMPILERS = tuple(name for name in ("gcc", "clang") if shutil.which(name)) or ("cc",)


@dataclass(frozen=True, slots=True)
class Flavour:
    """One way to build: flags for every file, and what its programs are run under."""

    name: str
    flags: tuple[str, ...]
    wrapper: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


PLAIN = Flavour("plain", ("-O2",))
ADDRESS = Flavour(
    "asan", ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
)
# gcc says that it can't model fences (-Wtsan); whatever is shared goes through atomics, so nothing depends on it.
# Without address randomization: the sanitizer's own tables need their places.
THREAD = Flavour("tsan", ("-O1", "-fsanitize=thread", "-Wno-error"), ("setarch", "-R"))
STOPS = ("-include", str(HERE / "hook.h"), "-DARCLY_ATOMIC_COPY=1", "-Wno-clobbered", "-Wno-unknown-warning-option")
STOPPING = Flavour("stops", (*ADDRESS.flags, *STOPS))


def mutant(flavour: Flavour, rule: str) -> Flavour:
    """``flavour`` with one rule of the ring broken: ``rule`` as `BUILD_FLAGS` names it."""
    return Flavour(f"{flavour.name}-{rule}", (*flavour.flags, f"-DARCLY_MUTANT_{rule.upper()}"), flavour.wrapper)


def unavailable(reason: str) -> None:
    """Skip, on a machine that has not the tool; under CI that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def run(*command: str | Path, timeout: float = 110) -> subprocess.CompletedProcess[str]:
    """Run to its end, output captured; killed after ``timeout`` seconds."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False)


class Workshop:
    """Builds programs below ``folder``, each once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def program(self, test: str, compiler: str, flavour: Flavour) -> list[str]:
        """The command that runs ``test``.c with the core, built that way."""
        folder = self._folder / f"{flavour.name}-{compiler}"
        core = self._objects(folder, compiler, flavour)
        binary = folder / test
        if not binary.exists():
            self._compile(compiler, flavour, "-o", binary, HERE / f"{test}.c", *core, "-pthread")
        wrapper = flavour.wrapper if flavour.wrapper and shutil.which(flavour.wrapper[0]) else ()
        return [*wrapper, str(binary)]

    def _objects(self, folder: Path, compiler: str, flavour: Flavour) -> list[Path]:
        objects = [folder / f"{source.stem}.o" for source in sorted(CORE.glob("*.c"))]
        if folder.exists():
            return objects
        folder.mkdir(parents=True)
        self._check_sanitizer(folder, compiler, flavour)
        for target in objects:
            self._compile(compiler, flavour, "-c", "-o", target, CORE / f"{target.stem}.c")
        return objects

    def _check_sanitizer(self, folder: Path, compiler: str, flavour: Flavour) -> None:
        source = folder / "empty.c"
        source.write_text("int main(void) { return 0; }\n")
        sanitizers = [flag for flag in flavour.flags if flag.startswith("-fsanitize")]
        if run(compiler, *sanitizers, "-o", folder / "empty", source).returncode:
            shutil.rmtree(folder)
            unavailable(f"{compiler} has no runtime for {' '.join(sanitizers)}")

    @staticmethod
    def _compile(compiler: str, flavour: Flavour, *arguments: str | Path) -> None:
        common = ("-std=c11", "-D_GNU_SOURCE", "-g", *WARNINGS, *flavour.flags, f"-I{CORE}")
        done = run(compiler, *common, *arguments)
        assert done.returncode == 0, done.stderr


def build_ring(folder: Path, rule: str) -> Path:
    """The extension module with ``rule`` broken, in a folder of its own."""
    target = folder / f"_ring_{rule}.abi3.so"
    sources = sorted((*RING.glob("_ring*.c"), *CORE.glob("*.c")))
    done = run(
        COMPILERS[0], "-std=c11", "-O2", "-shared", "-fPIC", "-D_GNU_SOURCE", "-DPy_LIMITED_API=0x030B0000",
        f"-DARCLY_MUTANT_{rule.upper()}", f"-I{sysconfig.get_path('include')}", f"-I{RING}", *sources, "-o", target,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


def load_ring(path: str | Path) -> ModuleType:
    """Import a `_ring` built elsewhere, beside the installed one."""
    spec = importlib.util.spec_from_file_location("_ring", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

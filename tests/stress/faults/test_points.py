"""The fault points themselves: none in what is built for use, each with a name of its own, all of them reachable."""

from __future__ import annotations

import os
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.ring import _ring
from tests.native.building import COMPILERS, CORE, run
from tests.stress.faults.building import POINT, points
from tests.stress.faults.points import Points
from tests.stress.faults.stage import Band

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.stress.faults.puppet import Puppet

SOURCES = sorted(path.name for path in CORE.glob("*.c") if POINT.search(path.read_text()))


def compiled(folder: Path, source: str, *flags: str) -> bytes:
    target = folder / "out.o"
    done = run(COMPILERS[0], "-std=c11", "-O2", "-D_GNU_SOURCE", *flags, "-c", "-o", target, folder / source)
    assert done.returncode == 0, done.stderr
    return target.read_bytes()


@pytest.mark.parametrize("source", SOURCES)
def test_without_the_flag_a_fault_point_is_no_code_at_all(tmp_path: Path, source: str) -> None:
    with_points, without = tmp_path / "with", tmp_path / "without"
    shutil.copytree(CORE, with_points)
    shutil.copytree(CORE, without)
    for path in without.glob("*.[ch]"):
        path.write_text(re.sub(r"ARCLY_FAULT\(\"[^\"]*\"\);", "", path.read_text()))
    built = compiled(with_points, source)
    assert built == compiled(without, source)
    assert built != compiled(with_points, source, "-DARCLY_FAULTS")


def test_the_installed_module_has_none() -> None:
    binary = Path(_ring.__file__).read_bytes()
    assert b"arcly_fault" not in binary
    assert not [point for point in points() if "." in point and point.encode() + b"\0" in binary]


def test_every_point_has_a_name_of_its_own() -> None:
    text = "".join(path.read_text() for path in sorted(CORE.glob("*.[ch]")))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    named = POINT.findall(text)
    assert len(named) == len(set(named)) > 40


def test_a_writer_is_stopped_delayed_and_killed_where_it_is_told(
    ring: Any, make_region: Callable[..., str], puppet: Callable[..., Puppet]
) -> None:
    name = make_region()
    band = Band(ring, name)
    band.begin()

    def play() -> None:
        faults = Points(ring)
        faults.arm("slot.word", "delay", 1, 1000)
        faults.arm("slot.word", "stop", 2)
        faults.arm("slot.word", "kill", 3)
        band.gop()

    head = band.region.head
    victim = puppet(play)
    assert os.WIFSTOPPED(os.waitpid(victim.pid, os.WUNTRACED)[1])
    assert band.region.head == head + 1
    assert band.region.frame(head + 1) is not None
    os.kill(victim.pid, signal.SIGCONT)
    assert os.waitpid(victim.pid, 0)[1] == signal.SIGKILL
    victim.alive = False
    assert band.region.head == head + 2
    assert band.region.frame(head + 2) is not None

"""Facts about real regions, whatever state they are in."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from arclyd.client import inspect
from arclyd.ring import region
from arclyd.ring._ring import Region, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SMALL = region.RegionSpec(ring_bytes=1 << 16, slots=16)


@pytest.fixture
def instance() -> Iterator[str]:
    """An instance of its own; its regions are removed at the end."""
    own = secrets.token_hex(4)
    yield own
    for name in region.list_names(own):
        region.unlink(name)


@pytest.fixture
def facts(instance: str) -> Callable[[], inspect.RegionFacts]:
    """The one region of that instance."""

    def find() -> inspect.RegionFacts:
        (found,) = [one for one in inspect.list_regions() if one.name.startswith(f"arclyd.{instance}.")]
        return found

    return find


def test_a_region_without_writer(instance, facts):
    made = region.create(instance, "live/cam1", SMALL)
    found = facts()
    assert (found.name, found.instance, found.key) == (made.name.lstrip("/"), instance, "live/cam1")
    assert (found.size, found.layout) == (made.size, inspect.supported_layout())
    assert (found.writer_alive, found.problem) == (False, "")


def test_a_region_whose_writer_lives(instance, facts):
    made = region.create(instance, "live/cam1", SMALL)
    fd = region.open_writable(made.name)
    assert region.lock(fd)
    mapped = Region(fd, writable=True)
    writer = Writer(mapped, [(2, 11, (1, 1000), 0, 0, 0, 0)])
    assert facts().writer_alive is True
    writer.end()
    os.close(fd)
    del writer, mapped  # the mapping keeps the description, and with it the lock
    assert facts().writer_alive is False


def test_a_region_of_random_bytes_is_a_problem_not_a_crash(instance, facts):
    made = region.create(instance, "live/cam1", SMALL)
    fd = region.open_writable(made.name)
    os.pwrite(fd, secrets.token_bytes(4096), 0)
    os.close(fd)
    found = facts()
    assert found.problem
    assert not found.foreign_layout


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_region_cut_short_is_a_problem_not_a_crash(instance, facts, size):
    made = region.create(instance, "live/cam1", SMALL)
    os.truncate(f"/dev/shm{made.name}", size)
    found = facts()
    assert found.problem
    assert found.size == size


def test_a_region_that_was_never_finished_is_told_once_it_is_old(instance, facts, tmp_path):
    path = tmp_path / f"arclyd.{instance}.live@cam1.00000001.new"
    path.write_bytes(b"")
    assert inspect.list_regions(tmp_path) == ()
    os.utime(path, (0, 0))
    (found,) = inspect.list_regions(tmp_path)
    assert (found.problem, found.key) == ("its making was never finished", "live/cam1")


def test_what_is_no_region_at_all_is_named_and_never_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "arclyd.pipe")
    (tmp_path / "arclyd.link").symlink_to(tmp_path / "arclyd.pipe")
    (tmp_path / "other").write_bytes(b"")
    link, pipe = inspect.list_regions(tmp_path)
    assert (link.problem, pipe.problem) == ("not a shared memory object",) * 2
    assert (pipe.instance, pipe.key, pipe.writer_alive) == ("", "", None)


def test_a_region_of_somebody_else_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "arclyd.0a1b2c3d.live@cam1.00000001").write_bytes(b"x")

    def refuse(path: Path, _flags: int) -> int:  # as for a user that is not root, which these tests may run as
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    (found,) = inspect.list_regions(tmp_path)
    assert (found.problem, found.writer_alive) == ("Permission denied", None)


def test_the_default_region_has_room_for_the_default_ring():
    assert inspect.default_region_bytes() > region.DEFAULT_RING_BYTES

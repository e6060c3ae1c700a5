"""The fault build, made once a session, and regions to try it on."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.ring import region
from tests.native.building import load_ring
from tests.stress.faults.building import build_with_faults
from tests.stress.faults.points import Points
from tests.stress.faults.puppet import Puppet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def fault_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension module with fault points."""
    return build_with_faults(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="session")
def ring(fault_build: Path) -> Any:
    """The same, imported beside the installed one."""
    return load_ring(fault_build)


@pytest.fixture
def make_region() -> Iterator[Callable[..., str]]:
    """Makes regions and returns their names; they are gone after the test."""
    instance = secrets.token_hex(4)

    def make(ring_bytes: int = 1 << 20, slots: int = 256) -> str:
        return region.create(instance, "live/faults", region.RegionSpec(ring_bytes, slots)).name

    yield make
    for name in region.list_names(instance):
        region.unlink(name)


@pytest.fixture
def puppet(ring: Any) -> Iterator[Callable[..., Puppet]]:
    """Starts puppets; none outlives the test."""
    puppets: list[Puppet] = []

    def start(play: Callable[[], object], *traps: str | tuple[str, int]) -> Puppet:
        puppets.append(Puppet(Points(ring), play, *traps))
        return puppets[-1]

    yield start
    for each in puppets:
        if each.alive:
            each.kill()

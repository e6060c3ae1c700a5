"""Regions for the tests of the ring: each test has an instance of its own, and nothing of it stays behind."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest

from arclyd.ring import region
from tests.unit.ring.rings import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def instance() -> Iterator[str]:
    """The name of a daemon that is not: regions made under it are removed."""
    name = secrets.token_hex(4)
    yield name
    for left in region.list_names(name):
        region.unlink(left)


@pytest.fixture
def make_ring(instance: str) -> Callable[..., Ring]:
    """Makes a region; keyword arguments are those of `RegionSpec`."""

    def make(ring_bytes: int = 1 << 20, slots: int = 256, **spec: int) -> Ring:
        return Ring(region.create(instance, "live/test", region.RegionSpec(ring_bytes, slots, **spec)))

    return make


@pytest.fixture
def ring(make_ring: Callable[..., Ring]) -> Ring:
    return make_ring()


@pytest.fixture
def open_fds() -> Iterator[None]:
    """No descriptor is left open by what the test does."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before

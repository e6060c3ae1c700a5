"""Clips of real encoders, made once a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arclyd.media.track import Track
from tests.packaging import FakeFrame, make_clip, read_clip

if TYPE_CHECKING:
    from collections.abc import Callable

Clip = tuple[list[Track], list[FakeFrame]]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Clip]:
    """Tracks and frames of a clip of `tests.packaging.KINDS`."""
    folder = tmp_path_factory.mktemp("clips")
    made: dict[str, Clip] = {}

    def get(name: str) -> Clip:
        if name not in made:
            made[name] = read_clip(make_clip(folder, name))
        return made[name]

    return get

"""What a directory holds when its disk takes no more."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from arclyd.packagers.directory import _publish

if TYPE_CHECKING:
    from pathlib import Path


def test_old_files_make_room_for_new_ones(tmp_path: Path) -> None:
    """A disk that is full of what is listed no more would else stay so."""
    for number in range(3):
        (tmp_path / f"ab-0-{number}.m4s").write_bytes(b"media")

    def full() -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        _publish(tmp_path, [("ab-0-2.m4s", lambda: b"media"), ("ab-0-3.m4s", full)], [])
    assert [path.name for path in tmp_path.iterdir()] == ["ab-0-2.m4s"]

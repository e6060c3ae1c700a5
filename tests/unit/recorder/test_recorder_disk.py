"""A file on disk grows by whole pieces, whatever the disk says, and is told from one whose writer is gone."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from arclyd.recorder.disk import DiskFile, is_growing
from tests.unit.recorder.frames import largest_file

if TYPE_CHECKING:
    from pathlib import Path


def test_nothing_is_there_before_it_is_committed(tmp_path: Path) -> None:
    file = DiskFile(tmp_path / "a" / "b" / "x.ts")
    file.write(b"one")
    assert (tmp_path / "a" / "b" / "x.ts").read_bytes() == b""
    assert file.commit()
    assert not file.commit()
    assert (file.path.read_bytes(), file.size) == (b"one", 3)
    file.close()


def test_a_piece_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    file = DiskFile(tmp_path / "x.ts")
    file.write(b"whole")
    file.commit()
    with largest_file(8):
        file.write(b"too much for eight")
        with pytest.raises(OSError, match="File too large"):
            file.commit()
    file.write(b"what a container says at its end")
    file.seek(0)
    assert not file.commit()
    file.close()
    assert file.path.read_bytes() == b"whole"


def test_going_back_completes_what_is_there(tmp_path: Path) -> None:
    file = DiskFile(tmp_path / "x.mp4")
    file.write(b"....body")
    file.commit()
    file.write(b"end")
    assert file.tell() == 11
    assert file.seek(0) == 0
    file.write(b"head")
    assert file.seek(0, os.SEEK_END) == 11
    file.close()
    assert (file.path.read_bytes(), file.size) == (b"headbodyend", 11)


def test_a_file_without_a_byte_is_gone(tmp_path: Path) -> None:
    file = DiskFile(tmp_path / "x.ts")
    file.close()
    file.close()
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_never_touched(tmp_path: Path) -> None:
    taken = tmp_path / "x.ts"
    taken.write_text("precious")
    (tmp_path / "x-2.ts").symlink_to(tmp_path / "elsewhere")
    file = DiskFile(taken)
    assert file.path == tmp_path / "x-3.ts"
    file.close()
    assert taken.read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_two_recorders_never_have_one_file(tmp_path: Path) -> None:
    """They ask for the same name at the same moment: each gets a file of its own, whole, locked until it is closed."""
    count = 16
    together = threading.Barrier(count)

    def record(number: int) -> DiskFile:
        together.wait(timeout=30)
        file = DiskFile(tmp_path / "x.ts")
        file.write(bytes([number]) * 1000)
        file.commit()
        return file

    with ThreadPoolExecutor(count) as pool:
        made = list(pool.map(record, range(count)))
    assert {file.path.name for file in made} == {"x.ts", *(f"x-{number}.ts" for number in range(2, count + 1))}
    for number, file in enumerate(made):
        assert file.path.read_bytes() == bytes([number]) * 1000
        assert is_growing(file.path)
        file.close()
        assert not is_growing(file.path)


def test_a_file_grows_as_long_as_somebody_writes_it(tmp_path: Path) -> None:
    file = DiskFile(tmp_path / "x.ts")
    file.write(b"x")
    file.commit()
    assert is_growing(file.path)
    file.close()
    assert not is_growing(file.path)
    with pytest.raises(FileNotFoundError):
        is_growing(tmp_path / "none")

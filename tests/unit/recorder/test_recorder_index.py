"""The index and what is deleted by it: files that were recorded, oldest first, and nothing else."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from arclyd.recorder.disk import DiskFile
from arclyd.recorder.index import INTERRUPTED, Index, Recording
from arclyd.recorder.retention import Limits, Retention

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECOND = 1000


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path / "rec" / "recordings.sqlite", create=True)
    yield opened
    opened.close()


def recorded(index: Index, name: str, *, size: int = 100, at: int = 0, key: str = "live/cam") -> Path:
    """A recording that ended ``at`` seconds, with its file."""
    path = index.path.parent / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    row = Recording(index.name(path), key, "ts", at * SECOND, 1, 1, ended_ms=at * SECOND, ended="split", bytes=size)
    index.save(row)
    return path


def sweep(index: Index, limits: Limits, now: int = 100, keys: tuple[str, ...] = ("live/cam",)) -> list[str]:
    said: list[str] = []
    Retention(index, limits, keys, index.path.parent, lambda key, text: said.append(f"{key}: {text}")).sweep(
        now * SECOND
    )
    return said


def test_rows_come_back_by_stream_and_time(index: Index) -> None:
    recorded(index, "b.ts", at=2)
    recorded(index, "a.ts", at=1)
    recorded(index, "c.ts", at=1, key="live/other")
    assert [row.file for row in index.recordings(["live/cam"])] == ["a.ts", "b.ts"]
    assert [row.file for row in index.recordings()] == ["a.ts", "c.ts", "b.ts"]
    first = index.recordings()[0]
    index.save(replace(first, missed=7))
    assert index.recordings()[0].missed == 7
    index.forget(first)
    assert [row.file for row in index.recordings()] == ["c.ts", "b.ts"]


def test_files_outside_are_named_in_full(index: Index, tmp_path: Path) -> None:
    row = Recording(index.name(tmp_path / "else" / "x.ts"), "live/cam", "ts", 0, 1, 1)
    assert row.file == str(tmp_path / "else" / "x.ts")
    assert index.locate(row) == tmp_path / "else" / "x.ts"


def test_several_recorders_share_an_index(index: Index) -> None:
    others = [Index(index.path, create=True) for _ in range(4)]

    def add(number: int) -> None:
        for n in range(20):
            others[number].save(Recording(f"{number}-{n}", f"live/{number}", "ts", n, 1, 1))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert len(index.recordings()) == 80


def test_what_is_no_index_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no index of recordings"):
        Index(tmp_path / "none.sqlite")
    (tmp_path / "text").write_text("this is not a database, but long enough to be one" * 100)
    with pytest.raises(OSError, match="not a database"):
        Index(tmp_path / "text")
    newer = Index(tmp_path / "newer.sqlite", create=True)
    newer._database.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(OSError, match="an index of version 99"):
        Index(tmp_path / "newer.sqlite")


def test_rows_of_killed_recorders_are_settled(index: Index) -> None:
    folder = index.path.parent
    killed = folder / "killed.ts"
    killed.write_bytes(bytes(42))
    growing = DiskFile(folder / "growing.ts")
    growing.write(b"x")
    growing.commit()
    for number, name in enumerate(("killed.ts", "growing.ts", "deleted.ts")):
        index.save(Recording(name, "live/cam", "ts", number, 1, 1))
    (settled,) = index.settle(["live/cam"])
    assert (settled.file, settled.ended, settled.bytes) == ("killed.ts", INTERRUPTED, 42)
    assert [(row.file, row.ended) for row in index.recordings()] == [("killed.ts", INTERRUPTED), ("growing.ts", "")]
    growing.close()


def test_by_age(index: Index) -> None:
    old, young = recorded(index, "old/x.ts", at=10), recorded(index, "young/x.ts", at=60)
    said = sweep(index, Limits(seconds=50))
    assert said == [f"live/cam: deleted {old}"]
    assert not old.parent.exists(), "a directory left empty goes, too"
    assert young.exists()
    assert [row.file for row in index.recordings()] == ["young/x.ts"]


def test_by_size_the_oldest_go_first(index: Index) -> None:
    paths = [recorded(index, f"{n}.ts", at=n) for n in (3, 1, 2, 4)]
    sweep(index, Limits(bytes=250))
    assert [path.exists() for path in paths] == [True, False, False, True]
    assert index.path.exists()


def test_only_what_was_recorded_is_deleted(index: Index) -> None:
    folder = index.path.parent
    other_stream = recorded(index, "other.ts", at=1, key="live/other")
    replaced = recorded(index, "replaced.ts", at=1)
    replaced.write_bytes(bytes(5000))
    never_recorded = folder / "mine.ts"
    never_recorded.write_bytes(bytes(5000))
    growing = DiskFile(folder / "growing.ts")
    growing.write(bytes(5000))
    growing.commit()
    index.save(Recording("growing.ts", "live/cam", "ts", 0, 1, 1))
    said = sweep(index, Limits(seconds=1, bytes=10))
    assert said == [f"live/cam: left {replaced} alone: it is not the file that was recorded"]
    assert all(path.exists() for path in (other_stream, replaced, never_recorded, growing.path))
    assert [row.file for row in index.recordings(["live/cam"])] == ["growing.ts"]
    growing.close()


def test_files_removed_by_hand_count_nothing(index: Index) -> None:
    gone, there = recorded(index, "gone.ts", size=1000, at=1), recorded(index, "there.ts", at=2)
    gone.unlink()
    assert sweep(index, Limits(bytes=100)) == []
    assert there.exists()


def test_without_limits_nothing_is_looked_at(index: Index) -> None:
    path = recorded(index, "x.ts", at=-10_000)
    assert sweep(index, Limits()) == []
    assert path.exists()

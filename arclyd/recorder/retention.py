"""How long recordings are kept: deletes by age and by total size what the index says was recorded, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from arclyd.recorder.index import Index, Recording


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no such limit. ``seconds`` since a file ended; ``bytes`` of all files together."""

    seconds: float | None = None
    bytes: int | None = None


class Retention:
    """Keeps the recordings of ``keys`` within limits, oldest out first. Files that are being written stay.

    Args:
        root: directories below it that a deletion leaves empty are removed.
        say: told of each file that was deleted or is left alone (key, text).
    """

    def __init__(
        self, index: Index, limits: Limits, keys: Collection[str], root: Path, say: Callable[[str, str], None]
    ) -> None:
        self._index = index
        self._limits = limits
        self._keys = keys
        self._root = root.absolute()
        self._say = say
        self._in_vain = -1
        """Bytes the index tells of, where the files were found to take less: not looked at until that changes."""

    def sweep(self, now_ms: int) -> None:
        """Delete what is over the limits.

        Raises:
            OSError: the index can't be read or written.
        """
        if self._limits == Limits():
            return
        self._index.settle(self._keys)
        if self._limits.seconds is not None:
            for recording in self._index.ended_before(now_ms - int(self._limits.seconds * 1000), self._keys):
                self._delete(recording)
        if self._limits.bytes is not None:
            self._by_size(self._limits.bytes)

    def _by_size(self, limit: int) -> None:
        growing = sum(self._size(recording) for recording in self._index.unfinished(self._keys))
        told = self._index.total_bytes(self._keys)
        if told + growing <= limit or told == self._in_vain:
            return
        sizes = [(recording, self._size(recording)) for recording in self._index.recordings(self._keys)]
        total = sum(size for _, size in sizes)
        if total <= limit:
            self._in_vain = told
            return
        for recording, size in sizes:
            if total <= limit:
                return
            if recording.ended:
                total -= size
                self._delete(recording)

    def _size(self, recording: Recording) -> int:
        """What it takes on disk now; one that somebody removed takes nothing."""
        try:
            return self._index.locate(recording).stat().st_size
        except OSError:
            return 0

    def _delete(self, recording: Recording) -> None:
        path = self._index.locate(recording)
        try:
            if path.lstat().st_size == recording.bytes:
                path.unlink()
                self._say(recording.key, f"deleted {path}")
            else:
                self._say(recording.key, f"left {path} alone: it is not the file that was recorded")
        except FileNotFoundError:
            pass
        except OSError as error:
            self._say(recording.key, f"can't delete {path}: {error.strerror}")
            return
        self._index.forget(recording)
        self._remove_empty(path.parent)

    def _remove_empty(self, folder: Path) -> None:
        with suppress(OSError):  # it is not empty, or not ours
            while self._root in folder.parents:
                folder.rmdir()
                folder = folder.parent

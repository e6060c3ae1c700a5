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

    def sweep(self, now_ms: int) -> None:
        """Delete what is over the limits.

        Raises:
            OSError: the index can't be read or written.
        """
        if self._limits == Limits():
            return
        self._index.settle(self._keys)
        recordings = self._index.recordings(self._keys)
        self._by_age(recordings, now_ms)
        self._by_size()

    def _by_age(self, recordings: list[Recording], now_ms: int) -> None:
        if self._limits.seconds is None:
            return
        oldest_ms = now_ms - self._limits.seconds * 1000
        for recording in recordings:
            if recording.ended and recording.ended_ms < oldest_ms:
                self._delete(recording)

    def _by_size(self) -> None:
        limit = self._limits.bytes
        if limit is None:
            return
        sizes = {recording: self._size(recording) for recording in self._index.recordings(self._keys)}
        total = sum(sizes.values())
        for recording, size in sizes.items():
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

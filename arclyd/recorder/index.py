"""What was recorded: one row a file, in an SQLite database beside the files.

Several recorders may share an index: SQLite's own locks keep them apart, and a file's lock (`disk.is_growing`) tells
whose row is still being written.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields, replace
from typing import TYPE_CHECKING, Final

from arclyd.recorder.disk import is_growing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

FILE_NAME: Final = "recordings.sqlite"
VERSION: Final = 1
BUSY_SECONDS: Final = 5.0
"""How long another recorder's transaction is waited for; they take milliseconds."""

INTERRUPTED: Final = "interrupted"


@dataclass(frozen=True, slots=True)
class Recording:
    """One file. ``file`` is relative to the index's directory where it lies below it.

    ``seconds`` of media, ``bytes`` and ``frames`` are known when it has ``ended``: then that says why, in a word
    (``split``, ``stopped``, ``ended``, ``publisher_gone``, ``gap``, ``configuration``, ``no_room``, ``interrupted`` …),
    and is empty before. ``missed`` frames were lost in ``gaps`` places. Times are Unix milliseconds.
    """

    file: str
    key: str
    format: str
    started_ms: int
    first_seq: int
    epoch: int
    ended_ms: int = 0
    ended: str = ""
    seconds: float = 0.0
    bytes: int = 0
    frames: int = 0
    gaps: int = 0
    missed: int = 0
    last_seq: int = 0


_COLUMNS: Final = tuple(field.name for field in fields(Recording))
_TYPES: Final = {"int": "INTEGER", "float": "REAL", "str": "TEXT"}
_SCHEMA: Final = ", ".join(f"{field.name} {_TYPES[str(field.type)]} NOT NULL" for field in fields(Recording))
_SAVE: Final = f"INSERT OR REPLACE INTO recordings VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - question marks
_LIST: Final = f"SELECT {', '.join(_COLUMNS)} FROM recordings"  # noqa: S608 - our own column names


class Index:
    """The index in the file ``path``. Threads may share it.

    Args:
        create: make it, and its directory, where there is none.

    Raises:
        OSError: from here and from every method: it can't be read or written, or is no index.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        self.path = path.absolute()
        self._lock = threading.Lock()
        if create:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self.path.is_file():
            raise FileNotFoundError(errno.ENOENT, "there is no index of recordings", str(path))
        with self._translated():
            self._database = sqlite3.connect(self.path, timeout=BUSY_SECONDS, check_same_thread=False)
        try:
            self._set_up()
        except BaseException:
            self._database.close()
            raise

    def _set_up(self) -> None:
        with self._transaction() as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                database.execute(f"CREATE TABLE IF NOT EXISTS recordings ({_SCHEMA}, PRIMARY KEY (file))")
                database.execute("CREATE INDEX IF NOT EXISTS by_time ON recordings (key, started_ms)")
                database.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise OSError(
                    errno.EINVAL, f"an index of version {version}, this build knows {VERSION}", str(self.path)
                )

    def save(self, recording: Recording) -> None:
        """Add or replace the row of a file."""
        with self._transaction() as database:
            database.execute(_SAVE, astuple(recording))

    def forget(self, recording: Recording) -> None:
        """Remove the row of a file."""
        with self._transaction() as database:
            database.execute("DELETE FROM recordings WHERE file = ?", (recording.file,))

    def recordings(self, keys: Collection[str] = ()) -> list[Recording]:
        """The files of these streams (none named: of all), oldest first."""
        return self._find(keys)

    def unfinished(self, keys: Collection[str] = ()) -> list[Recording]:
        """Those that are being written, or whose recorder was killed."""
        return self._find(keys, "ended = ''")

    def ended_before(self, time_ms: int, keys: Collection[str] = ()) -> list[Recording]:
        """Those that ended before a time in Unix milliseconds."""
        return self._find(keys, "ended != '' AND ended_ms < ?", time_ms)

    def total_bytes(self, keys: Collection[str] = ()) -> int:
        """Size of all that ended."""
        where, values = _condition(keys)
        with self._transaction() as database:
            (total,) = database.execute(f"SELECT SUM(bytes) FROM recordings{where}", values).fetchone()  # noqa: S608 - question marks
        return total or 0

    def settle(self, keys: Collection[str] = ()) -> list[Recording]:
        """End the rows whose recorder was killed; returns what they say now. Where there is no file the row goes."""
        settled = []
        for recording in self.unfinished(keys):
            path = self.locate(recording)
            try:
                if is_growing(path):
                    continue
                status = path.stat()
            except FileNotFoundError:
                self.forget(recording)
                continue
            ended_ms = int(status.st_mtime * 1000)
            done = replace(recording, ended=INTERRUPTED, bytes=status.st_size, ended_ms=ended_ms)
            self.save(done)
            settled.append(done)
        return settled

    def _find(self, keys: Collection[str], more: str = "", *values: int) -> list[Recording]:
        where, of_keys = _condition(keys, more)
        with self._transaction() as database:
            rows = database.execute(f"{_LIST}{where} ORDER BY started_ms, file", (*of_keys, *values)).fetchall()
        return [Recording(*row) for row in rows]

    def name(self, path: Path) -> str:
        """A file as a row names it."""
        absolute = path.absolute()
        with suppress(ValueError):
            return str(absolute.relative_to(self.path.parent))
        return str(absolute)

    def locate(self, recording: Recording) -> Path:
        """Where the file of a row lies."""
        return self.path.parent / recording.file

    def close(self) -> None:
        """Close it. Idempotent."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated(), self._database:
            yield self._database

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            full = error.sqlite_errorcode == sqlite3.SQLITE_FULL if hasattr(error, "sqlite_errorcode") else False
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error), str(self.path)) from error


def _condition(keys: Collection[str], more: str = "") -> tuple[str, tuple[str, ...]]:
    """A WHERE clause for these streams and whatever ``more`` says, and its first values."""
    of_keys = f"key IN ({', '.join('?' * len(keys))})" if keys else ""
    both = " AND ".join(filter(None, (of_keys, more)))
    return (f" WHERE {both}" if both else ""), tuple(keys)

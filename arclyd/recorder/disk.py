"""A recording on disk: a new file that grows by whole pieces, and is locked for as long as it does."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from arclyd.recorder.template import numbered

if TYPE_CHECKING:
    from pathlib import Path


class DiskFile:
    """A sink for a container. What was written since the last `commit` is in the file as a whole, or not at all.

    The descriptor is locked (flock), so that anybody can tell a file that grows from one whose writer was killed.

    Args:
        path: its name; where that is taken, ``-2``, ``-3`` … is added to it. Directories are made.

    Raises:
        OSError: it can't be made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._fd = _make(path)
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._pending = bytearray()
        self._at = 0
        self._dead = False
        self.size = 0
        """Bytes committed."""

    def write(self, data: bytes, /) -> int:
        """Take ``data``; it reaches the file by `commit`, or by going elsewhere in it."""
        if not self._dead:
            self._pending += data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, as a file does."""
        if self._dead:
            return offset
        self._flush()
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._fd).st_size}
        self._at = bases[whence] + offset
        return self._at

    def tell(self) -> int:
        """The place gone to."""
        return self._at + len(self._pending)

    def commit(self) -> bool:
        """Put what was written into the file; False: that was nothing.

        Raises:
            OSError: it could not take all of it; it then has none of it.
        """
        if not self._pending:
            return False
        try:
            self._flush()
        except OSError:
            self.abandon()
            raise
        self.size = os.fstat(self._fd).st_size
        return True

    def abandon(self) -> None:
        """Leave it as it was at the last commit; whatever is written from now on is dropped. Idempotent."""
        self._dead = True
        self._pending.clear()
        with suppress(OSError):
            os.ftruncate(self._fd, self.size)

    def close(self) -> None:
        """Close; a file without a byte is removed. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self.size and not self._dead:
            self.size = os.fstat(fd).st_size
        os.close(fd)
        if not self.size:
            self.path.unlink(missing_ok=True)

    def _flush(self) -> None:
        pending, self._pending = self._pending, bytearray()
        left = memoryview(pending)
        while left:
            written = os.pwrite(self._fd, left, self._at)
            self._at += written
            left = left[written:]


def is_growing(path: Path) -> bool:
    """Whether somebody is writing that file now.

    Raises:
        OSError: there is none, or it may not be opened.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _make(path: Path) -> tuple[Path, int]:
    for name in numbered(path):
        with suppress(FileExistsError):
            # Read and write for all, less the umask: as any program's files.
            return name, os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    raise FileExistsError(17, "ten thousand recordings of that name", str(path))

"""Where a verb's output goes: standard output, or a file that has its name only once it is complete."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class StdoutSink:
    """Standard output, which can't be sought; a reader that left is `BrokenPipeError`."""

    def __init__(self) -> None:
        self.bytes = 0

    def write(self, data: bytes, /) -> int:
        """Write all of it."""
        self.bytes += len(data)
        return sys.stdout.buffer.write(data)

    def finish(self, *, keep: bool) -> int:
        """Flush; returns the bytes written."""
        if keep:
            sys.stdout.buffer.flush()
        return self.bytes


class FileSink:
    """A file under a temporary name beside its final one, which it gets when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file = self._temporary.open("xb")

    def write(self, data: bytes, /) -> int:
        """Write all of it."""
        return self._file.write(data)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, as a file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place gone to."""
        return self._file.tell()

    def finish(self, *, keep: bool) -> int:
        """Close; give it its name, or remove it. Returns its size in bytes."""
        self._file.close()
        size = self._temporary.stat().st_size
        if keep:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink()
        return size

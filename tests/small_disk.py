"""A disk that is soon full: a file system in memory, in a mount namespace of its own."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class SmallDisk:
    """A file system of a few MiB that only its own processes see; ``outside`` is where the test sees it."""

    inside: Path
    outside: Path
    enter: tuple[str, ...]

    def fill(self) -> None:
        """Leave no room, but for less than a page."""
        with (self.outside / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        (self.outside / "ballast").unlink()


@contextmanager
def small_disk(inside: Path) -> Iterator[SmallDisk]:
    """One of 24 MiB at ``inside``, a directory."""
    mount = 'mount -t tmpfs -o size=24m none "$0" && echo mounted && exec cat'
    command = ["unshare", "-m", "sh", "-c", mount, str(inside)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == b"mounted\n"
            enter = ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt", "--")
            yield SmallDisk(inside, Path(f"/proc/{holder.pid}/root{inside}"), enter)
        finally:
            holder.kill()

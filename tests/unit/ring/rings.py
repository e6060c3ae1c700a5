"""A region with its writer and readers in one process, and programs that run in others."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass

from arclyd.ring import region
from arclyd.ring._ring import Frame, Gap, Reader, Region, Writer

VIDEO = (0, 0, (1, 90000), 640, 360, 0, 0)
AUDIO = (1, 5, (1, 48000), 0, 0, 48000, 2)
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ring:
    """One region; each handle has a mapping of its own, as in another process."""

    file: region.RegionFile

    def writable(self) -> Region:
        return self._mapped(region.open_writable(self.file.name), writable=True)

    def readonly(self) -> Region:
        return self._mapped(region.open_readonly(self.file.name), writable=False)

    def writer(self, *tracks: tuple[int, int, tuple[int, int], int, int, int, int]) -> Writer:
        return Writer(self.writable(), tracks or (VIDEO, AUDIO))

    def reader(self, start: str = "keyframe", value: int = 0, **options: bool | int) -> Reader:
        return Reader(self.readonly(), (start, value), **options)

    @staticmethod
    def _mapped(fd: int, *, writable: bool) -> Region:
        try:
            return Region(fd, writable=writable)
        finally:
            os.close(fd)


def take(reader: Reader) -> Frame:
    """The next frame, which must be there."""
    item = reader.recv(0)
    assert isinstance(item, Frame), item
    return item


def drain(reader: Reader) -> list[Frame | Gap]:
    """All that is there now."""
    items = []
    while (item := reader.recv(0)) is not None:
        items.append(item)
    return items


def python(script: str, *arguments: str) -> list[str]:
    """The command of a process that runs ``script``."""
    return [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script), *arguments]


def run_python(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``script`` to its end."""
    return subprocess.run(python(script, *arguments), capture_output=True, text=True, timeout=100, check=False)

"""The line a terminal shows while a stream is published: position, rates, readers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from types import TracebackType

    from arclyd.ingest.file.feed import Report

WINDOW: Final = 8
"""Reports a rate is taken over: two seconds."""


class Progress:
    """One line, rewritten in place on a terminal's standard error; a context manager."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._past: deque[Report] = deque(maxlen=WINDOW)
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, report: Report) -> None:
        """Rewrite the line."""
        self._past.append(report)
        self._live.update(Text(progress_line(self._key, self._past[0], report)), refresh=True)


def progress_line(key: str, before: Report, now: Report) -> str:
    """What the line says; rates are over the time between the two reports."""
    seconds = (now.elapsed_ns - before.elapsed_ns) / 1e9
    position = _clock(now.position_ns)
    readers = f"{now.subscribers} subscriber{'' if now.subscribers == 1 else 's'}"
    if seconds <= 0:
        return f"{key}  {position}  {readers}"
    rate = (now.bytes - before.bytes) * 8 / seconds / 1e6
    fps = (now.pictures - before.pictures) / seconds
    speed = (now.position_ns - before.position_ns) / 1e9 / seconds
    return f"{key}  {position}  {rate:.2f} Mb/s  {fps:.1f} fps  {speed:.2f}x  {readers}"


def _clock(ns: int) -> str:
    minutes, seconds = divmod(ns / 1e9, 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:04.1f}"

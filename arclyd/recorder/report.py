"""What the recorder says: lines on standard error, and on a terminal a table of what goes on."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from arclyd.command_line import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

FLOOD_SECONDS: Final = 1.0
"""After a line of one kind, what happens within that time is one counted line."""

RATE_LOOKS: Final = 8
"""Looks a rate is taken over: two seconds."""


@dataclass(slots=True)
class Status:
    """How one stream stands: written by the thread that records it, read by the one that shows it."""

    key: str
    state: str = "waiting"
    file: str = ""
    seconds: float = 0.0
    bytes: int = 0
    """Of the file at hand; ``total_bytes`` of all payload recorded."""
    total_bytes: int = 0
    files: int = 0
    missed: int = 0


@dataclass(slots=True)
class _Flood:
    until: float
    times: int = 0
    number: int = 0


@dataclass(slots=True)
class _Rate:
    looks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_LOOKS))

    def look(self, now: float, total: int) -> float:
        """Bits a second since the oldest look."""
        self.looks.append((now, total))
        (began, before), elapsed = self.looks[0], now - self.looks[0][0]
        del began
        return (total - before) * 8 / elapsed if elapsed > 0 else 0.0


class LogConsole(Console):
    """A console that falls silent when its reader is gone: no recording ends because nobody reads of it."""

    def on_broken_pipe(self) -> None:
        """Say nothing any more (rich would end the thread)."""
        self.quiet = True


class Report:
    """A context manager; on a terminal it shows the table while entered. Threads may share it.

    Args:
        quiet: no lines but for what went wrong, no table.
    """

    def __init__(
        self,
        streams: Sequence[Status],
        *,
        quiet: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._streams = streams
        self._quiet = quiet
        self._console = console or LogConsole(stderr=True, highlight=False)
        self._clock = clock
        self._lock = threading.Lock()
        self._floods: dict[tuple[str, str], _Flood] = {}
        self._rates = {status.key: _Rate() for status in streams}
        shown = self._console.is_terminal and not quiet
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if shown else None

    def __enter__(self) -> Report:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_floods(everything=True)
        if self._live is not None:
            self._live.stop()

    def say(self, key: str, text: str) -> None:
        """One line on what goes as it should."""
        if not self._quiet:
            self._print(key, text)

    def warn(self, key: str, text: str) -> None:
        """One line on what went wrong."""
        self._print(key, text)

    def count(self, key: str, what: str, number: int) -> None:
        """Something that may come in floods: ``what`` says ``{}`` where the number stands."""
        with self._lock:
            flood = self._floods.get((key, what))
            if flood is not None:
                flood.times += 1
                flood.number += number
                return
            self._floods[key, what] = _Flood(self._clock() + FLOOD_SECONDS)
        self._print(key, what.format(f"{number:,}"))

    def tick(self) -> None:
        """Renew the table and count floods; to be called about four times a second."""
        self._end_floods()
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def _end_floods(self, *, everything: bool = False) -> None:
        now = self._clock()
        with self._lock:
            over = {name: flood for name, flood in self._floods.items() if everything or flood.until <= now}
            for name, flood in over.items():
                del self._floods[name]
                if flood.times and not everything:
                    self._floods[name] = _Flood(now + FLOOD_SECONDS)
        for (key, what), flood in over.items():
            if flood.times:
                self._print(key, f"{what.format(f'{flood.number:,}')} ({flood.times:,} times)")

    def _print(self, key: str, text: str) -> None:
        where = f"{key}: " if key else ""
        self._console.print(Text(clean(f"arclyd record: {where}{text}")), soft_wrap=True)

    def _table(self) -> Table:
        table = Table("stream", "state", "length", "size", "rate", "files", "missed", "file", box=None, pad_edge=False)
        now = self._clock()
        for status in self._streams:
            rate = self._rates[status.key].look(now, status.total_bytes)
            table.add_row(
                status.key,
                status.state,
                str(timedelta(seconds=int(status.seconds))),
                decimal(status.bytes),
                f"{rate / 1e6:.2f} Mb/s",
                f"{status.files:,}",
                f"{status.missed:,}",
                clean(status.file),
            )
        return table

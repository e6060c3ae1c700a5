"""How the daemon logs: key=value on a terminal, JSON under systemd, and floods as one counted line a second."""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

BURST: Final = 10
"""Lines of one event that are written in a second before the rest is only counted."""

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("auto", "text", "json")


@dataclass(slots=True)
class _Window:
    began: float
    written: int = 0
    counted: int = 0


@dataclass(slots=True)
class Throttle:
    """A structlog processor: past `BURST` lines of one event in a second the rest is counted, not written.

    The count comes out as ``suppressed`` on the event's first line of a later second, or by `flush`.
    """

    clock: Callable[[], float] = time.monotonic
    _windows: dict[str, _Window] = field(default_factory=dict)

    def __call__(self, _logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        """Pass the line on, or raise `structlog.DropEvent`."""
        now, name = self.clock(), str(line.get("event"))
        window = self._windows.get(name)
        if window is None or now - window.began >= 1.0:
            self._windows[name] = _Window(now, 1)
            if window is not None and window.counted:
                line["suppressed"] = window.counted
            return line
        if window.written >= BURST and "suppressed" not in line:
            window.counted += 1
            raise structlog.DropEvent
        window.written += 1
        return line

    def flush(self) -> dict[str, int]:
        """Events whose second is over with lines left out, and how many; they are forgotten."""
        now = self.clock()
        over = {name: window for name, window in self._windows.items() if now - window.began >= 1.0}
        for name in over:
            del self._windows[name]
        return {name: window.counted for name, window in over.items() if window.counted}


def configure(level: str, form: str, environ: Mapping[str, str]) -> Throttle:
    """Set structlog up for this process; the throttle is to be flushed about once a second."""
    as_json = form == "json" or (form == "auto" and under_systemd(environ))
    throttle = Throttle()
    processors: list[Processor] = [
        throttle,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer() if as_json else _render_text,
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    return throttle


def under_systemd(environ: Mapping[str, str]) -> bool:
    """Standard error is the journal's (systemd.exec(5), ``JOURNAL_STREAM``), or a unit's without a terminal."""
    stream = environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    if stream == f"{status.st_dev}:{status.st_ino}":
        return True
    return bool(environ.get("INVOCATION_ID")) and not os.isatty(sys.stderr.fileno())


def logger() -> FilteringBoundLogger:
    """The daemon's logger."""
    bound: FilteringBoundLogger = structlog.get_logger("arclyd")
    return bound


def _render_text(_logger: WrappedLogger, _method: str, line: MutableMapping[str, object]) -> str:
    """``2026-01-01T00:00:00Z info  publish_started key=live/cam1 pid=4711``; nothing in it moves the cursor."""
    when, level, event = line.pop("timestamp", ""), line.pop("level", ""), line.pop("event", "")
    trace = line.pop("exception", None)
    facts = "".join(f" {name}={_value(value)}" for name, value in line.items())
    return f"{when} {level!s:7} {event}{facts}" + (f"\n{trace}" if trace else "")


def _value(value: object) -> str:
    text = str(value)
    plain = text.isprintable() and text and not any(char in text for char in ' "=')
    return text if plain else repr(text)

"""Who did what, for good: one JSON line a deed, appended to a file and never changed by the daemon.

Claims, take-overs, ends, kicks, refusals, who attached, and what was found and removed. A line has ``time`` (UTC),
``seq`` (the event's number in this run of the daemon), ``event``, ``key`` and the event's facts. ``pid`` and ``uid``
are the kernel's word on the process that acted or was acted upon, ``by`` and ``by_uid`` on the one that had it done.
"""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from arclyd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.control.reports import Event

AUDITED: Final = frozenset(
    (
        "publish_started",
        "publish_resumed",
        "publish_replaced",
        "publish_interrupted",
        "publish_ended",
        "joined",
        "evicted",
        "kicked",
        "reaped",
        "refused",
        "adopted",
        "removed",
        "left_alone",
    )
)

REFUSALS: Final = 100
"""Refusals written in a second; who asks in a loop must not fill the disk. The rest is counted in ``suppressed``."""


class AuditLog:
    """Appends to the file at ``path`` (None: to none). ``complain`` is told what is wrong with it, once in a row.

    Raises:
        ConfigError: there can't be such a file.
    """

    def __init__(self, path: str | None, complain: Callable[[str], None]) -> None:
        self._path = path
        self._complain = complain
        self._fd = -1
        self._failing = False
        self._second = 0
        self._refusals = 0
        try:
            self.reopen()
        except OSError as error:
            raise ConfigError("$.server.audit", f"{path}: {error.strerror}") from error

    def reopen(self) -> None:
        """Go on in the file that has the path now: the old one may have been rotated away."""
        fd = _open(self._path) if self._path else -1
        self.close()
        self._fd = fd

    def write(self, event: Event) -> None:
        """Append the event's line, if it is of a kind that is audited."""
        if self._fd < 0 or event.kind not in AUDITED:
            return
        suppressed = self._count(event)
        if suppressed is None:
            return
        line = {"time": _when(event.time_ms), "seq": event.seq, "event": event.kind, "key": event.key}
        line.update((name, value) for name, value in event.facts.items() if name not in line)
        if suppressed:
            line["suppressed"] = suppressed
        try:
            os.write(self._fd, json.dumps(line, default=str).encode() + b"\n")  # ASCII: a key can't forge a line
        except OSError as error:
            if not self._failing:
                self._complain(f"{self._path}: {error.strerror}")
            self._failing = True
        else:
            self._failing = False

    def close(self) -> None:
        """Close the file. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _count(self, event: Event) -> int | None:
        """Refusals left out before this one; None: it is to be left out itself."""
        if event.kind != "refused":
            return 0
        if event.time_ms // 1000 != self._second:
            suppressed = max(0, self._refusals - REFUSALS)
            self._second, self._refusals = event.time_ms // 1000, 1
            return suppressed
        self._refusals += 1
        return 0 if self._refusals <= REFUSALS else None


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK
    fd = os.open(path, flags, 0o640)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(0, "not a regular file")


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Tells the daemon which streams are being recorded, beside the data path: a daemon that hangs delays no frame.

The daemon counts a recording by the connection that told it, so that of a killed recorder ends by itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import arclyd
from arclyd.errors import ArclydError, DaemonUnavailable, ProtocolError, StreamNotFound

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from arclyd import Control

RECORDING: Final = "recording"
LOOK_SECONDS: Final = 0.5
"""How often what is recorded is compared with what the daemon was told."""
TIMEOUT: Final = 2.0
"""Seconds a daemon has to answer; one that does not is asked again."""


class Activities:
    """A context manager with a thread of its own while entered; ``socket`` as for `arclyd.connect`."""

    def __init__(self, socket: str | os.PathLike[str] | None) -> None:
        self._socket = socket
        self._wanted: dict[str, object] = {}
        self._told: dict[str, object] = {}
        self._control: Control | None = None
        self._stop = threading.Event()
        self._look = threading.Event()
        self._thread = threading.Thread(target=self._run, name="arclyd-activity")

    def __enter__(self) -> Activities:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._look.set()
        self._thread.join()

    def begin(self, key: str) -> None:
        """The stream is being recorded. It may be another stream than the last one of that key."""
        self._wanted[key] = object()
        self._look.set()

    def end(self, key: str) -> None:
        """It is not any more. Idempotent."""
        self._wanted.pop(key, None)
        self._look.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._look.clear()
            try:
                self._tell()
            except (DaemonUnavailable, ProtocolError):
                self._forget()
            except ArclydError:  # refused: the next look asks again
                pass
            self._look.wait(LOOK_SECONDS)
        self._forget()

    def _tell(self) -> None:
        if self._control is None:
            self._control = arclyd.connect(self._socket, TIMEOUT, name="record")
        self._control.version()  # a lost connection shows here, and with it all that was told over it
        wanted = dict(self._wanted)
        for key in [key for key, token in self._told.items() if wanted.get(key) is not token]:
            del self._told[key]
            self._set(key, on=False)
        for key in wanted.keys() - self._told.keys():
            if self._set(key, on=True):
                self._told[key] = wanted[key]

    def _set(self, key: str, *, on: bool) -> bool:
        assert self._control is not None
        try:
            self._control.set_activity(key, RECORDING, on)
        except StreamNotFound:
            return False
        return True

    def _forget(self) -> None:
        control, self._control = self._control, None
        self._told.clear()
        if control is not None:
            control.close()

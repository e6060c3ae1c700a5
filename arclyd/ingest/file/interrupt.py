"""SIGINT and SIGTERM as a flag that the gateway looks at, so that a stream ends cleanly."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

    Handlers = dict[signal.Signals, signal._HANDLER]


class Interruptible:
    """While entered, the first signal sets `stop`; a second one has its usual effect, should that not be enough."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._at_once = False
        self._before: Handlers = {}

    def __enter__(self) -> Interruptible:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where nobody looks at the flag: a signal, also one that came before, raises `KeyboardInterrupt`."""
        self._at_once = True
        try:
            if self.stop.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = False

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.stop.set()
        signal.signal(number, self._before[signal.Signals(number)])
        if self._at_once:
            raise KeyboardInterrupt

"""A process beside the measurement that runs until it is told to stop."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import SpawnProcess

    from benchmarks.harness.stage import Stage

READY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 30.0


@contextlib.contextmanager
def started(stage: Stage, function: Callable[..., None], *arguments: Any) -> Iterator[SpawnProcess]:
    """A process that runs ``function(*arguments, ready, stop)``; it has set ``ready`` when this yields.

    Raises:
        RuntimeError: it ended or hung before it was ready.
    """
    ready, stop = stage.context.Event(), stage.context.Event()
    process = stage.context.Process(target=function, args=(*arguments, ready, stop))
    process.start()
    try:
        waited = 0.0
        while not ready.wait(0.1):
            waited += 0.1
            if not process.is_alive() or waited > READY_SECONDS:
                raise RuntimeError(f"{function.__qualname__} did not get ready (exit code {process.exitcode})")
        yield process
        if not process.is_alive():
            raise RuntimeError(f"{function.__qualname__} ended before its time (exit code {process.exitcode})")
    finally:
        stop.set()
        process.join(STOP_SECONDS)
        process.kill()
        process.join()
        process.close()

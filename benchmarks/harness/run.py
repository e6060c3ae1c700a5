"""One run: spawn the processes, wait for them, take the result off the board. Nothing outlives it."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
import time
import traceback
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.harness.job import Job, Result, RunFailed
from benchmarks.harness.stage import SHM, Stage, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import SpawnProcess

WATCHDOG_SECONDS: Final = 120.0
TICK_SECONDS: Final = 1.0
KEPT: Final = 1 << 18
"""Latencies and costs that are kept at most, of each process."""


def run(stage: Stage, job: Job, while_running: Callable[[list[int]], None] | None = None) -> Result:
    """Do ``job`` once.

    ``while_running``: called with the process ids, publisher first, once all have started.

    Raises:
        RunFailed: something was lost, or a process failed or hung.
    """
    from benchmarks.harness import _native  # built by then
    from benchmarks.transports import of

    transport = import_module(of(job.transport).module)
    with contextlib.ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="arclyd-bench-", dir=_memory_folder())))
        board_file = folder / "board"
        board_file.write_bytes(bytes(_native.board_size(job.subscribers)))
        with board_file.open("r+b") as file:
            board = mmap.mmap(file.fileno(), 0)
        _native.clear_board(board)
        endpoint = cleanup.enter_context(transport.endpoint(stage, job, folder))
        spawn = stage.context.Process
        processes = [spawn(target=publisher, args=(job, folder, endpoint))]
        processes += [spawn(target=subscriber, args=(job, folder, endpoint, i)) for i in range(job.subscribers)]
        cleanup.callback(_end, processes)
        daemon = stage.daemon() if of(job.transport).daemon else None
        before = cpu_seconds(daemon.pid) if daemon else 0.0
        for process in reversed(processes):
            process.start()
        if while_running is not None:
            while_running([process.pid or 0 for process in processes])
        _join(job, folder, processes)
        spent = cpu_seconds(daemon.pid) - before if daemon else 0.0
        return _result(job, folder, _native.read_board(board, job.subscribers), spent)


def _memory_folder() -> str | None:
    """Where files are memory; None: the system's folder for temporary files."""
    return str(SHM) if SHM.is_dir() else None


def _join(job: Job, folder: Path, processes: list[SpawnProcess]) -> None:
    deadline = time.monotonic() + WATCHDOG_SECONDS + job.seconds
    running = list(processes)
    while running:
        wait([process.sentinel for process in running], timeout=TICK_SECONDS)
        failed = [process for process in running if process.exitcode]
        errors = sorted(folder.glob("error.*"))  # whoever wrote one may still hang on its way out
        if failed or errors or time.monotonic() > deadline:
            said = "\n".join(path.read_text() for path in errors)
            raise RunFailed(f"{job}: {said or ('a process died' if failed else 'it hangs')}")
        running = [process for process in running if process.exitcode is None]


def _end(processes: list[SpawnProcess]) -> None:
    for process in processes:
        if process.pid is not None:
            process.kill()
            process.join()
            process.close()


def _result(
    job: Job, folder: Path, facts: tuple[int, int, int, int, list[tuple[int, int, int, int]]], daemon_cpu: float
) -> Result:
    from benchmarks.harness import _native

    start_ns, end_ns, cpu_ns, frames, lines = facts
    if any(state != _native.STATE_DONE or received != frames + job.warmup for state, received, _, _ in lines):
        raise RunFailed(
            f"{job}: {frames} frames sent, received {[received - job.warmup for _, received, _, _ in lines]}"
        )
    until_ns = max((done_ns for _, _, done_ns, _ in lines), default=end_ns)
    return Result(
        job=job,
        frames=frames,
        seconds=(until_ns - start_ns) / 1e9,
        publish_seconds=(end_ns - start_ns) / 1e9,
        publisher_cpu=cpu_ns / 1e9,
        subscribers_cpu=tuple(cpu_ns / 1e9 for _, _, _, cpu_ns in lines),
        daemon_cpu=daemon_cpu,
        latencies_ns=tuple((folder / f"latency.{i}").read_bytes() for i in range(len(lines))) if job.latencies else (),
        costs_ns=(folder / "costs").read_bytes() if job.costs else b"",
    )


# ------------------------------------------------- in the processes of the run


def _board(folder: Path) -> mmap.mmap:
    with (folder / "board").open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


@contextlib.contextmanager
def _reporting(folder: Path, name: str) -> Any:
    try:
        yield
    except BaseException:
        (folder / f"error.{name}").write_text(f"{name}:\n{traceback.format_exc()}")
        raise SystemExit(1) from None


def publisher(job: Job, folder: Path, endpoint: Any) -> None:
    """The publisher's process."""
    with _reporting(folder, "publisher"):
        from benchmarks.harness._native import Gate
        from benchmarks.transports import of

        source = memoryview(bytearray(b"\x5a" * job.size))
        gate = Gate(
            _board(folder),
            subscribers=job.subscribers,
            source=source,
            window=job.window,
            stride=job.stride,
            warmup=job.warmup,
            frames=job.frames,
            seconds=job.seconds,
            rate=job.rate,
            stamps=job.latencies,
            costs=KEPT if job.costs else 0,
        )
        import_module(of(job.transport).module).publish(endpoint, job, gate)
        if job.costs:
            (folder / "costs").write_bytes(gate.costs())


def subscriber(job: Job, folder: Path, endpoint: Any, index: int) -> None:
    """A subscriber's process."""
    with _reporting(folder, f"subscriber-{index}"):
        from benchmarks.harness._native import Check
        from benchmarks.transports import of

        check = Check(
            _board(folder),
            subscribers=job.subscribers,
            index=index,
            size=job.size,
            stride=job.stride,
            warmup=job.warmup,
            latencies=KEPT if job.latencies else 0,
        )
        import_module(of(job.transport).module).subscribe(endpoint, job, index, check)
        if job.latencies:
            (folder / f"latency.{index}").write_bytes(check.latencies())

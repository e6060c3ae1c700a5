"""What outlives a single run: a folder, a private daemon, the way to start processes. Leaves nothing behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import arclyd
from arclyd.control.paths import instance_of

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext
    from types import TracebackType

SHM: Final = Path("/dev/shm")  # noqa: S108 # where the regions are, not a place for files of ours
START_SECONDS: Final = 30.0


class Stage:
    """Context of a benchmark's runs; on leaving it every process is gone, and every region, socket and file."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="arclyd-bench-"))
        self.context: SpawnContext = multiprocessing.get_context("spawn")
        self._daemon: subprocess.Popen[bytes] | None = None
        self._serial = 0

    @property
    def socket(self) -> str:
        """The daemon's control socket, whether it runs or not."""
        return str(self.folder / "control.sock")

    def unique(self) -> str:
        """A name that no other run has."""
        self._serial += 1
        return f"run{self._serial}"

    def daemon(self, config: str = "") -> subprocess.Popen[bytes]:
        """A daemon of our own, started the first time it is asked for; ``config``: its configuration, as TOML."""
        if self._daemon is None:
            self._daemon = self._start(config)
        return self._daemon

    def _start(self, config: str) -> subprocess.Popen[bytes]:
        file = self.folder / "arclyd.toml"
        file.write_text(config)
        command = [sys.executable, "-m", "arclyd", "serve", "--socket", self.socket, "--config", str(file)]
        with (self.folder / "daemon.log").open("wb") as log:
            daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if daemon.poll() is not None or time.monotonic() > deadline:
                daemon.kill()
                raise RuntimeError(f"no daemon: {(self.folder / 'daemon.log').read_text()}")
            time.sleep(0.02)
        return daemon

    def _answers(self) -> bool:
        try:
            with arclyd.connect(self.socket) as control:
                control.version()
        except arclyd.ArclydError:
            return False
        return True

    def stop_daemon(self) -> None:
        """End the daemon, so that the next one can have another configuration."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(10)
            daemon.kill()
            daemon.wait()

    def __enter__(self) -> Stage:
        # Asked to end, we clean up like after an error.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.stop_daemon()
        for region in SHM.glob(f"arclyd.{instance_of(self.socket)}.*"):
            region.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; fields 14 and 15 of proc(5), counted after the command's name."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

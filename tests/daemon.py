"""Real processes for the tests: an `arclyd serve` on a socket of its own, and Python scripts beside it.

Whatever is started here is ended and reaped here, and no region stays behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TypedDict

from arclyd.client.exchange import Exchange
from arclyd.control.paths import instance_of
from arclyd.errors import ArclydError
from tests.waiting import wait_until

SHARED_MEMORY = Path("/dev/shm")


class Identity(TypedDict, total=False):
    """What `subprocess.Popen` takes to run a process as somebody else."""

    user: int
    group: int
    extra_groups: list[int]


def dropping(user: tuple[int, int] | None, groups: tuple[int, ...] = ()) -> Identity:
    """Run as ``user`` (uid, gid) without root's groups; None: as the test does."""
    return Identity(user=user[0], group=user[1], extra_groups=list(groups)) if user else Identity()


class Daemon:
    """An `arclyd serve` in ``folder``; ``config``: TOML of its configuration file; ``user``: (uid, gid) to run as."""

    def __init__(
        self, folder: Path, config: str = "", user: tuple[int, int] | None = None, python: str = sys.executable
    ) -> None:
        self.folder = folder
        self._python = python
        self._user = dropping(user)
        self.socket = str(folder / "control.sock")
        self.instance = instance_of(self.socket)
        self.config = folder / "arclyd.toml"
        self.config.write_text(textwrap.dedent(config))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """The environment in which this daemon is the default one."""
        inherited = {name: value for name, value in os.environ.items() if name != "RUNTIME_DIRECTORY"}
        return {**inherited, "ARCLYD_SOCKET": self.socket, "PYTHONFAULTHANDLER": "1"}

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote on standard error so far."""
        path = self.folder / "daemon.log"
        return path.read_text() if path.exists() else ""

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [self._python, "-m", "arclyd", "serve", "--socket", self.socket, "--config", str(self.config)]
        with (self.folder / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self.env, stdout=log, stderr=log, cwd=self.folder, **self._user
            )
        wait_until(self._answers, what=f"the daemon to answer; it said: {self.log}")

    def kill(self) -> None:
        """End it as a crash would: kill -9, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def restart(self) -> None:
        """Start it again after `kill` or `stop`; running, it is killed first."""
        self.kill()
        self.start()

    def regions(self) -> list[str]:
        """Names of this daemon's regions in shared memory."""
        return sorted(path.name for path in SHARED_MEMORY.glob(f"arclyd.{self.instance}.*"))

    def clean(self) -> None:
        """End it and remove what its regions left."""
        self.kill()
        for name in self.regions():
            (SHARED_MEMORY / name).unlink(missing_ok=True)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the daemon ended with {self._process.returncode}: {self.log}"
        try:
            Exchange(self.socket, name="test").close()
        except ArclydError:
            return False
        return True


class Script:
    """A Python program in a process of its own, its output in files."""

    def __init__(
        self,
        source: str,
        args: tuple[object, ...],
        *,
        env: dict[str, str],
        folder: Path,
        name: str,
        user: tuple[int, int] | None = None,
        groups: tuple[int, ...] = (),
        python: str = sys.executable,
    ) -> None:
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        command = [python, "-u", "-c", textwrap.dedent(source), *map(str, args)]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command, env=env, stdin=subprocess.PIPE, stdout=out, stderr=err, **dropping(user, groups)
            )
        self.pid = self.process.pid

    @property
    def lines(self) -> list[str]:
        """Whole lines written to standard output so far."""
        text = self._out.read_text()
        return text[: text.rfind("\n") + 1].splitlines()

    @property
    def errors(self) -> str:
        """What it wrote to standard error so far."""
        return self._err.read_text()

    def await_line(self, wanted: str, timeout: float = 60.0) -> str:
        """The first line that starts with ``wanted``, once it is there."""

        def find() -> str | None:
            found = next((line for line in self.lines if line.startswith(wanted)), None)
            assert found or self.process.poll() is None, f"ended with {self.process.returncode}: {self.errors}"
            return found

        found = wait_until(find, timeout=timeout, what=f"the line {wanted!r}")
        assert found is not None
        return found

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for its end; returns the exit code."""
        return self.process.wait(timeout)

    def finish(self, timeout: float = 30.0) -> list[str]:
        """Wait for its end, which must be a success; returns its lines."""
        code = self.wait(timeout)
        assert code == 0, f"exit code {code}: {self.errors}"
        return self.lines

    def reap(self) -> None:
        """End it if it runs, and close its pipe."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # a line it never read
            self.process.stdin.close()


class Spawner:
    """Starts `Script`s; `reap` ends them all."""

    def __init__(self, folder: Path, env: dict[str, str], python: str = sys.executable) -> None:
        self._folder = folder
        self._python = python
        self._env = env
        self._scripts: list[Script] = []

    def __call__(
        self,
        source: str,
        *args: object,
        name: str = "script",
        user: tuple[int, int] | None = None,
        groups: tuple[int, ...] = (),
    ) -> Script:
        """Run ``source`` with ``args`` as ``sys.argv[1:]``; ``user``: as that uid and gid, also in ``groups``."""
        unique = f"{name}-{len(self._scripts)}"
        script = Script(
            source,
            args,
            env=self._env,
            folder=self._folder,
            name=unique,
            user=user,
            groups=groups,
            python=self._python,
        )
        self._scripts.append(script)
        return script

    def reap(self) -> None:
        """End and reap every script."""
        for script in self._scripts:
            script.reap()

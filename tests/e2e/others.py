"""Tests with real other users: who there is (the uids are made up, nobody has them), and what they run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from tests.daemon import dropping
from tests.e2e.reading import READER, WRITER

if TYPE_CHECKING:
    from tests.daemon import Daemon, Script, Spawner

ROOT = Path(__file__).parents[2]
KEY = "live/cam1"
SERVICE = (40001, 40002)
GROUP = (SERVICE[1],)
PUBLISHER, READER_USER = (40003, 40003), (40004, 40004)
STRANGER = (65534, 65534)
OLDEST = json.dumps({"start": "oldest"})


def python_for_all() -> tuple[str, str]:
    """An interpreter that every user can run arclyd with, and its PYTHONPATH; fails where there is none."""
    path = f"{ROOT}:{sysconfig.get_path('purelib')}"
    system = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    told = []
    for python in (sys.executable, system):
        command = [python, "-c", "import arclyd, structlog, msgspec, click, posix_ipc"]
        env = {**os.environ, "PYTHONPATH": path}
        try:
            run = subprocess.run(
                command, env=env, cwd="/", capture_output=True, text=True, check=False, **dropping(STRANGER)
            )
        except OSError as error:
            told.append(f"{python}: {error.strerror}")
            continue
        if run.returncode == 0:
            return python, path
        told.append(f"{python}: {run.stderr}")
    raise AssertionError(f"other users can't run arclyd: {'; '.join(told)}")


def app(*, hardened: bool, more: str = "") -> str:
    """A configuration of small regions."""
    return f'{more}\n[apps."*"]\nring_bytes = "1MiB"\nslots = 512\nhardened = {str(hardened).lower()}\n'


def audit(daemon: Daemon) -> list[dict[str, object]]:
    return [json.loads(line) for line in (daemon.folder / "audit.log").read_text().splitlines()]


def as_publisher(spawn: Spawner, *args: object) -> Script:
    script = spawn(WRITER, KEY, *args, name="writer", user=PUBLISHER, groups=GROUP)
    script.await_line("publishing")
    return script


def as_reader(spawn: Spawner) -> Script:
    script = spawn(READER, KEY, OLDEST, name="reader", user=READER_USER, groups=GROUP)
    script.await_line("attached")
    return script

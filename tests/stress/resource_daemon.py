"""A daemon whose /dev/shm is its own and small: a tmpfs mounted in a mount namespace nobody else sees."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.daemon import Daemon

if TYPE_CHECKING:
    import pytest

SCRIPT = 'mount -t tmpfs -o "size=$0" none /dev/shm && exec "$@"'


def can_mount() -> bool:
    """This user may make a mount namespace and mount in it."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "sh", "-c", SCRIPT, "64k", "true"], check=False).returncode == 0


class SmallMemoryDaemon(Daemon):
    """As `Daemon`, with ``size`` bytes of shared memory; ``env`` and all else as there."""

    def start_small(self, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """Start it in a mount namespace of its own."""
        popen = subprocess.Popen

        def confined(command: list[str], **more: object) -> subprocess.Popen[bytes]:
            return popen(["unshare", "-m", "sh", "-c", SCRIPT, str(size), *command], **more)  # type: ignore[call-overload,no-any-return]

        with monkeypatch.context() as patched:
            patched.setattr(subprocess, "Popen", confined)
            self.start()

    @property
    def shared_memory(self) -> Path:
        """Its /dev/shm, seen from outside (unshare and sh both became the daemon: its pid is theirs)."""
        return Path(f"/proc/{self.pid}/root/dev/shm")

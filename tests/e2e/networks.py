"""Two networks and a cable between them, for what only happens where packets can be lost. That needs root."""

from __future__ import annotations

import shutil
import subprocess
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.daemon import Script, Spawner

HOLD = """
    import ctypes, sys
    assert not ctypes.CDLL(None, use_errno=True).unshare(0x40000000), "no network of its own"  # CLONE_NEWNET
    print("up")
    sys.stdin.readline()
"""

ENTER = """
import ctypes
with open("/proc/{pid}/ns/net") as network:
    assert not ctypes.CDLL(None, use_errno=True).setns(network.fileno(), 0x40000000), "not let in"
"""


class Network:
    """One of them: what is spawned by it lives in it. It ends with the spawner."""

    def __init__(self, spawn: Spawner, address: str) -> None:
        self.address = address
        self._spawn = spawn
        self._holder: Script = spawn(HOLD, name="network")
        self._holder.await_line("up")
        self.pid = self._holder.pid

    def __call__(self, source: str, *args: object, name: str = "script") -> Script:
        """As `Spawner`, inside."""
        return self._spawn(ENTER.format(pid=self.pid) + textwrap.dedent(source), *args, name=name)

    def ip(self, *words: object) -> None:
        """What `ip` does, inside."""
        command = ["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", *map(str, words)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def drop(self, which: str, port: int) -> None:
        """Let no packet out any more whose ``which`` ("sport", "dport") is that TCP port, without a word to anybody."""
        self.ip("rule", "add", "pref", 100, "ipproto", "tcp", which, port, "blackhole")


def joined(spawn: Spawner) -> tuple[Network, Network]:
    """Two networks that reach each other."""
    one, other = Network(spawn, "10.77.0.1"), Network(spawn, "10.77.0.2")
    one.ip("link", "add", "dev", "cable", "type", "veth", "peer", "name", "cable", "netns", other.pid)
    for network in (one, other):
        network.ip("address", "add", f"{network.address}/24", "dev", "cable")
        network.ip("link", "set", "dev", "cable", "up")
    return one, other


def impossible() -> str:
    """Why there can be none here; empty where there can."""
    if missing := [name for name in ("ip", "nsenter", "unshare") if shutil.which(name) is None]:
        return f"{', '.join(missing)} is not installed"
    command = ["unshare", "--net", "ip", "link", "add", "dev", "cable", "type", "veth", "peer", "name", "other"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.stderr.strip() if done.returncode else ""

"""sd_notify and LISTEN_FDS against a real datagram socket and real descriptors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from arclyd.daemon.notify import Notifier, activated_sockets

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("abstract", [False, True])
def test_messages_reach_the_manager(tmp_path: Path, abstract: bool) -> None:
    address = f"@arclyd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + address[1:] if abstract else address)
        manager.settimeout(5)
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
        notifier = Notifier(environ)
        assert (environ, notifier.watchdog_seconds) == ({}, 2.0)
        notifier.ready("3 streams")
        assert manager.recv(4096) == b"READY=1\nSTATUS=3 streams"
        notifier.alive("ok")
        assert manager.recv(4096) == b"WATCHDOG=1\nSTATUS=ok"
        notifier.reloading()
        assert manager.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        notifier.stopping()
        assert manager.recv(4096) == b"STOPPING=1"


def test_without_a_manager_and_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready("x")
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"})
    notifier.ready("x")
    assert notifier.watchdog_seconds == 0, "the watchdog is meant for another process"


def test_sockets_are_taken_by_name(tmp_path: Path) -> None:
    program = """
import os, sys
from arclyd.daemon.notify import activated_sockets
os.dup2(int(sys.argv[1]), 3)  # where sd_listen_fds(3) has them
os.environ["LISTEN_PID"] = str(os.getpid())
found = activated_sockets(os.environ)
print(sorted((name, sock.getsockname(), os.get_inheritable(sock.fileno())) for name, sock in found.items()))
print(any(name.startswith("LISTEN") for name in os.environ))
"""
    path = str(tmp_path / "c.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        run = subprocess.run(
            [sys.executable, "-c", program, str(listener.fileno())],
            env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "control"},
            pass_fds=[listener.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
    assert run.stdout.splitlines() == [str([("control", path, False)]), "False"]


def test_sockets_of_another_process_are_not_ours() -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert activated_sockets(environ) == {}
    assert environ == {}

"""systemd's two small protocols: telling the manager how we are, taking the sockets it holds.

sd_notify(3) is one datagram of ``NAME=value`` lines; sd_listen_fds(3) is three environment
variables and descriptors from 3 on. Without systemd both do nothing.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_FIRST_FD: Final = 3


class Notifier:
    """Speaks to the service manager named by ``NOTIFY_SOCKET``, if there is one."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        # Taken out of the environment: children must not speak in the daemon's name.
        self._address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_seconds = int(microseconds) / 1e6 if microseconds.isdecimal() and meant else 0.0
        """How often the manager wants to hear `alive`, at least; 0: it does not."""

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is complete."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self, status: str) -> None:
        """The loop turns."""
        self._send(f"WATCHDOG=1\nSTATUS={status}" if self.watchdog_seconds else f"STATUS={status}")

    def reloading(self) -> None:
        """A reload began."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(message.encode(), address)
        except OSError:  # a manager that is gone or busy must not stop the daemon; the watchdog tells it soon enough
            return


def activated_sockets(environ: MutableMapping[str, str]) -> dict[str, socket.socket]:
    """Sockets the manager holds for this process, by name (``unknown`` where it gave none)."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdecimal():
        return {}
    found: dict[str, socket.socket] = {}
    for index in range(int(count)):
        fd = _FIRST_FD + index
        os.set_inheritable(fd, False)
        name = names[index] if index < len(names) and names[index] else "unknown"
        found[name] = socket.socket(fileno=fd)
    return found

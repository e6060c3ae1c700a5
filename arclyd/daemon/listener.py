"""The control socket's file: taken over when stale, guarded against a second daemon, removed at the end."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from arclyd.control.paths import check_private
from arclyd.errors import ConfigError, RequestRefused

BACKLOG: Final = 1024
LONGEST: Final = 107
"""Bytes of a Unix socket's path (unix(7)): 108 with the terminating zero."""


class Listener:
    """A listening control socket at ``path``, mode 0660; ``given``: one that systemd holds.

    Raises:
        RequestRefused: another daemon serves it.
        ConfigError: there can't be a socket at that place.
    """

    def __init__(self, path: str, given: socket.socket | None = None) -> None:
        self.path = path
        self._given = given is not None
        self._lock_fd = -1
        if given is not None:
            self.socket = given
            return
        try:
            self._prepare_folder()
            self._lock_fd = _lock(path)
            _remove_stale(path)
            self.socket = _bind(path)
        except OSError as error:
            raise ConfigError("$.server.socket", f"no socket at {path}: {error.strerror}") from error

    def close(self) -> None:
        """Stop listening; the file goes, unless systemd keeps it."""
        self.socket.close()
        if self._given:
            return
        with suppress(OSError):
            Path(self.path).unlink()
        with suppress(OSError):
            Path(_lock_path(self.path)).unlink()
        os.close(self._lock_fd)

    def _prepare_folder(self) -> None:
        if len(os.fsencode(self.path)) > LONGEST:
            raise ConfigError("$.server.socket", f"the path of a Unix socket has at most {LONGEST} bytes: {self.path}")
        folder = Path(self.path).parent
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
        if folder.name == f"arclyd-{os.getuid()}":
            check_private(folder)


def _lock_path(path: str) -> str:
    return f"{path}.lock"


def _lock(path: str) -> int:
    """Hold the lock file beside the socket: it tells a daemon that lives from a socket that was left behind."""
    lock_path = _lock_path(path)
    while True:
        fd = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise RequestRefused(
                f"another arclyd (process {pid or 'unknown'}) serves {path}: stop it, or choose another --socket"
            ) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(fd), Path(lock_path).stat()):
                os.truncate(fd, 0)
                os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
                return fd
        os.close(fd)  # its last holder removed the file just before we locked it


def _remove_stale(path: str) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise ConfigError("$.server.socket", f"{path} is there and no socket")
        Path(path).unlink()


def _bind(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)  # the file is born with mode 0660: there is no moment at which others could connect
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    sock.listen(BACKLOG)
    return sock

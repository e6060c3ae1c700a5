"""Where the control socket is: the same answer for the daemon and its clients."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

from arclyd.errors import DaemonUnavailable

SOCKET_NAME: Final = "control.sock"
SYSTEM_SOCKET: Final = "/run/arclyd/control.sock"
"""Where the system service listens (``RuntimeDirectory=arclyd``)."""


def default_socket(*, serving: bool = False) -> str:
    """Absolute path of the control socket when none is named.

    ``ARCLYD_SOCKET``; ``$RUNTIME_DIRECTORY/control.sock``; ``$XDG_RUNTIME_DIR/arclyd/control.sock``; the system
    service's, where it exists; a directory private to the user under the temporary directory. A client passes
    over a user socket that does not exist in favour of the system service's; a daemon (``serving``) never takes
    the system service's for its own.

    Raises:
        DaemonUnavailable: the private directory belongs to somebody else.
    """
    if named := os.environ.get("ARCLYD_SOCKET"):
        return str(Path(named).absolute())
    if runtime := os.environ.get("RUNTIME_DIRECTORY"):
        return str(Path(runtime.split(":")[0]) / SOCKET_NAME)
    own = _user_socket()
    if not serving and not own.exists() and Path(SYSTEM_SOCKET).exists():
        return SYSTEM_SOCKET
    return str(own)


def instance_of(socket: str) -> str:
    """The 8 hex digits that tell the regions of the daemon on ``socket`` from those of others on the host."""
    return hashlib.sha256(os.fsencode(Path(socket).absolute())).hexdigest()[:8]


def _user_socket() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "arclyd" / SOCKET_NAME
    folder = Path(tempfile.gettempdir()) / f"arclyd-{os.getuid()}"
    check_private(folder)
    return folder / SOCKET_NAME


def check_private(folder: Path) -> None:
    """Refuse a directory in a public place that somebody else made: they could answer in the daemon's name.

    Raises:
        DaemonUnavailable: it is a link, belongs to another user, or others may write in it.
    """
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise DaemonUnavailable(str(folder / SOCKET_NAME), f"{folder} is not private to this user")

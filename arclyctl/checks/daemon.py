"""The control socket and who answers on it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from arclyctl.checks.finding import FAIL, OK, WARN, Finding
from arclyd.control.messages import PROTOCOL_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from arclyd.control.reports import Health, Version


def check_socket(socket: Path) -> Iterator[Finding]:
    """Is the socket there, and are it and its directory safe and usable?"""
    folder = socket.parent
    try:
        yield socket_folder(folder, folder.stat())
        status = socket.stat()
    except OSError as error:
        detail = f"{socket}: {error.strerror}"
        remedy = "start a daemon with `arclyd serve`, or name its socket with --socket or ARCLYD_SOCKET"
        yield Finding("socket", FAIL if isinstance(error, PermissionError) else WARN, detail, remedy)
        return
    yield socket_file(socket, status, usable=os.access(socket, os.R_OK | os.W_OK))


def socket_folder(folder: Path, status: os.stat_result) -> Finding:
    """Could somebody else put his socket in place of the daemon's?"""
    detail = f"{folder} {stat.filemode(status.st_mode)}, user {status.st_uid}, group {status.st_gid}"
    if status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
        return Finding("socket directory", FAIL, f"{detail}: anybody may replace the socket", f"chmod o-w {folder}")
    if status.st_mode & stat.S_IWOTH:
        remedy = "serve in a directory of its own: anybody may take the socket's name while no daemon runs"
        return Finding("socket directory", WARN, detail, remedy)
    return Finding("socket directory", OK, detail)


def socket_file(socket: Path, status: os.stat_result, *, usable: bool) -> Finding:
    """May this user connect, and not just anybody?"""
    detail = f"{socket} {stat.filemode(status.st_mode)}, user {status.st_uid}, group {status.st_gid}"
    if not stat.S_ISSOCK(status.st_mode):
        return Finding("socket", FAIL, f"{socket} is not a socket", "name the daemon's socket with --socket")
    if not usable:
        remedy = f"join its group (usermod -aG with group {status.st_gid}), or use sudo"
        return Finding("socket", FAIL, f"{detail}: not for this user", remedy)
    if status.st_mode & stat.S_IWOTH:
        return Finding("socket", WARN, f"{detail}: any user may connect", f"chmod o-w {socket}")
    return Finding("socket", OK, detail)


def daemon_answers(version: Version) -> Finding:
    """It does."""
    return Finding("daemon", OK, f"arclyd {version.version}, process {version.pid}, answers on {version.socket}")


def daemon_silent(problem: str, *, socket_there: bool) -> Finding:
    """It does not: fine before it was started, wrong where its socket is there."""
    remedy = "start it with `arclyd serve` or `systemctl start arclyd`"
    if socket_there:
        remedy += ": it replaces a socket nobody listens on"
    return Finding("daemon", WARN, problem, remedy)


def versions_match(version: Version, own: str, layout: str) -> Iterator[Finding]:
    """Do this command and the daemon speak the same language, and mean the same bytes?"""
    restart = "restart the older side after the upgrade (streams go on while arclyd restarts)"
    if version.protocol != PROTOCOL_VERSION:
        detail = f"the daemon speaks {version.protocol}, this command {PROTOCOL_VERSION}"
        yield Finding("protocol", FAIL, detail, restart)
    if version.layout.partition(".")[0] != layout.partition(".")[0]:
        yield Finding("layout", FAIL, f"the daemon writes {version.layout}, this build reads {layout}", restart)
    if version.version != own:
        yield Finding("version", WARN, f"the daemon is {version.version}, this command {own}", restart)
    else:
        yield Finding("version", OK, f"{own}, protocol {PROTOCOL_VERSION}, layout {layout}, as the daemon's")


def own_health(health: Health) -> Iterator[Finding]:
    """The daemon's own checks, those that are not healthy named."""
    words = {"healthy": OK, "degraded": WARN, "unhealthy": FAIL}
    bad = [check for check in health.checks if check.status != "healthy"]
    if not bad:
        yield Finding("health", OK, f"{len(health.checks)} checks of the daemon are healthy")
    for check in bad:
        detail = f"{check.name} is {check.status}: {check.detail}"
        yield Finding("health", words.get(check.status, WARN), detail, "see the daemon's log and `arclyctl events`")


def core_build(layout: str, flags: Sequence[str]) -> Finding:
    """How the ring's C core was built: a build made for testing does not belong in service."""
    if flags:
        detail = f"layout {layout}, built with {' '.join(flags)}"
        return Finding("ring core", WARN, detail, "a build for tests: install a release build")
    return Finding("ring core", OK, f"layout {layout}")

"""The units in systemd/ hold what they promise, and the daemon speaks systemd's protocols.

No service manager is started: units are checked by systemd's own tools, the daemon by doing what a manager does,
handing it a listening socket and a notification socket.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
ARCLYD = [sys.executable, "-m", "arclyd"]
SERVICES = {
    "arclyd.service": "serve $ARCLYD_OPTIONS",
    "arclyd-record@.service": "record $ARCLYD_RECORD_OPTIONS %I",
    "arclyd-rtmp.service": "listen rtmp $ARCLYD_RTMP_OPTIONS",
    "arclyd-rtsp.service": "listen rtsp $ARCLYD_RTSP_OPTIONS",
    "arclyd-webrtc.service": "listen webrtc $ARCLYD_WEBRTC_OPTIONS",
    "arclyd-mpegts@.service": "listen mpegts $ARCLYD_MPEGTS_OPTIONS",
    "arclyd-srt.service": "listen srt $ARCLYD_SRT_OPTIONS",
}
ARCLYCTL = [sys.executable, "-m", "arclyctl"]


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (package systemd)")
    return path


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy of the units with a program that exists: `systemd-analyze verify` wants one."""
    for name, command in SERVICES.items():
        service = (UNITS / name).read_text()
        assert f"ExecStart=/usr/bin/arclyd {command}\n" in service
        (tmp_path / name).write_text(service.replace("/usr/bin/arclyd", sys.executable))
    shutil.copy(UNITS / "arclyd.socket", tmp_path)
    return tmp_path


@pytest.mark.parametrize("unit", [*SERVICES, "arclyd.socket"])
def test_systemd_finds_nothing_to_say_about_the_unit(units: Path, unit: str) -> None:
    verify = [tool("systemd-analyze"), "verify", str(units / unit)]
    result = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False)
    # An unknown key or Type= is only a warning with exit code 0.
    assert (result.returncode, result.stderr) == (0, "")


def test_systemd_would_find_something_to_say(units: Path) -> None:
    service = units / "arclyd.service"
    service.write_text(service.read_text().replace("Type=notify", "Type=no-such-type"))
    verify = [tool("systemd-analyze"), "verify", str(service)]
    assert "no-such-type" in subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False).stderr


@pytest.mark.parametrize("unit", SERVICES)
def test_the_service_is_hardly_exposed(units: Path, unit: str) -> None:
    security = [tool("systemd-analyze"), "security", "--offline=true", "--no-pager", str(units / unit)]
    result = subprocess.run(security, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"Overall exposure level for arclyd.*\.service: (\d+\.\d+)", result.stdout)
    assert found, result.stdout + result.stderr
    assert float(found[1]) <= 3.0


@pytest.mark.parametrize("unit", SERVICES)
def test_the_service_keeps_the_streams_when_it_stops(unit: str) -> None:
    settings = settings_of(UNITS / unit)
    # RemoveIPC= (implied by DynamicUser=) would delete the regions with the service.
    assert settings["DynamicUser"] == "no"
    assert settings["RemoveIPC"] == "no"
    assert settings["User"] == "arclyd"


def test_the_service_keeps_its_place_and_knows_its_peers() -> None:
    settings = settings_of(UNITS / "arclyd.service")
    # Without these the socket in the directory would go, and peers' uids would be unreadable.
    assert settings["RuntimeDirectoryPreserve"] == "yes"
    assert settings["PrivateUsers"] == "no"


def test_the_socket_unit_and_the_client_agree_on_the_place() -> None:
    from arclyd.control.paths import SYSTEM_SOCKET  # noqa: PLC0415 - the units' own tests need no arclyd

    assert settings_of(UNITS / "arclyd.socket")["ListenStream"] == SYSTEM_SOCKET


def settings_of(unit: Path) -> dict[str, str]:
    lines = unit.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_user_is_a_system_user_without_a_shell(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    sysusers = [tool("systemd-sysusers"), f"--root={tmp_path}", str(UNITS / "sysusers.d" / "arclyd.conf")]
    subprocess.run(sysusers, check=True, capture_output=True, timeout=60)
    entries = [line.split(":") for line in (tmp_path / "etc" / "passwd").read_text().splitlines()]
    user = next(entry for entry in entries if entry[0] == "arclyd")
    assert int(user[2]) < 1000  # SYS_UID_MAX of Debian is 999: logind cleans up after users above it
    assert user[6].endswith("nologin")


def test_the_runtime_directory_is_made_by_tmpfiles(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    sysusers = [tool("systemd-sysusers"), f"--root={tmp_path}", str(UNITS / "sysusers.d" / "arclyd.conf")]
    subprocess.run(sysusers, check=True, capture_output=True, timeout=60)
    line = (UNITS / "tmpfiles.d" / "arclyd.conf").read_text().splitlines()[-1]
    assert line.split() == ["d", "/run/arclyd", "0750", "arclyd", "arclyd", "-"]
    if os.geteuid() == 0:
        tmpfiles = [tool("systemd-tmpfiles"), f"--root={tmp_path}", "--create", str(UNITS / "tmpfiles.d/arclyd.conf")]
        subprocess.run(tmpfiles, check=True, capture_output=True, timeout=60)
        assert (tmp_path / "run" / "arclyd").stat().st_mode & 0o777 == 0o750


# ------------------------------------------------------------- the protocols


def environment(**extra: str) -> dict[str, str]:
    """That of a service: nothing of a session, nothing of a manager above the tests."""
    dropped = {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "ARCLYD_SOCKET", "RUNTIME_DIRECTORY"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | extra


@contextmanager
def running(command: list[str], log: Path, **extra: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(**extra), stdout=output, stderr=output, process_group=0, cwd=log.parent
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ctl(path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [*ARCLYCTL, *args]
    return subprocess.run(
        command, env=environment(ARCLYD_SOCKET=str(path)), capture_output=True, text=True, timeout=60, check=False
    )


def test_a_first_client_starts_the_daemon_through_its_socket(tmp_path: Path) -> None:
    control, log = tmp_path / "control.sock", tmp_path / "log"
    activate = [tool("systemd-socket-activate"), "--listen", str(control), "--fdname=control"]
    # systemd-socket-activate passes no environment of its own on but for what -E names.
    activate += [f"-E{name}" for name in ("PATH", "HOME", "PYTHONPATH", "PYTHONUNBUFFERED") if name in environment()]
    with running([*activate, *ARCLYD, "serve", "--socket", str(control)], log) as process:
        wait_until(control.exists, what="the listening socket")
        inode = control.stat().st_ino
        result = ctl(control, "version", "--json")
        assert result.returncode == 0, result.stderr + log.read_text()
        assert f'"pid": {process.pid}' in result.stdout, "socket-activate becomes the daemon: same pid"
        assert control.stat().st_ino == inode, "the daemon took the socket it was given and made none of its own"
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: process.poll() is not None, what="the daemon's end")
        assert process.returncode == 0, log.read_text()
        assert control.exists(), "the socket is systemd's: the daemon does not remove it"


@contextmanager
def notification_socket(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(30)
        yield receiver


def next_states(receiver: socket.socket) -> list[str]:
    return receiver.recv(4096).decode().splitlines()


def wait_for_state(receiver: socket.socket, state: str) -> list[str]:
    """Every state told before ``state``, which must come."""
    before: list[str] = []
    while state not in (states := next_states(receiver)):
        before += states
    return before


def test_the_manager_is_told_when_the_daemon_is_ready_alive_and_stopping(tmp_path: Path) -> None:
    control, log = tmp_path / "control.sock", tmp_path / "log"
    notify = tmp_path / "notify"
    with (
        notification_socket(notify) as receiver,
        running([*ARCLYD, "serve", "--socket", str(control)], log, NOTIFY_SOCKET=str(notify), WATCHDOG_USEC="400000")
        as process,
    ):  # fmt: skip
        assert "WATCHDOG=1" not in wait_for_state(receiver, "READY=1")
        assert ctl(control, "ls").returncode == 0, "ready means that it answers"
        wait_for_state(receiver, "WATCHDOG=1")
        wait_for_state(receiver, "WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        wait_for_state(receiver, "RELOADING=1")
        wait_for_state(receiver, "READY=1")
        process.send_signal(signal.SIGTERM)
        wait_for_state(receiver, "STOPPING=1")
        wait_until(lambda: process.poll() is not None, what="the daemon's end")
        assert process.returncode == 0, log.read_text()


def test_a_stopped_daemon_feeds_no_watchdog(tmp_path: Path) -> None:
    control, log = tmp_path / "control.sock", tmp_path / "log"
    notify = tmp_path / "notify"
    with (
        notification_socket(notify) as receiver,
        running([*ARCLYD, "serve", "--socket", str(control)], log, NOTIFY_SOCKET=str(notify), WATCHDOG_USEC="400000")
        as process,
    ):  # fmt: skip
        wait_for_state(receiver, "READY=1")
        wait_for_state(receiver, "WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: stopped(process.pid), what="the daemon to stand still")
        drain(receiver)
        receiver.settimeout(2)
        with pytest.raises(TimeoutError):
            next_states(receiver)
        process.send_signal(signal.SIGCONT)
        receiver.settimeout(30)
        wait_for_state(receiver, "WATCHDOG=1")


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def drain(receiver: socket.socket) -> None:
    receiver.setblocking(False)
    try:
        while True:
            receiver.recv(4096)
    except BlockingIOError:
        receiver.setblocking(True)

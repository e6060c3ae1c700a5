"""A new daemon among other users' streams, squatters in shared memory, the audit log, the socket's folder."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.ring import region
from tests.daemon import SHARED_MEMORY, Daemon, Spawner, dropping
from tests.e2e.others import (
    GROUP,
    KEY,
    PUBLISHER,
    READER_USER,
    SERVICE,
    STRANGER,
    as_publisher,
    as_reader,
    audit,
)
from tests.e2e.reading import READER, dense, seen
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users"),
]

MODES = pytest.mark.parametrize("hardened", [False, True], ids=["named", "hardened"])

# -------------------------------------------------------------- a new daemon


@MODES
def test_a_stream_of_other_users_outlives_the_daemon(guarded: Daemon, spawn_as: Spawner, hardened: bool) -> None:
    publisher, reader = as_publisher(spawn_as), as_reader(spawn_as)
    for _ in range(2):
        guarded.kill()
        before = len(seen(reader))
        wait_until(lambda before=before: len(seen(reader)) > before + 50, what="frames without a daemon")
        guarded.start()
        with arclyd.connect() as control:
            wait_until(lambda: publishes(control, publisher.pid), what="the publisher to be back")
            wait_until(lambda: len(control.subscribers(KEY)) == 1, what="the reader to be back")
            assert control.info(KEY).region.startswith("memfd:") == hardened
    late = spawn_as(READER, KEY, name="late", user=READER_USER, groups=GROUP)
    wait_until(lambda: seen(late), what="a joiner's first frame after the restart")
    publisher.kill()
    with arclyd.connect() as control:
        wait_until(lambda: "interrupted" in control.info(KEY).state, what="the lock to be free: nobody else keeps it")
        next_one = as_publisher(spawn_as)
        assert next_one.lines[0] == "publishing 2"
        head = control.info(KEY).head
        wait_until(lambda: seen(reader)[-1].seq > head, what="the reader to go on with the next publisher")
        control.end(KEY)
    for each in (reader, late):
        assert each.finish()[-1] == "end ended 0"
        assert dense([frame.seq for frame in seen(each)])


def publishes(control: arclyd.Control, pid: int) -> bool:
    try:
        info = control.info(KEY)
    except arclyd.StreamNotFound:
        return False
    return info.publisher is not None and info.publisher.connected and info.publisher.pid == pid


# ------------------------------------------------------------------ squatters


@pytest.mark.parametrize("user", [SERVICE, None], ids=["service", "root"])
def test_what_others_put_into_shared_memory_is_neither_used_nor_removed(
    service: Callable[..., Daemon], place: Path, user: tuple[int, int] | None
) -> None:
    daemon = service("", user)
    daemon.kill()
    owner = user or (0, 0)
    prefix = SHARED_MEMORY / f"arclyd.{daemon.instance}.live@"
    precious = place / "precious"
    precious.write_bytes(b"precious" * 1024)
    os.chown(precious, *owner)
    foreign = {name: Path(f"{prefix}{name}") for name in ("file.1", "half.2.new", "link.3", "pipe.4", "region.5")}
    own_link = Path(f"{prefix}own.6")
    try:
        foreign["file.1"].write_bytes(b"x" * 8192)
        foreign["half.2.new"].write_bytes(b"")
        foreign["link.3"].symlink_to(precious)
        os.mkfifo(foreign["pipe.4"], 0o666)
        made = region.create("00000000", "live/region", region.RegionSpec(ring_bytes=1 << 16, slots=64))
        (SHARED_MEMORY / made.name.lstrip("/")).rename(foreign["region.5"])
        for path in foreign.values():
            os.chown(path, *STRANGER, follow_symlinks=False)
        own_link.symlink_to(precious)
        os.chown(own_link, *owner, follow_symlinks=False)
        daemon.start()
        assert all(os.path.lexists(path) for path in foreign.values())
        assert not os.path.lexists(own_link), "a link of the service's own is rubbish, what it points to is not"
        assert precious.read_bytes() == b"precious" * 1024
        with arclyd.connect() as control:
            assert not control.list_streams()
        told = {str(line["region"]): line["event"] for line in audit(daemon) if "region" in line}
        assert told == {
            **{f"/{path.name}": "left_alone" for path in foreign.values()},
            f"/{own_link.name}": "removed",
        }
    finally:
        for path in (*foreign.values(), own_link):
            path.unlink(missing_ok=True)


def test_a_region_whose_name_was_taken_over_goes_without_harm_to_the_taker(guarded: Daemon) -> None:
    with arclyd.Publisher(KEY, [arclyd.Track.video("h264")]), arclyd.connect() as control:
        path = SHARED_MEMORY / control.info(KEY).region.lstrip("/")
        path.unlink()
        path.write_bytes(b"mine")
        os.chown(path, *STRANGER)
    try:
        with arclyd.connect() as control:
            wait_until(lambda: not control.list_streams(), what="the stream's end")
        assert path.read_bytes() == b"mine"
    finally:
        path.unlink()


# ------------------------------------------------------------------ the log


def test_the_audit_log_says_who_did_what(guarded: Daemon, spawn_as: Spawner) -> None:
    first = as_publisher(spawn_as)
    rival = spawn_as(TRY_KEY, "reject", user=READER_USER, groups=GROUP)
    assert rival.finish() == ["AlreadyPublishing"]
    second = as_publisher(spawn_as, "dict(on_taken='replace')")
    reader = as_reader(spawn_as)
    with arclyd.connect() as control:
        control.kick(KEY, control.subscribers(KEY)[0].id)
        assert reader.finish()[-1].startswith("end kicked")
        control.kick(KEY, 0)
        control.end(KEY)
    me = {"by": os.getpid(), "by_uid": 0}
    publisher, watcher = PUBLISHER[0], READER_USER[0]
    deeds = [
        {name: line.get(name) for name in ("event", "pid", "uid", "by", "by_uid", "key")} for line in audit(guarded)
    ]

    def deed(event: str, pid: int, uid: int, **by: int) -> dict[str, object]:
        return {"event": event, "pid": pid, "uid": uid, "by": None, "by_uid": None, "key": KEY, **by}

    wanted = [
        deed("publish_started", first.pid, publisher),
        deed("refused", rival.pid, watcher),
        deed("publish_replaced", first.pid, publisher, by=second.pid, by_uid=publisher),
        deed("publish_resumed", second.pid, publisher),
        deed("joined", reader.pid, watcher),
        deed("kicked", reader.pid, watcher, **me),
        deed("kicked", second.pid, publisher, **me),
        deed("publish_interrupted", second.pid, publisher),
    ]
    assert deeds[:-1] == wanted
    assert (deeds[-1]["event"], deeds[-1]["by"], deeds[-1]["by_uid"]) == ("publish_ended", os.getpid(), 0)


TRY_KEY = """
    import sys
    import arclyd

    try:
        arclyd.Publisher("live/cam1", [arclyd.Track.video("h264")], on_taken=sys.argv[1])
    except arclyd.ArclydError as error:
        print(type(error).__name__)
"""


def test_the_audit_log_is_only_ever_appended_to(guarded: Daemon) -> None:
    path = guarded.folder / "audit.log"
    arclyd.Publisher(KEY, [arclyd.Track.video("h264")]).close()
    wait_until(lambda: audit(guarded)[-1:] and audit(guarded)[-1]["event"] == "publish_ended", what="the end's line")
    assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (SERVICE[0], 0o640)
    info = Path(f"/proc/{guarded.pid}/fdinfo/{descriptor_of(guarded, path)}").read_text()
    flags = int(next(line for line in info.splitlines() if line.startswith("flags:")).split()[1], 8)
    assert flags & os.O_APPEND
    before = path.read_bytes()
    guarded.stop()
    guarded.start()
    arclyd.Publisher(KEY, [arclyd.Track.video("h264")]).close()
    wait_until(lambda: path.stat().st_size > len(before), what="the lines of the next run")
    assert path.read_bytes().startswith(before)
    path.rename(path.with_suffix(".1"))
    os.kill(guarded.pid, signal.SIGHUP)
    wait_until(path.exists, what="a new file after the rotation")


def descriptor_of(daemon: Daemon, path: Path) -> str:
    """Which of the daemon's descriptors is ``path``; others may be closed while this looks."""
    for fd in Path(f"/proc/{daemon.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(fd) == str(path):
                return fd.name
    raise AssertionError(f"{path} is not open")


# --------------------------------------------------------------- the socket


def test_the_socket_and_its_folder_are_for_the_service_and_its_group(guarded: Daemon) -> None:
    status = Path(guarded.socket).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (*SERVICE, 0o660)


@pytest.mark.parametrize("trap", ["folder", "link", "open"])
def test_a_folder_that_somebody_else_prepared_is_not_used(place: Path, python: str, trap: str) -> None:
    place.chmod(0o1777)
    folder = place / f"arclyd-{SERVICE[0]}"
    elsewhere = place / "elsewhere"
    elsewhere.mkdir(mode=0o777)
    if trap == "link":
        folder.symlink_to(elsewhere)
    else:
        folder.mkdir()
        os.chown(folder, *(STRANGER if trap == "folder" else SERVICE))
        folder.chmod(0o777)
    drop = ("ARCLYD_SOCKET", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")
    env = {name: value for name, value in os.environ.items() if name not in drop}
    for command in (["-m", "arclyd", "serve"], ["-c", "import arclyd; arclyd.connect()"]):
        run = subprocess.run(
            [python, *command],
            env={**env, "TMPDIR": str(place)},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **dropping(SERVICE),
        )
        assert run.returncode != 0
        assert "is not private to this user" in run.stderr
    assert list(elsewhere.iterdir()) == []

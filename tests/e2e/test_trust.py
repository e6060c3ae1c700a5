"""What the service's user, members of its group and strangers can do, tried by real other users, in both modes."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

import arclyd
from tests.daemon import SHARED_MEMORY, Daemon, Spawner
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
from tests.e2e.reading import seen
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become other users"),
]

MODES = pytest.mark.parametrize("hardened", [False, True], ids=["named", "hardened"])

# ------------------------------------------------------------ who gets in

TRY_ALL = """
    import sys
    import arclyd

    def attempt(what, deed):
        try:
            deed()
        except arclyd.ArclydError as error:
            print(what, type(error).__name__, error)
        else:
            print(what, "done")

    video = [arclyd.Track.video("h264")]
    attempt("claim", lambda: arclyd.Publisher("live/mine", video).close())
    attempt("attach", lambda: arclyd.Subscriber("live/cam1").close())
    attempt("look", lambda: arclyd.connect().list_streams())
    attempt("kick", lambda: arclyd.connect().kick("live/cam1", 0))
"""


def test_a_stranger_does_not_even_reach_the_socket(guarded: Daemon, spawn_as: Spawner) -> None:
    as_publisher(spawn_as)
    lines = spawn_as(TRY_ALL, user=STRANGER).finish()
    assert [line.split()[:2] for line in lines] == [
        [what, "DaemonUnavailable"] for what in ("claim", "attach", "look", "kick")
    ]
    assert all("uid 65534 may not open it, only the service's user and its group" in line for line in lines)
    assert not [line for line in audit(guarded) if line["event"] == "refused"]


def test_a_stranger_who_reaches_the_socket_is_refused_by_its_credentials(guarded: Daemon, spawn_as: Spawner) -> None:
    as_publisher(spawn_as)
    Path(guarded.socket).chmod(0o666)  # an operator's mistake
    script = spawn_as(TRY_ALL, user=STRANGER)
    lines = script.finish()
    assert [line.split()[:2] for line in lines] == [
        [what, "Unauthorized"] for what in ("claim", "attach", "look", "kick")
    ]
    assert all("uid 65534 is neither the service's user nor in its group" in line for line in lines)
    refused = [line for line in audit(guarded) if line["event"] == "refused"]
    assert [line["request"] for line in refused] == ["publish", "subscribe", "list_streams", "kick"]
    assert {(line["pid"], line["uid"], line["code"]) for line in refused} == {(script.pid, 65534, "unauthorized")}


@pytest.mark.parametrize("member", [(40005, SERVICE[1]), SERVICE, (0, 0)], ids=["gid", "service", "root"])
def test_the_group_the_service_and_root_may(guarded: Daemon, spawn_as: Spawner, member: tuple[int, int]) -> None:
    as_publisher(spawn_as)
    lines = spawn_as(TRY_ALL, user=member).finish()
    assert lines == ["claim done", "attach done", "look done", "kick done"]


def test_a_publisher_can_not_lie_about_who_it_is(guarded: Daemon, spawn_as: Spawner) -> None:
    liar = as_publisher(spawn_as, "dict(name='root', metadata={'publisher_addr': 'pid 1 uid 0'})")
    reader = as_reader(spawn_as)
    with arclyd.connect() as control:
        info = control.info(KEY)
        assert info.publisher is not None
        assert (info.publisher.pid, info.publisher.uid) == (liar.pid, PUBLISHER[0])
        (subscriber,) = control.subscribers(KEY)
        assert (subscriber.pid, subscriber.uid) == (reader.pid, READER_USER[0])
    deeds = {line["event"]: (line["pid"], line["uid"]) for line in audit(guarded)}
    assert deeds["publish_started"] == (liar.pid, PUBLISHER[0])
    assert deeds["joined"] == (reader.pid, READER_USER[0])


# ------------------------------------------- what a reader holds, and what not

GET_FD = """
    import ctypes, errno, fcntl, mmap, os, sys
    from arclyd.client.exchange import Exchange
    from arclyd.control.messages import Subscribe

    seat = Exchange(os.environ["ARCLYD_SOCKET"])
    answer = seat.ask_fds(Subscribe("live/cam1"))
    (fd,) = answer.fds
    size = os.fstat(fd).st_size
    path = f"/proc/self/fd/{fd}"

    def attempt(what, deed):
        try:
            deed()
        except OSError as error:
            print(what, errno.errorcode[error.errno])
        else:
            print(what, "done")
"""

ESCAPES = (
    GET_FD
    + """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    base = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)

    def mprotect():
        if libc.mprotect(base, size, mmap.PROT_READ | mmap.PROT_WRITE):
            raise OSError(ctypes.get_errno(), "mprotect")

    attempt("mmap", lambda: mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE))
    attempt("mprotect", mprotect)
    attempt("write", lambda: os.pwrite(fd, b"x", 0))
    attempt("ftruncate", lambda: os.ftruncate(fd, 0))
    attempt("truncate", lambda: os.truncate(path, 0))
    attempt("reopen", lambda: os.open(path, os.O_RDWR))
    attempt("reopen-read", lambda: os.open(path, os.O_RDONLY))
    attempt("chmod", lambda: os.fchmod(fd, 0o666))
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_RDWR)
    print("access", fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE)
    attempt("lock", lambda: fcntl.fcntl(fd, 37, __import__("struct").pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)))
"""
)


OWNERS = (
    GET_FD
    + """
    attempt("reopen", lambda: os.open(path, os.O_RDWR))
    attempt("grow", lambda: os.truncate(path, size + 1))
"""
)


@MODES
def test_a_readers_descriptor_and_mapping_can_not_be_made_writable(
    guarded: Daemon, spawn_as: Spawner, hardened: bool
) -> None:
    as_publisher(spawn_as)
    tried = dict(line.split() for line in spawn_as(ESCAPES, user=READER_USER, groups=GROUP).finish())
    assert tried == {
        "mmap": "EACCES",
        "mprotect": "EACCES",
        "write": "EBADF",
        "ftruncate": "EINVAL",
        "truncate": "EACCES",
        "reopen": "EACCES",
        "reopen-read": "EACCES",
        "chmod": "EPERM",
        "access": "0",
        "lock": "EBADF",
    }


@MODES
def test_the_services_own_user_is_trusted_but_for_the_size(guarded: Daemon, spawn_as: Spawner, hardened: bool) -> None:
    as_publisher(spawn_as)
    tried = dict(line.split() for line in spawn_as(OWNERS, user=SERVICE).finish())
    assert tried["reopen"] == "done", "documented: mode 0600 does not keep out the owner"
    assert tried["grow"] == ("EPERM" if hardened else "done")


@MODES
def test_no_name_leads_to_a_hardened_region(guarded: Daemon, spawn_as: Spawner, hardened: bool) -> None:
    as_publisher(spawn_as)
    with arclyd.connect() as control:
        name = control.info(KEY).region
    if hardened:
        assert name.startswith(f"memfd:arclyd.{guarded.instance}.live@cam1.")
        assert guarded.regions() == []
        return
    assert guarded.regions() == [name.lstrip("/")]
    status = (SHARED_MEMORY / name.lstrip("/")).stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (SERVICE[0], 0o600)


# ------------------------------------------------------ the publisher's size

CUT = """
    import ctypes, errno, os, sys
    import arclyd
    from arclyd.client.claim import Claim

    kept = []
    real = arclyd.client.claim._map
    arclyd.client.claim._map = lambda fd: (kept.append(os.dup(fd)), real(fd))[1]
    pub = arclyd.Publisher("live/cam1", [arclyd.Track.video("h264")])
    n = 0
    for line in sys.stdin:
        if line == "publish\\n":
            pub.publish(0, b"x" * 1000, pts=n, keyframe=True)
            n += 1
            print("published", n)
            continue
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        size = os.fstat(kept[0]).st_size
        try:
            if line == "truncate\\n":
                os.ftruncate(kept[0], 0)
            elif libc.fallocate(kept[0], 3, 0, size):  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
                raise OSError(ctypes.get_errno(), "fallocate")
        except OSError as error:
            print("tried", errno.errorcode[error.errno])
        else:
            print("tried done")
"""


@MODES
def test_a_publisher_truncates_its_region_under_a_reader(guarded: Daemon, spawn_as: Spawner, hardened: bool) -> None:
    publisher = spawn_as(CUT, name="cutter", user=PUBLISHER, groups=GROUP)
    publisher.say("publish")
    publisher.await_line("published 1")
    reader = as_reader(spawn_as)
    wait_until(lambda: seen(reader), what="the first frame")
    publisher.say("truncate")
    if hardened:
        publisher.await_line("tried EPERM")
        publisher.say("publish")
        wait_until(lambda: len(seen(reader)) == 2, what="the next frame")
        publisher.kill()
        with arclyd.connect() as control:
            wait_until(lambda: "interrupted" in control.info(KEY).state, what="the interruption")
        return
    publisher.await_line("tried done")
    reader.signal(signal.SIGCONT)
    assert reader.wait() == -signal.SIGBUS, "the hole that named memory leaves"
    wait_until(lambda: not alive(guarded), what="the guarded, which maps the region, too, to be hit")
    publisher.kill()
    guarded.restart()
    assert guarded.regions() == [], "what is left of it is no region"
    as_publisher(spawn_as)


def streams_published(control: arclyd.Control) -> list[str]:
    return [stream.key for stream in control.list_streams() if "publishing" in stream.state]


def alive(daemon: Daemon) -> bool:
    status = Path(f"/proc/{daemon.pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("hardened", [True], ids=["hardened"])
def test_holes_in_a_hardened_region_are_garbage_not_a_signal(
    guarded: Daemon, spawn_as: Spawner, hardened: bool
) -> None:
    publisher = spawn_as(CUT, name="cutter", user=PUBLISHER, groups=GROUP)
    publisher.say("publish")
    publisher.await_line("published 1")
    reader = as_reader(spawn_as)
    wait_until(lambda: seen(reader), what="the first frame")
    publisher.say("punch")
    publisher.await_line("tried done")
    publisher.kill()
    with arclyd.connect() as control:
        wait_until(lambda: not streams_published(control), what="the publisher's death to be seen")
    assert alive(guarded)
    assert reader.process.poll() in (None, 0, 1)

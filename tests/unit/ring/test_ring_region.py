"""Regions as named objects: making, finding and removing them, running out of space, the writer's lock."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from arclyd.errors import NoSpace, RegionCorrupt
from arclyd.ring import _ring, region
from arclyd.ring._ring import Region
from tests.native.building import unavailable
from tests.unit.ring.rings import Ring, python, run_python
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SMALL = region.RegionSpec(ring_bytes=16 << 10, slots=8)


@pytest.fixture
def spawn() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a script; returns once it has printed a line. Whatever is left at the end is killed and reaped."""
    started: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            python(script, *arguments), stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        assert line(process.stdout)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


# --------------------------------------------------------------------- names


def test_names_tell_instance_key_and_serial(instance: str) -> None:
    made = [region.create(instance, key, SMALL) for key in ("live/cam1", "live/cam1", "a.b/c~low")]
    for file in made:
        app, name = file.key.split("/")
        assert re.fullmatch(rf"/arclyd\.{instance}\.{re.escape(app)}@{re.escape(name)}\.[0-9a-f]{{8}}", file.name)
        assert file.name.endswith(file.region_id[:8])
        assert file.size == SMALL.size == Path("/dev/shm", file.name[1:]).stat().st_size
    assert region.list_names(instance) == sorted(file.name for file in made)
    assert set(region.list_names(instance)) <= set(region.list_names())
    assert region.list_names("00000000") == []
    region.unlink(made[0].name)
    region.unlink(made[0].name)
    assert made[0].name not in region.list_names(instance)


def test_a_made_region_is_as_ordered(instance: str) -> None:
    spec = region.RegionSpec(
        ring_bytes=(20 << 10) + 1, slots=9, gop_frames=1, gop_bytes=2, gop_ms=3, base_seq=1000, base_epoch=4
    )
    ring = Ring(region.create(instance, "live/test", spec))
    attached = ring.readonly()
    assert (attached.key, attached.region_id.hex()) == ("live/test", ring.file.region_id)
    assert (attached.ring_bytes, attached.slots, attached.size) == (24 << 10, 9, spec.size)
    assert (attached.base_seq, attached.head, attached.epoch) == (1000, 1000, 4)
    assert attached.gop_limits == (1, 2, 3)
    assert attached.layout == (_ring.LAYOUT_MAJOR, _ring.LAYOUT_MINOR)
    assert (attached.max_frame, attached.max_config, attached.max_tracks) == (3 << 10, 4032, 16)
    assert (attached.state, attached.closed, attached.subscribers) == (_ring.STATE_NEW, 0, 0)


def test_a_region_is_its_owners_and_fully_backed(instance: str) -> None:
    file = region.create(instance, "live/test", SMALL)
    status = Path("/dev/shm", file.name[1:]).stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_blocks * 512 >= file.size


@pytest.mark.parametrize(("ring_bytes", "slots"), [(0, 8), (1 << 39, 8), (1 << 20, 1), (1 << 20, 1 << 23)])
def test_sizes_out_of_range_make_nothing(instance: str, ring_bytes: int, slots: int) -> None:
    with pytest.raises(ValueError, match="ring_bytes"):
        region.create(instance, "live/test", region.RegionSpec(ring_bytes, slots))
    assert region.list_names(instance) == []


def test_a_failed_making_leaves_nothing(instance: str, open_fds: None) -> None:
    with pytest.raises(ValueError, match="key"):
        region.create(instance, "live/" + "k" * 200, SMALL)
    with pytest.raises(ValueError, match="base sequence"):
        region.create(instance, "live/test", region.RegionSpec(16 << 10, 8, base_seq=1 << 62))
    assert region.list_names(instance) == []


def test_descriptors_are_closed_on_exec_and_read_only_ones_read_only(ring: Ring) -> None:
    for opened in (region.open_writable(ring.file.name), region.open_readonly(ring.file.name)):
        assert not os.get_inheritable(opened)
        os.close(opened)
    fd = region.open_readonly(ring.file.name)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(fd, b"x")
    os.close(fd)


def test_formatting_checks_what_it_formats() -> None:
    size = _ring.region_size(ring_bytes=16 << 10, slots=8)
    fd = os.memfd_create("region")
    os.ftruncate(fd, size - 1)
    with pytest.raises(ValueError, match="shorter"):
        _ring.format_region(fd, key="live/test", ring_bytes=16 << 10, slots=8)
    os.ftruncate(fd, size)
    with pytest.raises(ValueError, match="region id"):
        _ring.format_region(fd, key="live/test", ring_bytes=16 << 10, slots=8, region_id=b"x" * 17)
    assert not any(os.pread(fd, size, 0))
    _ring.format_region(fd, key="live/test", ring_bytes=16 << 10, slots=8)
    assert Region(fd).region_id == bytes(16)
    os.close(fd)


def test_crc32c_is_the_published_one() -> None:
    assert _ring.crc32c(b"") == 0
    assert _ring.crc32c(b"123456789") == 0xE3069283
    assert _ring.crc32c(memoryview(b"56789"), _ring.crc32c(b"1234")) == 0xE3069283
    data = bytes(range(256)) * 3
    for cut in range(0, len(data), 37):
        assert _ring.crc32c(data[cut:], _ring.crc32c(data[:cut])) == _ring.crc32c(data)


def test_the_installed_build_breaks_no_rule() -> None:
    assert _ring.BUILD_FLAGS == ()


# --------------------------------------------------------------------- space


def test_a_full_shared_memory_is_an_error_that_names_the_remedy(instance: str) -> None:
    script = """
        import os, sys
        from arclyd.errors import NoSpace
        from arclyd.ring import region
        held = [region.create(sys.argv[1], "live/small", region.RegionSpec(16 << 10, 8))]
        try:
            region.create(sys.argv[1], "live/large", region.RegionSpec(8 << 20, 64))
        except NoSpace as error:
            print(error)
            print(error.needed > 8 << 20, error.available < 2 << 20, os.listdir("/dev/shm") == [held[0].name[1:]])
        """
    if shutil.which("unshare") is None or os.geteuid() != 0:
        unavailable("a small /dev/shm needs unshare(1) and root")
    mount = 'mount --make-rprivate / && mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", *python(script, instance)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in done.stderr or "mount:" in done.stderr:
        unavailable(f"no mount namespace of its own: {done.stderr.strip()}")
    sentence, facts = done.stdout.splitlines()
    assert "/dev/shm" in sentence
    assert "remount,size=" in sentence
    assert "ring_bytes" in sentence
    assert facts == "True True True"


def test_more_than_there_is_takes_nothing(instance: str, open_fds: None) -> None:
    before = region.free_space()
    with pytest.raises(NoSpace):
        region.create(instance, "live/huge", region.RegionSpec(1 << 38, 8))
    assert region.list_names(instance) == []
    assert region.free_space() > before - (64 << 20)


def test_a_half_made_region_is_never_seen(instance: str) -> None:
    script = """
        import os, signal, sys
        from types import SimpleNamespace
        from arclyd.ring import _ring, region
        def die(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGKILL)
        region._ring = SimpleNamespace(region_size=_ring.region_size, format_region=die)
        region.create(sys.argv[1], "live/test", region.RegionSpec(16 << 10, 8))
        """
    assert run_python(script, instance).returncode == -signal.SIGKILL
    (left,) = region.list_names(instance)
    assert region.is_unfinished(left)
    fd = region.open_readonly(left)
    with pytest.raises(RegionCorrupt, match="still being made"):
        Region(fd)
    os.close(fd)
    file = region.create(instance, "live/test", SMALL)
    assert not region.is_unfinished(file.name)
    assert set(region.list_names(instance)) == {left, file.name}


# ---------------------------------------------------------------------- lock

HOLD = """
    import sys, time
    from arclyd.ring import region
    fd = region.open_writable(sys.argv[1])
    print(region.lock(fd), flush=True)
    time.sleep(1000)
    """


def test_one_description_holds_the_lock(ring: Ring) -> None:
    first, second, looker = (region.open_writable(ring.file.name) for _ in range(3))
    assert not region.lock_held(looker)
    assert region.lock(first)
    assert region.lock(first)
    assert not region.lock(second)
    assert region.lock_held(second)
    assert region.lock_held(looker)
    assert not region.lock_held(first)
    copy = os.dup(first)
    os.close(first)
    assert region.lock_held(looker)
    os.close(looker)  # unlike with POSIX locks, closing another descriptor of the file loses nothing
    assert region.lock_held(second)
    os.close(copy)
    assert region.lock(second)
    os.close(second)


def test_a_read_only_descriptor_sees_the_lock(ring: Ring) -> None:
    holder, looker = region.open_writable(ring.file.name), region.open_readonly(ring.file.name)
    assert not region.lock_held(looker)
    assert region.lock(holder)
    assert region.lock_held(looker)
    os.close(holder)
    assert not region.lock_held(looker)
    os.close(looker)


def test_a_stopped_holder_keeps_the_lock_and_a_killed_one_does_not(
    ring: Ring, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    holder = spawn(HOLD, ring.file.name)
    fd = region.open_writable(ring.file.name)
    os.kill(holder.pid, signal.SIGSTOP)
    wait_until(lambda: state_of(holder.pid) == "T", what="the holder to stop")
    assert region.lock_held(fd)
    assert not region.lock(fd)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert not region.lock_held(fd)
    assert region.lock(fd)
    os.close(fd)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_forked_child_that_closes_the_descriptor_does_not_keep_the_lock(
    ring: Ring, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    script = """
        import os, sys, time
        from arclyd.ring import region
        fd = region.open_writable(sys.argv[1])
        assert region.lock(fd)
        os.register_at_fork(after_in_child=lambda: os.close(fd))
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(told, b"x")
            time.sleep(1000)
        os.read(ready, 1)
        print(child, flush=True)
        time.sleep(1000)
        """
    process = subprocess.Popen(python(script, ring.file.name), stdout=subprocess.PIPE, text=True)
    child = int(line(process.stdout))
    try:
        fd = region.open_writable(ring.file.name)
        assert region.lock_held(fd)
        process.kill()
        process.wait()
        os.kill(child, 0)  # it lives
        assert region.lock(fd)
        os.close(fd)
    finally:
        process.kill()
        process.wait()
        os.kill(child, signal.SIGKILL)
        assert process.stdout is not None
        process.stdout.close()


def test_a_hundred_want_the_lock_and_one_gets_it(ring: Ring) -> None:
    descriptors = [region.open_writable(ring.file.name) for _ in range(100)]
    assert sum(region.lock(fd) for fd in descriptors) == 1
    for fd in descriptors:
        os.close(fd)
    assert sys.platform == "linux"  # elsewhere there are no such locks

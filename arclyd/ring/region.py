"""Regions as objects of shared memory: their names, their making and removal, their lock.

A region's name is ``/arclyd.<instance>.<app>@<name>.<serial>``: the instance tells the regions of several
daemons on one host apart, the serial those of one key that followed each other. A *sealed* region (`create_sealed`)
is in no directory and can't change its size; what it is called shows in ``/proc`` only, as ``memfd:arclyd.…``.
What is inside a region is the business of the C core; here it is a file descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import struct
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import posix_ipc

from arclyd.errors import NoSpace, RegionCorrupt
from arclyd.ring import _ring

DIRECTORY: Final = Path("/dev/shm")  # noqa: S108 -- where Linux keeps POSIX shared memory objects
PREFIX: Final = "arclyd."
_UNFINISHED: Final = ".new"
SEALED: Final = "memfd:"
"""What the kernel puts before the name of an object that is in no directory."""
PAGE: Final = 4096
DEFAULT_RING_BYTES: Final = 32 << 20
DEFAULT_SLOTS: Final = 8192


@dataclass(frozen=True, slots=True)
class RegionSpec:
    """What a region is made to: sizes in bytes, ``gop_*`` bounds of a joinable GOP (0: none)."""

    ring_bytes: int = DEFAULT_RING_BYTES
    slots: int = DEFAULT_SLOTS
    gop_frames: int = 0
    gop_bytes: int = 0
    gop_ms: int = 0
    crc: bool = False
    base_seq: int = 0
    base_epoch: int = 0

    @property
    def whole_ring_bytes(self) -> int:
        """``ring_bytes`` rounded up to whole pages: what is really made."""
        return -(-self.ring_bytes // PAGE) * PAGE

    @property
    def size(self) -> int:
        """Bytes of the whole region. Raises `ValueError` for sizes out of range."""
        return _ring.region_size(ring_bytes=self.whole_ring_bytes, slots=self.slots)


@dataclass(frozen=True, slots=True)
class RegionFile:
    """A region that stands: ``name`` with its slash, ``region_id`` as 32 hex digits, ``size`` in bytes.

    The name of a sealed one begins with `SEALED` and opens nothing.
    """

    name: str
    key: str
    region_id: str
    size: int


def region_name(instance: str, key: str, serial: str) -> str:
    """The object name of a region of ``key``."""
    return f"/{PREFIX}{instance}.{key.replace('/', '@')}.{serial}"


class Memory:
    """Memory reserved for a region of ``key``: ``size`` bytes behind ``fd``, given back unless a region is made of it.

    Reserving is what takes long (a second for some GiB) and does not hold the interpreter's lock; `create` and
    `create_sealed` of what is reserved take no longer than of a small one. ``sealed``: for `create_sealed`.

    Raises:
        NoSpace: shared memory can't hold it.
    """

    def __init__(self, instance: str, key: str, size: int, *, sealed: bool = False) -> None:
        self.region_id = secrets.token_bytes(16)
        self.name = region_name(instance, key, self.region_id[:4].hex())
        self.size, self.sealed = size, sealed
        if sealed and size > (available := _available_memory()):  # nothing like the size of /dev/shm would stop it
            raise NoSpace(size, available, "memory")
        self.fd = _memfd(self.name.lstrip("/")) if sealed else _named(self.name + _UNFINISHED)
        self._give_back = weakref.finalize(self, _give_back, self.fd, None if sealed else self.name + _UNFINISHED)
        try:
            _reserve(self.fd, size)
        except BaseException:
            self._give_back()
            raise

    def keep(self) -> int:
        """A region was made of it: the descriptor is the caller's."""
        self._give_back.detach()
        return self.fd


def _named(name: str) -> int:
    return int(posix_ipc.SharedMemory(name, posix_ipc.O_CREX, mode=0o600).fd)


def _give_back(fd: int, name: str | None) -> None:
    os.close(fd)
    if name is not None:
        unlink(name)


def create(instance: str, key: str, spec: RegionSpec, memory: Memory | None = None) -> RegionFile:
    """Make a region: memory reserved, formatted, then named; nobody ever sees half of one.

    ``memory``: what was reserved for it, if anything was.

    Raises:
        NoSpace: shared memory can't hold it.
        ValueError: sizes out of range.
    """
    memory = memory or Memory(instance, key, spec.size)
    _format(memory.fd, key, spec, memory.region_id)
    _path(memory.name + _UNFINISHED).rename(_path(memory.name))
    os.close(memory.keep())
    return RegionFile(memory.name, key, memory.region_id.hex(), memory.size)


# F_SEAL_WRITE would stop the writer there is, F_SEAL_FUTURE_WRITE the next one: a publisher that returns and a daemon
# that restarts both map a region writable that others read already. F_SEAL_SEAL: nobody adds one of them later.
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_MFD_NOEXEC_SEAL: Final = 0x0008  # linux/memfd.h, from 6.3 on; hosts may demand it (vm.memfd_noexec)


def create_sealed(instance: str, key: str, spec: RegionSpec, memory: Memory | None = None) -> tuple[RegionFile, int]:
    """Make a region without a name, whose size nobody can change; returns it with its one descriptor, read-write.

    Only the user that made it can open it anew from a descriptor of it (mode 0600). Otherwise as `create`.
    """
    memory = memory or Memory(instance, key, spec.size, sealed=True)
    _format(memory.fd, key, spec, memory.region_id)
    fcntl.fcntl(memory.fd, fcntl.F_ADD_SEALS, _SEALS)
    return RegionFile(SEALED + memory.name.lstrip("/"), key, memory.region_id.hex(), memory.size), memory.keep()


def _memfd(name: str) -> int:
    try:
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.fchmod(fd, 0o600)
    return fd


def _available_memory() -> int:
    """Bytes that can be had without swapping; all there are where the kernel's figure is hidden."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def is_sealed(fd: int) -> bool:
    """Whether the object keeps its size, whatever anyone does."""
    try:
        return fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:  # no memory object at all
        return False


def sealed_name(fd: int) -> str:
    """The name of a region that `create_sealed` made under this user id, from a descriptor of its writer's.

    Raises:
        RegionCorrupt: it is something else, or a reader's. Nobody but the maker's user can make it pass.
    """
    status, target = os.fstat(fd), str(Path(f"/proc/self/fd/{fd}").readlink())
    if not is_sealed(fd) or not target.startswith("/" + SEALED):
        raise RegionCorrupt("descriptor", "not sealed shared memory")
    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDWR:
        raise RegionCorrupt("descriptor", "not writable: a reader's")
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) != 0o600:
        raise RegionCorrupt("descriptor", f"it belongs to uid {status.st_uid}, or others may open it")
    return target.removeprefix("/").removesuffix(" (deleted)")


def reopen(fd: int, mode: int) -> int:
    """A new open file description of the object behind ``fd``: by the descriptor, for a name may be gone."""
    return os.open(f"/proc/self/fd/{fd}", mode | os.O_CLOEXEC)


def _format(fd: int, key: str, spec: RegionSpec, region_id: bytes) -> None:
    _ring.format_region(
        fd,
        key=key,
        ring_bytes=spec.whole_ring_bytes,
        slots=spec.slots,
        base_seq=spec.base_seq,
        base_epoch=spec.base_epoch,
        gop_frames=spec.gop_frames,
        gop_bytes=spec.gop_bytes,
        gop_ms=spec.gop_ms,
        crc=spec.crc,
        region_id=region_id,
    )


def _reserve(fd: int, size: int) -> None:
    """Back every page with memory now, so that none can be missing later (a SIGBUS for whoever touches it)."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.ENOMEM, errno.EFBIG}:
            raise NoSpace(size, free_space(), str(DIRECTORY)) from error
        raise


def _path(name: str) -> Path:
    return DIRECTORY / name.lstrip("/")


def open_writable(name: str) -> int:
    """A new open file description of the region, read-write: what a writer's lock belongs to."""
    return os.open(_path(name), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


def open_own(name: str) -> int:
    """As `open_writable`, of a region that this user made.

    Raises:
        RegionCorrupt: somebody else's, or no memory at all: its owner could take it away from under a mapping.
    """
    if not is_own(name):
        raise RegionCorrupt("owner", "it belongs to another user")
    fd = open_writable(name)
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
        return fd
    os.close(fd)
    raise RegionCorrupt("file", "not a shared memory object")


def is_own(name: str) -> bool:
    """Whether the name is this user's. /dev/shm is sticky: then nobody but this user can make it another file."""
    return _path(name).lstat().st_uid == os.geteuid()


def open_readonly(name: str) -> int:
    """A new open file description of the region that can't be mapped writable."""
    return os.open(_path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def unlink(name: str) -> bool:
    """Take the name away; mappings of it live on. False: another user has it now, and it stays."""
    with suppress(FileNotFoundError, posix_ipc.ExistentialError):
        if not is_own(name):
            return False
        posix_ipc.unlink_shared_memory(name)
    return True


def list_names(instance: str | None = None) -> list[str]:
    """Names of the regions there are, of one daemon or of all; those still being made end in ``.new``."""
    prefix = f"{PREFIX}{instance}." if instance else PREFIX
    return sorted(f"/{entry.name}" for entry in os.scandir(DIRECTORY) if entry.name.startswith(prefix))


def is_unfinished(name: str) -> bool:
    """Whether its maker died, or is still at it."""
    return name.endswith(_UNFINISHED)


def free_space() -> int:
    """Bytes that shared memory can still take."""
    status = os.statvfs(DIRECTORY)
    return status.f_bavail * status.f_frsize


# An open-file-description lock (fcntl(2), F_OFD_SETLK) belongs to the description, not to the process: the kernel
# drops it when the last descriptor of it goes, however its holder dies. struct flock on Linux, 64-bit:
_FLOCK: Final = struct.Struct("hhqqi4x")
_F_OFD_GETLK: Final = 36
_F_OFD_SETLK: Final = 37


def lock(fd: int) -> bool:
    """Take the writer's lock for this open file description; False: another one holds it."""
    try:
        fcntl.fcntl(fd, _F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def unlock(fd: int) -> None:
    """Give the writer's lock back. Closing the descriptor is not enough: a mapping holds the description, too."""
    fcntl.fcntl(fd, _F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))


def lock_held(fd: int) -> bool:
    """Whether another open file description holds the writer's lock: whether the writer lives."""
    answer = fcntl.fcntl(fd, _F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)

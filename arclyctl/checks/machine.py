"""The machine: shared memory, memory and file limits, clocks, what systemd removes at logout."""

from __future__ import annotations

import os
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arclyctl import units
from arclyctl.checks.finding import FAIL, OK, WARN, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
ROOMY_REGIONS: Final = 4
"""Free room, in regions of default size, from which shared memory counts as roomy."""
ENOUGH_FILES: Final = 1024
"""Open files a daemon with some hundred connections needs: one each, and one for each stream."""
GOOD_CLOCKS: Final = frozenset({"tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen"})
"""Clock sources read without a system call."""
FIRST_USER_UID: Final = 1000
"""Below are system users, whose shared memory systemd leaves alone (login.defs UID_MIN)."""


@dataclass(frozen=True, slots=True)
class Space:
    """Room in a file system, in bytes."""

    total: int
    free: int
    inodes_free: int
    writable: bool
    kind: str


def check_machine(region_bytes: int) -> Iterator[Finding]:
    """All of it. ``region_bytes``: size of a region of default size."""
    yield shared_memory(read_space(SHARED_MEMORY), region_bytes)
    yield memory_limit(*read_memory_limit(), region_bytes)
    yield file_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    yield size_limit(resource.getrlimit(resource.RLIMIT_FSIZE)[0], region_bytes)
    yield clock_source(
        _first_line(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        time.get_clock_info("monotonic").resolution,
    )
    yield huge_pages(_first_line(Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")))
    if Path("/run/systemd/system").is_dir():
        yield remove_ipc(os.getuid(), _logind_settings())


def shared_memory(space: Space | None, region_bytes: int) -> Finding:
    """Is there room for streams?"""
    name = "shared memory"
    if space is None:
        return Finding(name, FAIL, f"{SHARED_MEMORY} is not there", f"mount -t tmpfs tmpfs {SHARED_MEMORY}")
    detail = (
        f"{units.size(space.free)} of {units.size(space.total)} free in {SHARED_MEMORY} ({space.kind}): "
        f"room for {space.free // region_bytes} streams of default size"
    )
    if not space.writable:
        return Finding(name, FAIL, f"{SHARED_MEMORY} is not writable for this user", f"chmod 1777 {SHARED_MEMORY}")
    if space.free < region_bytes or not space.inodes_free:
        return Finding(name, FAIL, detail, _more_room(space, region_bytes))
    if space.kind not in {"tmpfs", "ramfs", "?"}:
        return Finding(name, WARN, detail, f"{SHARED_MEMORY} should be a tmpfs: media would be written to a disk")
    if space.free < ROOMY_REGIONS * region_bytes:
        return Finding(name, WARN, detail, _more_room(space, region_bytes))
    return Finding(name, OK, detail)


def _more_room(space: Space, region_bytes: int) -> str:
    wanted = -(-(space.total + ROOMY_REGIONS * region_bytes) // (1 << 20))
    return (
        f"mount -o remount,size={wanted}M {SHARED_MEMORY} (in a container: --shm-size={wanted}m), "
        "a smaller ring_bytes, or remove what is stale below"
    )


def memory_limit(limit: int | None, used: int, region_bytes: int) -> Finding:
    """Does the control group leave room? Regions count as memory of who made them."""
    if limit is None:
        return Finding("memory limit", OK, "no limit by a control group")
    left = max(0, limit - used)
    detail = f"{units.size(left)} of the control group's {units.size(limit)} left; regions count against it"
    if left < region_bytes:
        remedy = "raise the group's memory limit (systemd: MemoryMax=) or set a smaller ring_bytes"
        return Finding("memory limit", WARN, detail, remedy)
    return Finding("memory limit", OK, detail)


def file_limit(soft: int) -> Finding:
    """May a process open enough files?"""
    if soft in (resource.RLIM_INFINITY, -1):
        return Finding("open files", OK, "no limit")
    if soft < ENOUGH_FILES:
        remedy = f"ulimit -n {ENOUGH_FILES * 64} (systemd: LimitNOFILE=)"
        return Finding("open files", WARN, f"at most {soft} a process", remedy)
    return Finding("open files", OK, f"at most {soft} a process")


def size_limit(soft: int, region_bytes: int) -> Finding:
    """May a process make an object as large as a region?"""
    if soft in (resource.RLIM_INFINITY, -1) or soft >= region_bytes:
        return Finding("file size", OK, "no limit in the way of a region")
    detail = f"at most {units.size(soft)}, a region of default size has {units.size(region_bytes)}"
    return Finding("file size", FAIL, detail, "ulimit -f unlimited (systemd: LimitFSIZE=infinity)")


def clock_source(source: str, resolution: float) -> Finding:
    """Is reading the clock, which every frame does, cheap and fine?"""
    detail = f"{source or 'unknown'}, monotonic resolution {units.seconds(resolution)}"
    if resolution > 1e-3:
        return Finding("clock", WARN, detail, "lags and ages are no finer than that: boot with highres=on")
    if source and source not in GOOD_CLOCKS:
        remedy = "reading it needs a system call for every frame: prefer tsc (boot parameter clocksource=tsc)"
        return Finding("clock", WARN, detail, remedy)
    return Finding("clock", OK, detail)


def huge_pages(setting: str) -> Finding:
    """For information only: huge pages for shared memory."""
    chosen = re.search(r"\[(.*?)\]", setting)
    return Finding("huge pages", OK, f"shmem_enabled is {chosen[1] if chosen else 'not known'} (either is fine)")


def remove_ipc(uid: int, settings: str) -> Finding:
    """Does systemd-logind delete this user's regions when the last session ends?"""
    found = re.findall(r"^\s*RemoveIPC\s*=\s*(\w+)", settings, re.MULTILINE)
    removes = not found or found[-1].lower() in {"yes", "true", "on", "1"}
    if uid < FIRST_USER_UID or not removes:
        return Finding("logout", OK, "shared memory of this user outlives its sessions")
    detail = f"systemd-logind deletes shared memory of user {uid} when its last session ends (RemoveIPC=yes)"
    remedy = "run arclyd as the system user of its unit, `loginctl enable-linger`, or RemoveIPC=no in logind.conf"
    return Finding("logout", WARN, detail, remedy)


def read_space(folder: Path) -> Space | None:
    """Room in the file system of ``folder``; None where it is not there."""
    try:
        stats = os.statvfs(folder)
    except OSError:
        return None
    inodes = stats.f_favail if stats.f_files else 1  # tmpfs with nr_inodes=0 counts none
    return Space(
        total=stats.f_blocks * stats.f_frsize,
        free=stats.f_bavail * stats.f_frsize,
        inodes_free=inodes,
        writable=os.access(folder, os.W_OK | os.X_OK),
        kind=_file_system(folder),
    )


def _file_system(folder: Path) -> str:
    """Type of the file system mounted on ``folder``; ``?`` where nothing is mounted on it (proc(5))."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return "?"
    kinds = [fields[2] for fields in mounts if len(fields) > 2 and fields[1] == str(folder)]
    return kinds[-1] if kinds else "?"


def read_memory_limit(
    root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc/self/cgroup")
) -> tuple[int | None, int]:
    """The tightest memory limit of this process's control groups and what is used of it, in bytes.

    Version 2 (``memory.max``) and version 1 (``memory.limit_in_bytes``), every level up to the root.
    """
    tightest: int | None = None
    used = 0
    for folder, limit_name, usage_name in _memory_groups(root, proc):
        limit = _number(folder / limit_name)
        usage = _number(folder / usage_name) or 0
        if limit is not None and (tightest is None or limit - usage < tightest - used):
            tightest, used = limit, usage
    return tightest, used


def _memory_groups(root: Path, proc: Path) -> Iterator[tuple[Path, str, str]]:
    for line in _first_lines(proc):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder == root.parent or not folder.is_relative_to(base):
                break
            yield folder, *names


def _number(file: Path) -> int | None:
    """A limit; None for ``max`` and for version 1's way to say so (a page below 2^63)."""
    text = _first_line(file)
    if not text.isdigit() or int(text) >= 1 << 62:
        return None
    return int(text)


def _logind_settings() -> str:
    folder = Path("/etc/systemd/logind.conf.d")
    files = [Path("/etc/systemd/logind.conf"), *sorted(folder.glob("*.conf"))]
    return "\n".join("\n".join(_first_lines(file)) for file in files)


def _first_line(file: Path) -> str:
    return next(iter(_first_lines(file)), "").strip()


def _first_lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []

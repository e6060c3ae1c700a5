"""Facts about the regions on this host, read from outside: what a tool needs to tell what is wrong with one.

No daemon is asked and nothing is changed: regions are opened read-only, their headers checked, their
writers' locks looked at.
"""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError, LayoutMismatch
from arclyd.ring import region
from arclyd.ring._ring import BUILD_FLAGS, LAYOUT_MAJOR, LAYOUT_MINOR, Region

if TYPE_CHECKING:
    from pathlib import Path

BEING_MADE: Final = 10.0
"""Seconds within which an unfinished region may still be in the making; it takes some milliseconds."""

_NAME: Final = re.compile(r"arclyd\.(?P<instance>[0-9a-f]{8})\.(?P<app>[^@/]+)@(?P<stream>[^@/]+)\.[0-9a-f]{8}(\.new)?")


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """One region as found. ``size`` in bytes; ``layout`` is ``major.minor``, empty where it can't be read.

    ``writer_alive`` is None where the region can't be opened. ``problem`` is empty for a sound region; with
    ``foreign_layout`` it is sound, of a layout this build does not read.
    """

    name: str
    instance: str
    key: str
    size: int
    layout: str
    writer_alive: bool | None
    problem: str = ""
    foreign_layout: bool = False


def list_regions(folder: Path = region.DIRECTORY) -> tuple[RegionFacts, ...]:
    """Every region of every arclyd on this host, by name; one removed meanwhile, or being made, is left out."""
    found = (_facts(entry) for entry in sorted(folder.glob(f"{region.PREFIX}*")))
    return tuple(facts for facts in found if facts is not None)


def is_sealed(name: str) -> bool:
    """Whether a region of that name, as a daemon tells it, is in no directory (its application is hardened)."""
    return name.startswith(region.SEALED)


def supported_layout() -> str:
    """The region layout this build writes, as ``major.minor``."""
    return f"{LAYOUT_MAJOR}.{LAYOUT_MINOR}"


def build_flags() -> tuple[str, ...]:
    """How the C core was built, where that is out of the ordinary."""
    return BUILD_FLAGS


def default_region_bytes() -> int:
    """Size in bytes of a region nobody set a size for."""
    return region.RegionSpec().size


def _facts(entry: Path) -> RegionFacts | None:
    match = _NAME.fullmatch(entry.name)
    instance, key = (match["instance"], f"{match['app']}/{match['stream']}") if match else ("", "")
    facts = RegionFacts(entry.name, instance, key, size=0, layout="", writer_alive=None)
    try:
        status = entry.lstat()
        facts = replace(facts, size=status.st_size)
        if not stat.S_ISREG(status.st_mode):  # opening somebody's pipe would wait for its other end
            return replace(facts, problem="not a shared memory object")
        if region.is_unfinished(entry.name):
            if time.time() - status.st_mtime < BEING_MADE:
                return None
            return replace(facts, writer_alive=False, problem="its making was never finished")
        return _opened(entry, facts)
    except FileNotFoundError:
        return None
    except OSError as error:
        return replace(facts, problem=error.strerror or str(error))


def _opened(entry: Path, facts: RegionFacts) -> RegionFacts:
    fd = os.open(entry, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        facts = replace(facts, writer_alive=region.lock_held(fd))
        major, minor = Region(fd).layout
    except LayoutMismatch as error:
        return replace(facts, layout=error.found, problem=str(error), foreign_layout=True)
    except ArclydError as error:
        return replace(facts, problem=str(error))
    finally:
        os.close(fd)
    return replace(facts, layout=f"{major}.{minor}", problem="" if facts.instance else "not a name arclyd gives")

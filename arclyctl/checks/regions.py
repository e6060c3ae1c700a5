"""What lies in shared memory: regions in use, stale ones, other daemons' leftovers, unreadable ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from arclyctl import units
from arclyctl.checks.finding import FAIL, OK, WARN, Finding
from arclyd.client.inspect import is_sealed
from arclyd.control.paths import instance_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from arclyd.client.inspect import RegionFacts

UNIX_SOCKETS: Final = Path("/proc/net/unix")
LISTENING: Final = 0x10000
"""The flag of a listening socket in that file (``__SO_ACCEPTCON``, linux/net.h)."""


def check_regions(
    regions: Sequence[RegionFacts],
    instance: str,
    used: frozenset[str] | None,
    others: Mapping[str, str],
) -> Iterator[Finding]:
    """Judge every region on the host.

    ``instance`` is that of the daemon asked for, ``used`` the names its streams use (None: it does not
    answer), ``others`` the sockets of further daemons that listen, by instance.
    """
    findings = [finding for facts in regions for finding in _judge(facts, instance, used, others)]
    total = sum(facts.size for facts in regions)
    own = sum(facts.instance == instance for facts in regions)
    detail = f"{len(regions)} on this host, {own} of this daemon, {units.size(total)} in all"
    hidden = sum(is_sealed(name) for name in used or ())
    if hidden:  # of other daemons nobody can tell
        detail += f"; {hidden} of this daemon besides, sealed, without a name in /dev/shm"
    yield Finding("regions", OK, detail)
    yield from findings


def _judge(
    facts: RegionFacts, instance: str, used: frozenset[str] | None, others: Mapping[str, str]
) -> Iterator[Finding]:
    mine = facts.instance == instance
    if facts.problem:
        yield _unusable(facts, mine=mine)
    elif mine:
        yield from _own(facts, used)
    elif facts.instance not in others:
        yield from _leftover(facts)


def _unusable(facts: RegionFacts, *, mine: bool) -> Finding:
    if facts.foreign_layout:
        remedy = f"upgrade the older side; if no process uses it: {removal(facts)}"
        return Finding("layout", FAIL if mine else WARN, f"{facts.name}: {facts.problem}", remedy)
    remedy = f"if no process uses it: {removal(facts)}"
    if facts.writer_alive is None:
        remedy = "look again as its owner, or with sudo"
    return Finding(
        "region", FAIL if mine and facts.writer_alive is not None else WARN, f"{facts.name}: {facts.problem}", remedy
    )


def _own(facts: RegionFacts, used: frozenset[str] | None) -> Iterator[Finding]:
    if used is not None and facts.name in used:
        return
    if facts.writer_alive:
        told = "its publisher writes on; " + ("the daemon does not know it" if used is not None else "no daemon runs")
        remedy = "a daemon started on this socket adopts it" if used is None else "restart arclyd: it adopts it"
        yield Finding("region", WARN, f"{facts.name} ({facts.key}): {told}", remedy)
        return
    why = "no stream uses it" if used is not None else "its writer is gone"
    remedy = f"arclyd removes it when it starts; by hand: {removal(facts)}"
    yield Finding("stale region", WARN, f"{facts.name} ({facts.key}, {units.size(facts.size)}): {why}", remedy)


def _leftover(facts: RegionFacts) -> Iterator[Finding]:
    what = f"{facts.name} ({facts.key}, {units.size(facts.size)})"
    if facts.writer_alive:
        detail = f"{what}: of a daemon that does not listen; its publisher writes on"
        yield Finding("other instance", WARN, detail, "start that daemon again on its socket, or end the publisher")
    else:
        detail = f"{what}: left behind by a daemon that does not listen, its writer is gone"
        yield Finding("leftover", WARN, detail, removal(facts))


def removal(facts: RegionFacts) -> str:
    """The command that removes it. Readers that still map it keep what they have."""
    return f"rm /dev/shm/{facts.name}"


def listening_instances(table: Path = UNIX_SOCKETS) -> dict[str, str]:
    """Sockets somebody listens on, in this network namespace, by the instance a daemon there would have."""
    try:
        lines = table.read_text(errors="surrogateescape").splitlines()[1:]
    except OSError:
        return {}
    rows = (line.split(maxsplit=7) for line in lines)
    paths = (row[7] for row in rows if len(row) == 8 and int(row[3], 16) & LISTENING and row[7].startswith("/"))
    return {instance_of(path): path for path in paths}

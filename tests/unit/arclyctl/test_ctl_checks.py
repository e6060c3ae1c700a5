"""What the doctor makes of what it finds."""

from __future__ import annotations

import os
import resource
import socket
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from arclyctl.checks import daemon, machine, regions
from arclyctl.checks.finding import FAIL, OK, WARN, Finding, worst
from arclyctl.checks.machine import Space
from arclyd.client.inspect import RegionFacts
from arclyd.control.messages import PROTOCOL_VERSION
from arclyd.control.paths import instance_of
from arclyd.control.reports import Check, Health, Version

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1 << 20
REGION = 34 * MIB
ROOMY = Space(total=1000 * MIB, free=900 * MIB, inodes_free=1000, writable=True, kind="tmpfs")
MINE = "0a1b2c3d"
OTHER = "ffffffff"
VERSION = Version("0.1.0", PROTOCOL_VERSION, "1.0", MINE, 99, "/run/arclyd/control.sock", 0)
FACTS = RegionFacts(f"arclyd.{MINE}.live@cam1.00000001", MINE, "live/cam1", REGION, "1.0", writer_alive=True)


def test_the_worst_finding_counts():
    assert worst([]) == OK
    assert worst([Finding("a", OK, ""), Finding("b", WARN, "")]) == WARN
    assert worst([Finding("a", FAIL, ""), Finding("b", WARN, "")]) == FAIL


@pytest.mark.parametrize(
    ("space", "status"),
    [
        (ROOMY, OK),
        (None, FAIL),
        (replace(ROOMY, free=100 * MIB), WARN),
        (replace(ROOMY, free=10 * MIB), FAIL),
        (replace(ROOMY, inodes_free=0), FAIL),
        (replace(ROOMY, writable=False), FAIL),
        (replace(ROOMY, kind="ext4"), WARN),
    ],
)
def test_shared_memory_needs_room_for_a_region(space, status):
    finding = machine.shared_memory(space, REGION)
    assert finding.status == status
    assert bool(finding.remedy) == (status != OK)


def test_the_remedy_for_a_full_shared_memory_makes_room():
    finding = machine.shared_memory(replace(ROOMY, total=64 * MIB, free=10 * MIB), REGION)
    assert "mount -o remount,size=200M /dev/shm" in finding.remedy


@pytest.mark.parametrize(
    ("limit", "used", "status"), [(None, 0, OK), (100 * MIB, 10 * MIB, OK), (100 * MIB, 80 * MIB, WARN)]
)
def test_the_control_groups_memory_counts(limit, used, status):
    assert machine.memory_limit(limit, used, REGION).status == status


def test_the_tightest_memory_limit_of_all_levels_is_read(tmp_path):
    inner = tmp_path / "system.slice" / "arclyd.service"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text(f"{100 * MIB}\n")
    (inner.parent / "memory.current").write_text(f"{30 * MIB}\n")
    proc = tmp_path / "cgroup"
    proc.write_text("0::/system.slice/arclyd.service\n")
    assert machine.read_memory_limit(tmp_path, proc) == (100 * MIB, 30 * MIB)


def test_a_memory_limit_of_version_1_is_read_and_its_no_limit_too(tmp_path):
    group = tmp_path / "memory" / "a"
    group.mkdir(parents=True)
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    (group / "memory.limit_in_bytes").write_text(f"{64 * MIB}\n")
    (group / "memory.usage_in_bytes").write_text(f"{MIB}\n")
    proc = tmp_path / "cgroup"
    proc.write_text("4:memory:/a\n1:cpu:/a\n0::/\n")
    assert machine.read_memory_limit(tmp_path, proc) == (64 * MIB, MIB)
    assert machine.read_memory_limit(tmp_path, tmp_path / "absent") == (None, 0)


def test_limits_of_files_and_sizes():
    assert machine.file_limit(256).status == WARN
    assert machine.file_limit(4096).status == OK
    assert machine.file_limit(resource.RLIM_INFINITY).status == OK
    assert machine.size_limit(MIB, REGION).status == FAIL
    assert machine.size_limit(resource.RLIM_INFINITY, REGION).status == OK


def test_clocks():
    assert machine.clock_source("tsc", 1e-9).status == OK
    assert machine.clock_source("", 1e-9).status == OK
    assert machine.clock_source("hpet", 1e-9).status == WARN
    assert machine.clock_source("tsc", 0.01).status == WARN


def test_huge_pages_are_told_but_never_judged():
    finding = machine.huge_pages("always within_size advise [never] deny force")
    assert (finding.status, "never" in finding.detail) == (OK, True)
    assert machine.huge_pages("").status == OK


@pytest.mark.parametrize(
    ("uid", "settings", "status"),
    [
        (1000, "", WARN),
        (1000, "[Login]\n#RemoveIPC=yes\n", WARN),
        (1000, "RemoveIPC=no\n", OK),
        (1000, "RemoveIPC=no\nRemoveIPC=yes\n", WARN),
        (0, "", OK),
        (998, "RemoveIPC=yes", OK),
    ],
)
def test_logout_deletes_the_regions_of_people_only(uid, settings, status):
    assert machine.remove_ipc(uid, settings).status == status


def test_this_machine_can_be_examined():
    findings = list(machine.check_machine(REGION))
    assert {"shared memory", "memory limit", "open files", "file size", "clock", "huge pages"} <= {
        finding.name for finding in findings
    }


def _status(mode: int, path: Path) -> os.stat_result:
    real = path.stat()
    return os.stat_result((mode, *real[1:10]))


@pytest.mark.parametrize(("mode", "status"), [(0o755, OK), (0o777, FAIL), (0o1777, WARN)])
def test_a_directory_anybody_writes_in_is_no_place_for_the_socket(tmp_path, mode, status):
    assert daemon.socket_folder(tmp_path, _status(stat.S_IFDIR | mode, tmp_path)).status == status


@pytest.mark.parametrize(
    ("mode", "usable", "status"),
    [
        (stat.S_IFSOCK | 0o660, True, OK),
        (stat.S_IFSOCK | 0o666, True, WARN),
        (stat.S_IFSOCK | 0o660, False, FAIL),
        (stat.S_IFREG | 0o660, True, FAIL),
    ],
)
def test_the_socket_is_one_and_for_this_user(tmp_path, mode, usable, status):
    assert daemon.socket_file(tmp_path / "s", _status(mode, tmp_path), usable=usable).status == status


def test_a_socket_that_is_not_there_is_a_warning_with_the_way_to_start(tmp_path):
    *_, finding = daemon.check_socket(tmp_path / "control.sock")
    assert (finding.status, "arclyd serve" in finding.remedy) == (WARN, True)


def test_versions_that_differ():
    assert [one.status for one in daemon.versions_match(VERSION, "0.1.0", "1.3")] == [OK]
    assert [one.status for one in daemon.versions_match(VERSION, "0.2.0", "1.0")] == [WARN]
    other = replace(VERSION, protocol=PROTOCOL_VERSION + 1, layout="2.0", version="9")
    assert [(one.name, one.status) for one in daemon.versions_match(other, "0.1.0", "1.0")] == [
        ("protocol", FAIL),
        ("layout", FAIL),
        ("version", WARN),
    ]


def test_what_the_daemon_says_of_its_health_is_passed_on():
    fine = Health("healthy", (Check("loop", "healthy"), Check("memory", "healthy")))
    assert [one.status for one in daemon.own_health(fine)] == [OK]
    ill = Health("unhealthy", (Check("loop", "degraded", "slow"), Check("memory", "unhealthy", "full")))
    assert [one.status for one in daemon.own_health(ill)] == [WARN, FAIL]


def test_a_core_built_for_tests_is_told():
    assert daemon.core_build("1.0", ()).status == OK
    assert daemon.core_build("1.0", ("no-fence",)).status == WARN


def judged(facts: RegionFacts, used: frozenset[str] | None, others: dict[str, str] | None = None) -> list[Finding]:
    return list(regions.check_regions([facts], MINE, used, others or {}))[1:]


def test_a_region_in_use_needs_no_word():
    assert judged(FACTS, frozenset({FACTS.name})) == []


def test_a_region_no_stream_uses_is_stale_and_removed_by_its_name():
    (finding,) = judged(replace(FACTS, writer_alive=False), frozenset())
    assert (finding.name, finding.status) == ("stale region", WARN)
    assert f"rm /dev/shm/{FACTS.name}" in finding.remedy


def test_a_living_region_the_daemon_does_not_know_is_never_to_be_removed():
    (known,) = judged(FACTS, frozenset())
    (alone,) = judged(FACTS, None)
    assert "rm " not in known.remedy + alone.remedy
    assert "adopts" in known.remedy
    assert "adopts" in alone.remedy


def test_a_dead_region_without_daemon_is_stale():
    (finding,) = judged(replace(FACTS, writer_alive=False), None)
    assert "its writer is gone" in finding.detail


def test_regions_of_a_daemon_that_listens_are_left_alone():
    other = replace(FACTS, instance=OTHER, writer_alive=False)
    assert judged(other, frozenset(), {OTHER: "/run/other.sock"}) == []
    (finding,) = judged(other, frozenset())
    assert (finding.name, finding.status) == ("leftover", WARN)
    (living,) = judged(replace(other, writer_alive=True), frozenset())
    assert "rm " not in living.remedy


def test_unusable_regions():
    broken = replace(FACTS, problem="not a usable region: magic: wrong", layout="", writer_alive=False)
    assert [one.status for one in judged(broken, frozenset())] == [FAIL]
    assert [one.status for one in judged(replace(broken, instance=OTHER), frozenset())] == [WARN]
    foreign = replace(FACTS, problem="layout 9", layout="9.0", foreign_layout=True)
    (finding,) = judged(foreign, frozenset())
    assert (finding.name, finding.status) == ("layout", FAIL)
    (closed,) = judged(replace(FACTS, problem="Permission denied", writer_alive=None), frozenset())
    assert (closed.status, "rm " in closed.remedy) == (WARN, False)


def test_the_summary_counts_regions_and_bytes():
    (first, *_) = regions.check_regions([FACTS, replace(FACTS, instance=OTHER)], MINE, frozenset({FACTS.name}), {})
    assert first.detail == "2 on this host, 1 of this daemon, 68 MiB in all"


def test_a_listening_socket_tells_its_instance(tmp_path):
    path = str(tmp_path / "control.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert instance_of(path) not in regions.listening_instances()
        listener.listen()
        assert regions.listening_instances()[instance_of(path)] == path
    assert regions.listening_instances(tmp_path / "absent") == {}

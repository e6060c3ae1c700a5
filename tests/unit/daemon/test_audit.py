"""The audit log: which events make a line, what a line can't be made to say, floods, and files it refuses."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from arclyd.control.reports import Event
from arclyd.daemon.audit import AUDITED, REFUSALS, AuditLog
from arclyd.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_is_the_event_and_can_not_be_forged(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "audit"), pytest.fail)
    log.write(Event(7, 1_000_123, "kicked", "live/a", {"pid": 3, "seq": 9, "name": 'x"}\n{"event": "ended"\u2028'}))
    log.write(Event(8, 1_000_124, "gap", "live/a", {"missed": 1}))
    log.close()
    log.write(Event(9, 1_000_125, "kicked"))
    (line,) = lines(tmp_path / "audit")
    assert (line["time"], line["seq"], line["event"], line["key"]) == (
        "1970-01-01T00:16:40.123Z",
        7,
        "kicked",
        "live/a",
    )
    assert line["pid"] == 3
    assert "gap" not in AUDITED


def test_refusals_in_a_loop_are_counted_and_other_deeds_are_not_lost(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "audit"), pytest.fail)
    for number in range(REFUSALS + 50):
        log.write(Event(number, 5_000, "refused", "live/a"))
    log.write(Event(1000, 5_999, "kicked", "live/a"))
    log.write(Event(1001, 6_000, "refused", "live/a"))
    log.close()
    told = lines(tmp_path / "audit")
    assert len(told) == REFUSALS + 2
    assert [line.get("suppressed") for line in told[-2:]] == [None, 50]


@pytest.mark.parametrize("what", ["link", "folder", "pipe", "nowhere"])
def test_a_place_that_is_no_file_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "audit"
    if what == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path = tmp_path / "no" / "audit"
    with pytest.raises(ConfigError) as refused:
        AuditLog(str(path), pytest.fail)
    assert str(path) in str(refused.value)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_is_told_once_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    log = AuditLog(str(tmp_path / "audit"), told.append)
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(log, "_fd", full)
    for number in range(3):
        log.write(Event(number, 1, "kicked"))
    log.reopen()
    log.write(Event(4, 1, "kicked"))
    log.close()
    assert told == [f"{tmp_path / 'audit'}: No space left on device"]
    assert len(lines(tmp_path / "audit")) == 1

"""The log: floods are counted, nothing moves the cursor, JSON where systemd listens."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys

import pytest
import structlog

from arclyd.daemon import log
from arclyd.daemon.log import BURST, Throttle


def test_a_flood_becomes_one_counted_line_a_second() -> None:
    now = [0.0]
    throttle = Throttle(lambda: now[0])
    written: list[dict[str, object]] = []

    def write(event: str) -> None:
        with contextlib.suppress(structlog.DropEvent):
            written.append(dict(throttle(None, "info", {"event": event})))

    for n in range(1000):
        now[0] = n / 1000
        write("gap")
    write("joined")
    assert [line["event"] for line in written] == ["gap"] * BURST + ["joined"]
    now[0] = 1.5
    write("gap")
    assert written[-1] == {"event": "gap", "suppressed": 1000 - BURST}
    for _ in range(BURST + 4):
        write("gap")
    assert throttle.flush() == {}
    now[0] = 3
    assert throttle.flush() == {"gap": 5}
    assert throttle.flush() == {}


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    log.configure("info", form, {})
    try:
        log.logger().debug("hidden")
        log.logger().warning("refused", key="live/a", problem="no \x1b[2J way")
    finally:
        structlog.reset_defaults()
    (line,) = out.getvalue().splitlines()
    assert "\x1b" not in line
    if form == "json":
        said = json.loads(line)
        assert (said["event"], said["key"], said["level"]) == ("refused", "live/a", "warning")
    else:
        assert "warning refused key=live/a problem='no \\x1b[2J way'" in line


def test_systemd_is_recognised_by_the_journal_stream(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    status = os.fstat(sys.__stderr__.fileno())  # type: ignore[union-attr] # pytest keeps the real one
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    assert log.under_systemd({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
    assert not log.under_systemd({"JOURNAL_STREAM": "1:1"})
    assert not log.under_systemd({})

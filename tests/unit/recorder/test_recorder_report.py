"""What the recorder says: a line each, floods counted, a table on a terminal."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from arclyd.recorder.report import Report, Status


class Clock:
    """Time that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_is_a_line_and_then_a_count() -> None:
    out, clock = StringIO(), Clock()
    with Report([Status("live/cam")], console=Console(file=out, width=200), clock=clock) as report:
        for _ in range(500):
            report.count("live/cam", "gap: {} frames missed", 10)
        report.count("live/other", "gap: {} frames missed", 3)
        report.tick()
        assert out.getvalue().splitlines() == [
            "arclyd record: live/cam: gap: 10 frames missed",
            "arclyd record: live/other: gap: 3 frames missed",
        ]
        clock.now = 1.0
        report.count("live/cam", "gap: {} frames missed", 10)
        report.tick()
        assert out.getvalue().splitlines()[2:] == ["arclyd record: live/cam: gap: 5,000 frames missed (500 times)"]
        clock.now = 2.5
        report.tick()
        report.count("live/cam", "gap: {} frames missed", 1)
        assert out.getvalue().splitlines()[3:] == ["arclyd record: live/cam: gap: 1 frames missed"]
        report.count("live/cam", "gap: {} frames missed", 2)
    assert out.getvalue().splitlines()[4:] == ["arclyd record: live/cam: gap: 2 frames missed (1 times)"]


def test_quiet_says_only_what_goes_wrong() -> None:
    out = StringIO()
    with Report([], quiet=True, console=Console(file=out)) as report:
        report.say("live/cam", "writing x")
        report.warn("live/cam", "no room\x1b[2J")
    assert out.getvalue() == "arclyd record: live/cam: no room\\x1b[2J\n"


def test_a_terminal_shows_every_stream() -> None:
    out, clock = StringIO(), Clock()
    status = Status("live/cam", "recording", "x.mp4", 3723.9, 2_500_000, 0, 2, 17)
    console = Console(file=out, width=150, force_terminal=True)
    with Report([status], console=console, clock=clock) as report:
        report.tick()
        clock.now, status.total_bytes = 1.0, 250_000
        report.tick()
        row = next(line for line in reversed(out.getvalue().splitlines()) if "live/cam" in line)
    assert row.split() == ["live/cam", "recording", "1:02:03", "2.5", "MB", "2.00", "Mb/s", "2", "17", "x.mp4"]

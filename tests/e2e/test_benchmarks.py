"""The benchmarks themselves: each script runs, at tiny counts, and what it reports is well-formed and complete."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks.__main__ import SCRIPTS
from benchmarks.harness.build import ensure
from benchmarks.harness.job import Job, RunFailed
from benchmarks.harness.report import Report
from benchmarks.harness.stage import Stage
from benchmarks.summary import Run, lines
from benchmarks.transports import TRANSPORTS

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ("arclyd", "C core", "memcpy", "Unix socket", "multiprocessing.Pipe")


@pytest.fixture(scope="module", autouse=True)
def native() -> None:
    ensure()


@pytest.mark.timeout(600)
def test_every_script_reports_whole_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--scale", "tiny", "--out", tmp_path]
    done = subprocess.run(
        [*map(str, command), "--transports", ",".join(INSTALLED)],
        capture_output=True,
        text=True,
        timeout=570,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reports = {name: Report.load(tmp_path / f"{name}.json") for name in SCRIPTS}
    for name, report in reports.items():
        assert report.scale == "tiny"
        assert not [note for note in report.notes if "failed" in note], (name, report.notes)
        assert report.figures
        for each in report.figures:
            assert each.unit
            assert 0 <= each.figure.least <= each.figure.median <= each.figure.most, (name, each)
            assert each.figure.repeats >= 1
    measured = {each.labels["transport"] for each in reports["throughput"].figures if each.figure.median > 0}
    assert measured == set(INSTALLED)
    for what in ("frames received", "all processes"):
        found = reports["fleet"].find(what)
        assert found
        assert found.median > 0
    verdicts = {line.verdict for line in lines(Run.load(tmp_path))}
    assert verdicts <= {"met", "NOT MET", "not measured"}
    assert "What is wanted" in done.stdout


@pytest.mark.parametrize("name", ["multiprocessing.Queue", "shared_memory ring"])
def test_a_transport_that_needs_no_package_delivers_everything(name: str) -> None:
    from benchmarks.harness.run import run

    with Stage() as stage:
        result = run(stage, Job(name, 300, 2, frames=2000, seconds=60.0))
    assert result.frames == 2000
    assert result.rate > 0
    assert len(result.subscribers_cpu) == 2


def test_a_process_that_fails_gives_no_figure() -> None:
    from benchmarks.harness.run import run

    with Stage() as stage, pytest.raises(RunFailed, match="nobody reads it"):
        run(stage, Job("memcpy", 300, 1, frames=10))


def check(size: int) -> tuple[object, bytearray]:
    from benchmarks.harness import _native

    board = bytearray(_native.board_size(1))
    _native.clear_board(board)
    return _native.Check(board, subscribers=1, index=0, size=size, stride=1, warmup=0, latencies=0), board


def frame(number: int, size: int = 64) -> bytes:
    return number.to_bytes(8, "little") + bytes(size - 8)


def test_a_lost_or_repeated_frame_is_an_error() -> None:
    for numbers in ((0, 2), (0, 1, 1), (1,)):
        receive, _ = check(64)
        assert callable(receive)
        with pytest.raises(ValueError, match="where"):
            for number in numbers:
                assert receive(frame(number))


def test_a_frame_of_another_size_is_an_error() -> None:
    receive, _ = check(64)
    assert callable(receive)
    with pytest.raises(ValueError, match="72 bytes, not 64"):
        receive(frame(0, 72))


def test_the_last_frame_ends_the_run() -> None:
    receive, board = check(64)
    assert callable(receive)
    assert receive(frame(0)) is True
    assert receive(frame(1 | 1 << 63)) is False
    from benchmarks.harness import _native

    [(state, received, _, _)] = _native.read_board(board, 1)[4]
    assert (state, received) == (_native.STATE_DONE, 2)


def test_the_publisher_waits_for_the_slowest() -> None:
    from benchmarks.harness import _native

    board, source = bytearray(_native.board_size(2)), bytearray(64)
    _native.clear_board(board)
    receivers = [
        _native.Check(board, subscribers=2, index=index, size=64, stride=1, warmup=0, latencies=0) for index in (0, 1)
    ]
    gate = _native.Gate(
        board, subscribers=2, source=source, window=4, stride=1, warmup=0, frames=100, seconds=60.0, rate=0.0,
        stamps=False, costs=0,
    )  # fmt: skip
    hello = next(gate)
    for receive in receivers:
        assert receive(hello)
    sent: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    received, leads = 0, []

    def publish() -> None:
        for number, source in enumerate(gate, 1):
            leads.append(number - received)
            receivers[0](source)
            sent.put(bytes(source))

    publishing = threading.Thread(target=publish)
    publishing.start()
    while received < 100:
        late = sent.get(timeout=60)
        received += 1  # before the gate can know of it: what it allows is never more than we count
        receivers[1](late)
    publishing.join(60)
    assert len(leads) == 100
    assert max(leads) <= 4


def test_every_transport_has_its_three_functions() -> None:
    for entry in TRANSPORTS.values():
        text = (ROOT / (entry.module.replace(".", "/") + ".py")).read_text()
        assert all(f"def {name}(" in text for name in ("endpoint", "publish", "subscribe")), entry

"""Each acceptance line with what was measured: ``python -m benchmarks.summary`` after a run.

A line that was not measured (a peer is not installed, a short run left the point out) says so. Ratios are of medians
out of the same run.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

from benchmarks.harness.job import MIB
from benchmarks.harness.report import OUT, Report, number, size_name
from benchmarks.transports import PEERS

if TYPE_CHECKING:
    from collections.abc import Iterator

KIB4: Final = 4096
KIB64: Final = 65536


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is wanted; ``value`` None: not measured."""

    wanted: str
    value: float | None
    met: bool
    measured: str = ""

    @property
    def verdict(self) -> str:
        """In a word."""
        return "not measured" if self.value is None else "met" if self.met else "NOT MET"


def at_least(wanted: str, value: float | None, bound: float, measured: str = "") -> Line:
    """A line that asks for ``bound`` or more."""
    return Line(wanted, value, value is not None and value >= bound, measured)


def at_most(wanted: str, value: float | None, bound: float, measured: str = "") -> Line:
    """A line that asks for ``bound`` or less."""
    return Line(wanted, value, value is not None and value <= bound, measured)


@dataclass(frozen=True, slots=True)
class Run:
    """The reports of a folder, looked at by name."""

    reports: dict[str, Report]

    @classmethod
    def load(cls, folder: Path) -> Run:
        """All that are there."""
        return cls({path.stem: Report.load(path) for path in sorted(folder.glob("*.json"))})

    def median(self, script: str, what: str, **labels: str | int) -> float | None:
        """A figure's median; None: not measured."""
        report = self.reports.get(script)
        figure = report.find(what, **labels) if report else None
        return figure.median if figure else None

    def rate(self, transport: str, size: int, subscribers: int) -> float | None:
        """Frames a second."""
        return self.median("throughput", "throughput", transport=transport, size=size, subscribers=subscribers)

    def ratio(self, mine: str, other: str, size: int, subscribers: int) -> float | None:
        """Of two transports at one point."""
        return quotient(self.rate(mine, size, subscribers), self.rate(other, size, subscribers))


def quotient(over: float | None, under: float | None) -> float | None:
    """None where either is missing."""
    return over / under if over is not None and under else None


def against_peers(run: Run) -> Iterator[Line]:
    """1: throughput."""
    for size in (200, KIB4, KIB64):
        for subscribers in (1, 4, 8):
            ratios = {peer: run.ratio("arclyd", peer, size, subscribers) for peer in PEERS}
            known = {peer: ratio for peer, ratio in ratios.items() if ratio is not None}
            closest = min(known, key=lambda peer: known[peer], default="")
            where = f"{size_name(size)}, {subscribers} subscriber{'s'[: subscribers > 1]}"
            yield at_least(f"{where}: ahead of every peer", known.get(closest), 1.0, f"closest: {closest}")
    for size, peer, bound in (
        (200, "pyzmq", 2.5),
        (200, "iceoryx2", 7.0),
        (200, "zenoh", 7.0),
        (200, "zenoh without shm", 7.0),
        *((KIB4, peer, 4.0) for peer in PEERS if peer != "iceoryx2 listener"),
        (KIB64, "iceoryx2", 1.4),
    ):
        yield at_least(f"{size_name(size)}, 1 subscriber: {bound} x {peer}", run.ratio("arclyd", peer, size, 1), bound)
    for subscribers, bound in ((1, 0.9), (4, 1.0), (8, 1.0)):
        ratio = run.ratio("arclyd", "iceoryx2", MIB, subscribers)
        where = f"1 MiB, {subscribers} subscriber{'s'[: subscribers > 1]}"
        yield at_least(f"{where}: {bound} x iceoryx2", ratio, bound)
        spinning = run.ratio("arclyd spinning", "iceoryx2", MIB, subscribers)
        yield at_least(f"{where}: {bound} x iceoryx2, which spins, by readers that do", spinning, bound)


def against_limits(run: Run) -> Iterator[Line]:
    """2: the machine's limit."""
    for size, bound in ((200, 0.6), (KIB4, 0.8), (KIB64, 0.8), (MIB, 0.8)):
        yield at_least(f"{size_name(size)}: {bound} of the C core", run.ratio("arclyd", "C core", size, 1), bound)
    yield at_least("1 MiB: 0.9 of memcpy into the same mapping", run.ratio("arclyd", "memcpy", MIB, 0), 0.9)


def of_latency(run: Run) -> Iterator[Line]:
    """3: latency at 1,000 frames a second."""

    def latency(transport: str, what: str) -> float | None:
        return run.median("latency", f"latency {what}", transport=transport, size=KIB4, subscribers=1)

    mine, core = latency("arclyd", "p50"), latency("C core", "p50")
    over = None if mine is None or core is None else mine - core
    yield at_most("p50 at most 10 us over the C core's", over, 10.0, "us")
    # One that looks all the time is compared with one that does so, too.
    peers = {peer: latency(peer, "p50") for peer in PEERS if peer != "iceoryx2"}
    known = {peer: value for peer, value in peers.items() if value is not None}
    closest = min(known, key=lambda peer: known[peer], default="")
    yield at_most("p50 below every peer that sleeps (1: level)", quotient(mine, known.get(closest)), 1.0, closest)
    spinning = quotient(latency("arclyd spinning", "p50"), latency("iceoryx2", "p50"))
    yield at_most("spinning, p50 below iceoryx2, which always does (1: level)", spinning, 1.0)
    tails = quotient(latency("arclyd", "p99"), latency("Unix socket", "p99"))
    yield at_most("p99 not above the Unix socket's (1: level)", tails, 1.0)
    yield at_most("asyncio p50 at most 2.5 x blocking", quotient(latency("arclyd asyncio", "p50"), mine), 2.5)


def of_costs(run: Run) -> Iterator[Line]:
    """4 and 5: what it costs."""
    sizes = [run.median("receive", "receiving by view", size=size) for size in (MIB, 200)]
    yield at_most("receiving 1 MiB by view at most 1.2 x 200 B", quotient(*sizes), 1.2)
    attach = run.median("attach", "attach to first decodable frame")
    yield at_most("attach to first frame under 2 ms p50", attach, 2.0, "ms")
    idle = run.median("resources", "processor time of a blocked reader")
    yield at_most("blocked reader: at most 10 ms of processor time", idle, 10.0, "ms")
    what = "processor time of the daemon, one stream"
    fast, slow = (run.median("daemon_cost", what, pace=pace) for pace in ("as fast as it goes", "100 frames/s"))
    more = None if fast is None or slow is None else fast - slow
    yield at_most(
        "daemon: flat out at most 5 ms a second over 100 frames/s", more, 5.0, f"{fast} and {slow} ms a second"
    )
    what = "memory of the region, over all processes that map it (PSS)"
    region = [run.median("resources", what, subscribers=count) for count in (4, 1)]
    yield at_most("four subscribers map no more payload than one (ratio)", quotient(*region), 1.02)
    costs = [
        run.median(
            "publish_cost", "publish cost p50", transport="arclyd", subscribers=readers, pace="as fast as it goes"
        )
        for readers in (64, 1)
    ]
    yield at_most("publish with 64 blocked readers at most 3.5 x one", quotient(*costs), 3.5)


def of_fleet(run: Run) -> Iterator[Line]:
    """6: many streams."""
    lost = run.median("fleet", "frames lost", streams=200)
    yield at_most("200 streams x 5 readers: no frame lost", lost, 0.0)
    due = run.median("fleet", "frames received, of what was due", streams=200)
    yield at_least("... at least 99 % of what was due came in time", due, 99.0, "%")
    used = run.median("fleet", "all processes", streams=200)
    processors = run.reports["fleet"].machine["processors"] if "fleet" in run.reports else 2
    yield at_most(f"... the {processors} processors not full", used, float(processors) * 0.95, "processors")


def of_viewers(run: Run) -> Iterator[Line]:
    """7: a packager and who watches."""
    first = run.median("viewers", "first playlist after attaching")
    yield at_most("first playlist within 300 ms of attaching", first, 300.0, "ms")
    released = "playlist released after its part exists, p99"
    alone = run.median("viewers", released, transport="reloads", viewers=500)
    yield at_most("500 viewers have the playlist with a part within 150 ms (p99)", alone, 150.0, "ms")
    beside = run.median("viewers", released, **{"clients that never read": 1000})
    yield at_most("... beside 1,000 clients that never read", beside, 150.0, "ms")


def lines(run: Run) -> list[Line]:
    """All of them, in order."""
    parts = (against_peers, against_limits, of_latency, of_costs, of_fleet, of_viewers)
    return [line for part in parts for line in part(run)]


def show(folder: Path) -> None:
    """Print the table."""
    run = Run.load(folder)
    table = Table(title="What is wanted, and what was measured", title_justify="left")
    table.add_column("wanted")
    table.add_column("measured", justify="right")
    table.add_column("verdict")
    table.add_column("")
    for line in lines(run):
        value = "" if line.value is None else number(line.value)
        table.add_row(line.wanted, value, line.verdict, line.measured if line.value is not None else "")
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for report in list(run.reports.values())[:1]:
        console.print(" ".join(str(value) for value in report.machine.values()), f"({report.scale} run)")


def main() -> int:
    """The folder's summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder with the JSON (%(default)s)")
    show(parser.parse_args().out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

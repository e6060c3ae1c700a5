"""Many live streams at once: 200 of 30 pictures a second at 4 Mb/s, five readers each, on the processors there are.

Four publishing processes, five reading ones with a reader of every stream each, by asyncio. A reader that lost a frame
counts it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import arclyd
from benchmarks.harness.script import Settings, main
from benchmarks.harness.worker import started
from benchmarks.resources import run_seconds

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

    from benchmarks.harness.report import Labels, Measured
    from benchmarks.harness.stage import Stage

FPS: Final = 30
SIZE: Final = 4_000_000 // 8 // FPS
RING: Final = 4 << 20
"""Bytes, eight seconds: 200 rings of the default size would take 6.4 GiB."""
PUBLISHERS: Final = 4
READERS: Final = 5


def publish(socket: str, first: int, count: int, ready: Event, stop: Event) -> None:
    """Publish ``count`` streams, each at its own offset within a frame's time."""
    tracks = [arclyd.Track.video("h264", width=1280, height=720)]
    streams = [
        arclyd.Publisher(f"bench/fleet-{number}", tracks, ring_bytes=RING, socket=socket)
        for number in range(first, first + count)
    ]
    ready.set()
    payload, begun, turn = memoryview(bytearray(SIZE)), time.monotonic(), 0
    while not stop.is_set():
        late = begun + turn / (FPS * count) - time.monotonic()
        if late > 0:
            time.sleep(late)
        picture = turn // count
        streams[turn % count].publish(0, payload, pts=picture * 3000, keyframe=picture % (2 * FPS) == 0)
        turn += 1
    for stream in streams:
        stream.end()


def read(socket: str, count: int, totals: Any, ready: Event, stop: Event) -> None:
    """A reader of every stream; ``totals``: frames received, frames lost."""
    asyncio.run(_read_all(socket, count, totals, ready, stop))


async def _read_all(socket: str, count: int, totals: Any, ready: Event, stop: Event) -> None:
    attached: list[arclyd.AsyncSubscriber] = []

    async def follow(number: int) -> None:
        async with arclyd.AsyncSubscriber(f"bench/fleet-{number}", start="live", socket=socket) as subscriber:
            attached.append(subscriber)
            async for frame in subscriber:
                totals[0] += len(frame) == SIZE

    tasks = [asyncio.create_task(follow(number)) for number in range(count)]
    while not stop.is_set():
        await asyncio.sleep(0.05)
        totals[1] = sum(subscriber.dropped for subscriber in attached)
        if len(attached) == count:
            ready.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def measure(stage: Stage, settings: Settings) -> list[Measured]:
    """All of it at once, for some seconds."""
    from benchmarks.harness.report import Measured
    from benchmarks.harness.series import Figure

    streams, seconds = settings.by_scale(4, 200, 200), settings.by_scale(0.5, 8.0, 60.0)
    daemon, share = stage.daemon(), streams // PUBLISHERS
    totals = [stage.context.Array("Q", 2, lock=False) for _ in range(READERS)]
    with ExitStack() as fleet:
        processes = [
            fleet.enter_context(started(stage, publish, stage.socket, first, share))
            for first in range(0, streams, share)
        ]
        processes += [fleet.enter_context(started(stage, read, stage.socket, streams, total)) for total in totals]
        pids = [process.pid or 0 for process in processes]
        before = {pid: run_seconds(pid) for pid in (*pids, daemon.pid)}
        received, began = sum(total[0] for total in totals), time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - began
        received = sum(total[0] for total in totals) - received
        spent = {pid: (run_seconds(pid) - was) / elapsed for pid, was in before.items()}
    writing, reading = sum(spent[pid] for pid in pids[:PUBLISHERS]), sum(spent[pid] for pid in pids[PUBLISHERS:])
    facts = {
        ("frames received", "a second"): received / elapsed,
        ("frames received, of what was due", "%"): 100 * received / elapsed / (FPS * streams * READERS),
        ("frames lost", "frames"): float(sum(total[1] for total in totals)),
        ("publishers", "processors"): writing,
        ("readers", "processors"): reading,
        ("daemon", "processors"): spent[daemon.pid],
        ("all processes", "processors"): writing + reading + spent[daemon.pid],
    }
    labels: Labels = {"streams": streams, "readers": streams * READERS}
    return [Measured(what, unit, labels, Figure.of([value])) for (what, unit), value in facts.items()]


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

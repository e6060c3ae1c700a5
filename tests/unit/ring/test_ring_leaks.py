"""Nothing grows: objects, references and memory are the same after a hundred thousand frames as after a few."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.errors import ArclydError, EndOfStream
from arclyd.ring import _ring, region
from arclyd.ring._ring import Gap, Reader, Region, Waiter, Writer
from tests.unit.ring.rings import AUDIO, VIDEO, Ring

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = os.sysconf("SC_PAGESIZE")
LOOKS = (
    "counters",
    "tracks",
    "gops",
    "configs",
    "frame",
    "attributes",
    "daemon",
    "daemon refused",
    "attach",
    "attach nonsense",
    "claim",
    "claim refused",
    "claim malformed",
    "publish too large",
    "publish wrong keyword",
    "publish wrong pts",
    "publish no track",
    "config too large",
    "config no track",
    "span refused",
    "span dropped",
    "span",
    "recv_many",
    "receive",
    "receive refused",
    "iterate",
    "wait",
    "waiter",
    "waiter's thread",
    "kick",
    "start refused",
    "gap",
    "crc",
    "sizes refused",
    "lock",
)


def resident() -> int:
    """Bytes of memory that are this process's own, without those it shares."""
    _, total, shared, *_ = Path("/proc/self/statm").read_text().split()
    return (int(total) - int(shared)) * PAGE


def test_a_hundred_thousand_frames_leave_nothing(ring: Ring) -> None:
    writer, reader, payload = ring.writer(), ring.reader("live"), os.urandom(700)

    def pass_on(frames: int) -> None:
        for number in range(frames):
            writer.publish(0, payload, pts=number, dts=number, keyframe=number % 50 == 0)
            if number % 10 == 0:
                with writer.reserve(1, 50) as span:
                    span.buffer[:5] = b"sound"
                    span.commit(5, pts=number)
            if number % 1000 == 0:
                writer.set_config(0, payload)
            while (frame := reader.recv(0)) is not None:
                frame.data.release()
                frame.is_intact()
                frame.tobytes()

    pass_on(5_000)
    gc.collect()
    references, memory = [sys.getrefcount(thing) for thing in (writer, reader, payload, _ring.Frame)], resident()
    pass_on(100_000)
    gc.collect()
    assert [sys.getrefcount(thing) for thing in (writer, reader, payload, _ring.Frame)] == references
    assert resident() - memory < 2 << 20
    assert reader.missed == 0


class Received(_ring.Receiver):
    """Ends where there is nothing more at once."""

    def _frame_after(self, item: object, deadline: float | None, timeout: float | None) -> object:
        del item, deadline, timeout
        raise EndOfStream("ended", "a/b")


class WithoutWaiting:
    """Stands in for a reader."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def recv(self, _timeout_ns: int) -> object:
        return self._reader.recv(0)


def received(region: Region, seq: int) -> Received:
    receiver = Received()
    receiver._reader = WithoutWaiting(Reader(region, ("seq", seq)))
    return receiver


def receive(region: Region, timeouts: list[Any]) -> None:
    receiver = Received()
    receiver._reader = Reader(region, ("seq", region.head - 1))
    receiver.recv()
    for timeout in timeouts:
        receiver._reader.kick(3)
        receiver.recv(timeout)


def looks(ring: Ring) -> dict[str, Callable[[], object]]:
    """Everything else the module does, by name; some of it fails, as it should."""
    looker, writable, writer = ring.readonly(), ring.writable(), ring.writer()
    fd = os.memfd_create("region")
    os.pwrite(fd, os.urandom(5000), 0)

    def attach_nonsense() -> None:
        try:
            Region(fd)
        finally:
            assert fd

    def map_anew() -> None:
        region_ = ring.readonly()
        assert region_.key == "live/test"
        Reader(region_).lag()

    return {
        "counters": looker.counters,
        "tracks": looker.tracks,
        "gops": looker.gops,
        "configs": looker.configs,
        "frame": lambda: looker.frame(looker.head - 1),
        "attributes": lambda: (looker.region_id, looker.layout, looker.gop_limits, looker.state, looker.size),
        "daemon": lambda: (writable.set_subscribers(5), writable.request_keyframe(), writable.grant(0)),
        "daemon refused": lambda: looker.grant(1),
        "attach": map_anew,
        "attach nonsense": attach_nonsense,
        "claim": lambda: Writer(writable, [VIDEO, AUDIO]),
        "claim refused": lambda: Writer(writable, [VIDEO, (9, 0, (1, 1), 0, 0, 0, 0)]),
        "claim malformed": lambda: Writer(writable, [VIDEO, "x"]),  # type: ignore[list-item] # refused is what it is to be
        "publish too large": lambda: writer.publish(0, bytes(1 << 20), pts=0),
        "publish wrong keyword": lambda: writer.publish(0, b"x", pts=0, nonsense=1),  # type: ignore[call-arg] # refused
        "publish wrong pts": lambda: writer.publish(0, b"x", pts="now"),  # type: ignore[arg-type] # refused as well
        "publish no track": lambda: writer.publish(7, b"x", pts=0),
        "config too large": lambda: writer.set_config(0, bytes(1 << 16)),
        "config no track": lambda: writer.set_config(9, b"x"),
        "span refused": lambda: writer.reserve(0, 1 << 30),
        "span dropped": lambda: len(writer.reserve(0, 100).buffer),
        "span": lambda: writer.reserve(0, 100).commit(5, pts=1, keyframe=True),
        "recv_many": lambda: Reader(looker, ("oldest", 0)).recv_many(1000, 0),
        "receive": lambda: receive(looker, [1.0]),
        "receive refused": lambda: receive(looker, ["soon"]),
        "iterate": lambda: [frame.seq for frame in received(looker, 0)],
        "wait": lambda: Reader(looker, ("seq", 5)).wait(0),
        "waiter": lambda: Waiter(Reader(looker, ("seq", 500))).arm(),
        "waiter's thread": lambda: Waiter(Reader(looker, ("seq", 500)), thread=True).arm(),
        "kick": lambda: Reader(looker).kick(3),
        "start refused": lambda: Reader(looker, ("nowhere", 0)),
        "gap": lambda: (Gap(1, 2) == Gap(1, 2), repr(Gap(1, 2)), hash(Gap(3, 4))),
        "crc": lambda: _ring.crc32c(b"x" * 100),
        "sizes refused": lambda: _ring.region_size(ring_bytes=5, slots=5),
        "lock": lambda: os.close(region.open_writable(ring.file.name)),
    }


@pytest.mark.parametrize("name", LOOKS)
def test_everything_else_leaves_nothing_either(ring: Ring, name: str) -> None:
    feeder = ring.writer()
    feeder.set_config(0, b"config")
    for pts in range(50):
        feeder.publish(0, b"x", pts=pts, keyframe=pts % 10 == 0)
    look = looks(ring)[name]

    def often(times: int) -> None:
        for _ in range(times):
            with suppress(ArclydError, TypeError, ValueError):
                look()
        gc.collect()

    often(300)
    descriptors, types = len(os.listdir("/proc/self/fd")), [sys.getrefcount(kind) for kind in (Region, Reader, Writer)]
    tracemalloc.start()
    often(20)
    before, _ = tracemalloc.get_traced_memory()
    often(500)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 500 * 8  # less than a pointer each time
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert [sys.getrefcount(kind) for kind in (Region, Reader, Writer)] == types


def test_every_look_is_looked_at(ring: Ring) -> None:
    assert tuple(looks(ring)) == LOOKS

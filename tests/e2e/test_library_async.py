"""The asyncio face: the same frames, cancellation that loses nothing, no thread left behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.client import async_subscriber
from arclyd.ring import _ring
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Daemon

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = "live/cam1"


@pytest.fixture
def pub(daemon: Daemon) -> arclyd.Publisher:
    return arclyd.Publisher(KEY, [arclyd.Track.data("raw")])


def put(pub: arclyd.Publisher, first: int, count: int = 1) -> None:
    for n in range(first, first + count):
        pub.publish(0, b"%d" % n, pts=n, keyframe=True)


def waiters() -> list[str]:
    """What waits in this process for an event loop: threads and io_urings."""
    found = []
    for place, read in (("task/*/comm", Path.read_text), ("fd/*", Path.readlink)):
        for path in Path("/proc/self").glob(place):
            with contextlib.suppress(FileNotFoundError):  # it ended meanwhile
                found.append(str(read(path)).strip())
    return [name for name in found if name in ("arclyd-waiter", "anon_inode:[io_uring]")]


@pytest.fixture(params=["as the kernel allows", "thread"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the event loop is told: by an io_uring, or by the thread that is left where the kernel has none."""
    if request.param == "thread":
        monkeypatch.setattr(async_subscriber, "Waiter", functools.partial(_ring.Waiter, thread=True))


@pytest.mark.usefixtures("engine")
def test_every_frame_until_the_end(pub: arclyd.Publisher) -> None:
    async def read() -> list[int]:
        async with arclyd.AsyncSubscriber(KEY, start="oldest") as sub:
            asyncio.get_running_loop().call_soon(put, pub, 0, 100)
            asyncio.get_running_loop().call_later(0.05, lambda: (put(pub, 100, 100), pub.close()))
            seen = [frame.seq async for frame in sub]
            assert sub.end_reason == "ended"
            assert (sub.dropped, sub.lag.frames) == (0, 0)
            return seen

    assert asyncio.run(read()) == list(range(200))
    assert waiters() == []


@pytest.mark.usefixtures("engine")
def test_a_cancelled_read_loses_nothing(pub: arclyd.Publisher) -> None:
    async def read() -> list[int]:
        seen = []
        async with arclyd.AsyncSubscriber(KEY, start="oldest") as sub:
            for n in range(20):
                with pytest.raises(TimeoutError):
                    await sub.recv(timeout=0.001)
                task = asyncio.create_task(sub.recv())
                await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                put(pub, n)
                seen.append((await sub.recv(timeout=20)).seq)
            assert len(waiters()) == 1
        return seen

    assert asyncio.run(read()) == list(range(20))
    assert waiters() == []
    pub.close()


@pytest.mark.usefixtures("engine")
def test_closing_wakes_a_read_that_waits(pub: arclyd.Publisher) -> None:
    async def read() -> str:
        sub = arclyd.AsyncSubscriber(KEY, start="live")
        task = asyncio.create_task(sub.recv())
        while not waiters():
            await asyncio.sleep(0.001)
        for _ in range(5):
            await asyncio.sleep(0)  # it is asleep by now
        await sub.aclose()
        with pytest.raises(arclyd.EndOfStream) as caught:
            await task
        with pytest.raises(arclyd.EndOfStream):
            await sub.recv()
        await sub.aclose()
        return caught.value.reason

    assert asyncio.run(read()) == "closed"
    assert waiters() == []
    pub.close()


def test_gaps_and_many_at_once(daemon: Daemon) -> None:
    pub = arclyd.Publisher(KEY, [arclyd.Track.data("raw")], slots=32, ring_bytes=1 << 20)

    async def read() -> None:
        async with arclyd.AsyncSubscriber(KEY, start="oldest", resync="oldest") as sub:
            assert [track.kind.label for track in sub.tracks] == ["data"]
            assert await sub.recv_many(10, 0.001) == []
            put(pub, 0, 20)
            assert [frame.seq for frame in await sub.recv_many(8)] == list(range(8))
            put(pub, 20, 40)
            gap = await sub.recv_raw()
            assert isinstance(gap, arclyd.Gap)
            assert gap.missed == 20
            assert [frame.seq for frame in await sub.recv_many(100)] == list(range(28, 60))

    asyncio.run(read())
    pub.close()


def test_other_tasks_get_their_turn_while_frames_abound(pub: arclyd.Publisher) -> None:
    async def read() -> int:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        put(pub, 0, 1000)
        async with arclyd.AsyncSubscriber(KEY, start="oldest") as sub:
            turns = 0
            for _ in range(1000):
                await sub.recv()
        task.cancel()
        return turns

    assert asyncio.run(read()) >= 1000 // 32 - 1
    pub.close()


@pytest.mark.usefixtures("engine")
def test_one_that_is_dropped_without_being_closed_leaves_nothing(pub: arclyd.Publisher) -> None:
    async def read() -> None:
        async for frame in arclyd.AsyncSubscriber(KEY, start="oldest"):
            if frame.seq == 3:
                break
        sub = arclyd.AsyncSubscriber(KEY, start="live")
        with pytest.raises(TimeoutError):
            await sub.recv(timeout=0.01)

    put(pub, 0, 10)
    asyncio.run(read())
    gc.collect()
    assert waiters() == []
    with arclyd.connect() as control:
        wait_until(lambda: control.subscribers(KEY) == (), what="the seats to be free")
    pub.close()


def test_attaching_that_is_cancelled_leaves_no_seat(daemon: Daemon) -> None:
    async def read() -> None:
        attaching = asyncio.create_task(arclyd.AsyncSubscriber(KEY, wait=20).recv())
        await asyncio.sleep(0)
        attaching.cancel()
        await asyncio.gather(attaching, return_exceptions=True)
        with arclyd.Publisher(KEY, [arclyd.Track.data("raw")]) as pub:
            async with arclyd.AsyncControl() as control:
                while not any(event.kind == "left" for event in [e async for e in control.events(1, follow=False)]):
                    await asyncio.sleep(0.005)
                assert await control.subscribers(KEY) == ()
            assert pub.publish(0, b"x", pts=0, keyframe=True) == 0

    asyncio.run(read())


def test_the_daemon_is_asked_and_followed(pub: arclyd.Publisher) -> None:
    async def ask() -> list[str]:
        async with arclyd.AsyncControl() as control:
            assert [info.key for info in await control.list_streams()] == [KEY]
            assert (await control.health()).status in ("healthy", "degraded")
            with pytest.raises(arclyd.StreamNotFound):
                await control.qos("live/none")
            kinds = []
            async for event in control.events(since=0):
                kinds.append(event.kind)
                if event.kind == "publish_started":
                    asyncio.get_running_loop().call_soon(pub.close)
                if event.kind == "publish_ended":
                    return kinds
        return []

    assert asyncio.run(ask())[-1] == "publish_ended"

"""Regions that come and go, as the library sees them: followed when superseded, unmapped when over."""

from __future__ import annotations

import gc
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.client.claim import Terms, ring_track
from arclyd.client.exchange import Exchange
from arclyd.control.messages import Ok, PublishGrant, Publishing
from arclyd.ring import region as regions
from arclyd.ring._ring import Region, Writer
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.daemon import Daemon

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = "live/cam1"


def publisher(**options: object) -> arclyd.Publisher:
    return arclyd.Publisher(KEY, [arclyd.Track.video("h264", width=320, height=200)], **options)  # type: ignore[arg-type] # passed through


SOUND = arclyd.Track.audio("aac", sample_rate=48000, channels=2)


def claim_slowly(daemon: Daemon, tracks: Sequence[arclyd.Track]) -> tuple[Exchange, Callable[[], Writer]]:
    """Claim as a publisher does, but say what tracks there are, and write, only when the second of both is called."""
    exchange = Exchange(daemon.socket)
    answer = exchange.ask_fds(Terms(KEY, tuple(tracks), 1 << 20, 64, None, {}).request())
    grant, (lock_fd, fd) = answer.value, answer.fds
    assert isinstance(grant, PublishGrant)
    assert regions.lock(lock_fd)

    def write() -> Writer:
        writer = Writer(Region(fd, writable=True), [ring_track(track) for track in tracks])
        os.close(fd)
        exchange.ask(Publishing(KEY, grant.region_id, grant.epoch), Ok)
        return writer

    return exchange, write


@pytest.mark.parametrize("way", ["recv", "recv_raw", "recv_many", "poll"])
def test_a_reader_by_kind_follows_before_the_next_publisher_has_said_what_tracks_there_are(
    daemon: Daemon, way: str
) -> None:
    def read(sub: arclyd.Subscriber) -> list[int]:
        if way == "recv_many":
            return [frame.seq for frame in sub.recv_many(10, timeout=0.05)]
        try:
            item = sub._poll() if way == "poll" else getattr(sub, way)(timeout=0.05)
        except TimeoutError:
            return []
        if way == "poll" and item is None and sub._reader.closed:
            sub._follow(sub._reader, None)
        return [item.seq] if item is not None else []

    first = publisher()
    with arclyd.Subscriber(KEY, tracks=["video"], start="oldest") as sub:
        first.publish(0, b"x", pts=0, keyframe=True)
        wait_until(lambda: read(sub) == [0], what="the first region's frame")
        first._claim.drop()  # as killed
        del first
        with arclyd.connect() as control:
            wait_until(lambda: "interrupted" in control.info(KEY).state, what="the interruption")
        exchange, write = claim_slowly(daemon, [SOUND, arclyd.Track.video("h264")])
        with closing(exchange), arclyd.Subscriber(KEY, tracks=["video"]) as early:
            assert read(sub) == read(sub) == read(early) == []
            writer = write()
            for n in range(4):
                writer.publish(n % 2, b"x", pts=n, keyframe=n % 2 == 1)
            got: list[int] = []
            wait_until(lambda: len(got.extend(read(sub)) or got) == 2, what="the second region's pictures")
            assert got == [1, 3]  # sound ahead of the first keyframe is not published
            assert early.recv(timeout=20).seq == 3
            writer.end()
            for reader in (sub, early):
                with pytest.raises(arclyd.EndOfStream):
                    reader.recv(timeout=20)
            assert (sub.dropped, early.dropped) == (0, 0)


def test_a_reader_that_takes_the_next_region_at_once_is_not_sent_on_from_it(daemon: Daemon) -> None:
    class Eager:
        """Reads on before the thread that handed the region over has done anything else."""

        def put(self, region: Region) -> None:
            sub._read(region, ("seq", sub._reader.cursor))

    old = publisher()
    with arclyd.Subscriber(KEY, start=0) as sub:
        sub._attachment._successors = Eager()  # type: ignore[assignment] # stands in for the queue
        old.publish(0, b"x", pts=0, keyframe=True)
        assert sub.recv(timeout=20).seq == 0
        first = sub._region
        with arclyd.Publisher(KEY, [SOUND], on_taken="replace") as new:
            wait_until(lambda: sub._region is not first, what="the reader on the new region")
            for n in range(100):
                new.publish(0, b"y", pts=n, keyframe=True)
            assert [sub.recv(timeout=20).seq for _ in range(100)] == list(range(1, 101))


def test_a_reader_by_kind_ends_though_its_stream_never_began(daemon: Daemon) -> None:
    exchange, _ = claim_slowly(daemon, [SOUND])
    with closing(exchange), arclyd.Subscriber(KEY, tracks=["audio"]) as sub, arclyd.connect() as control:
        control.end(KEY)
        with pytest.raises(arclyd.EndOfStream):
            sub.recv(timeout=20)


def mappings(daemon: Daemon) -> int:
    """How many regions of the daemon this process has mapped."""
    return sum(f"arclyd.{daemon.instance}." in line for line in Path("/proc/self/maps").read_text().splitlines())


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The cyclic collector rests: what goes away does so by its reference count."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("observer", [None, arclyd.Observer()])
def test_a_closed_publisher_has_unmapped_its_region(daemon: Daemon, observer: arclyd.Observer | None) -> None:
    pub = publisher(observer=observer)
    pub.publish(0, b"x", pts=0, keyframe=True)
    span = pub.reserve(0, 10)
    view = span.buffer
    assert mappings(daemon) == 1
    pub.close()
    assert mappings(daemon) == 1, "the view's memory went"
    view[:2] = b"ok"
    del view, span
    assert mappings(daemon) == 0
    assert (pub.epoch, pub.gated, pub.keyframe_requested()) == (1, 0, False)
    for refused in (lambda: pub.publish(0, b"x", pts=1), lambda: pub.reserve(0, 1), lambda: pub.set_config(0, b"x")):
        with pytest.raises(arclyd.PublisherClosed):
            refused()


@pytest.mark.usefixtures("no_collector")
def test_a_replaced_publisher_has_unmapped_its_region_once_told(daemon: Daemon) -> None:
    old = publisher()
    with publisher(on_taken="replace"):
        wait_until(lambda: mappings(daemon) == 1, what="the old publisher to let go of the region")
        with pytest.raises(arclyd.PublisherReplaced):
            old.publish(0, b"x", pts=0, keyframe=True)


@pytest.mark.usefixtures("no_collector")
def test_a_dropped_publisher_and_a_dropped_reader_unmap(daemon: Daemon) -> None:
    pub = publisher()
    sub = arclyd.Subscriber(KEY)
    assert mappings(daemon) == 2
    sub.close()
    del sub
    wait_until(lambda: mappings(daemon) == 1, what="the closed reader's region to go")
    sub = arclyd.Subscriber(KEY)
    del sub
    wait_until(lambda: mappings(daemon) == 1, what="the dropped reader's region to go")
    del pub
    wait_until(lambda: mappings(daemon) == 0, what="the dropped publisher's region to go")

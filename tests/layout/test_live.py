"""The plain reader follows a stream while another process publishes it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from arclyd.ring import _ring, region
from tests.layout.make_golden import payload
from tests.layout.plain_reader import CONFIG, KEY, Lapped, PlainReader
from tests.waiting import wait_until

GROUPS = 100
FRAMES = 2 + GROUPS * 20
INSTANCE = f"{os.getpid():08x}"[-8:]


@contextmanager
def stream(*, ring_bytes: int, slots: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A region with a publisher that has claimed it and waits for a line to begin."""
    made = region.create(INSTANCE, "live/layout", region.RegionSpec(ring_bytes=ring_bytes, slots=slots, crc=True))
    command = [sys.executable, "-m", "tests.layout.live_publisher", made.name, str(GROUPS)]
    publisher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "ready\n"
        yield made.name, publisher
    finally:
        publisher.kill()
        publisher.communicate()
        region.unlink(made.name)


def begin(publisher: subprocess.Popen[str]) -> None:
    assert publisher.stdin is not None
    publisher.stdin.write("\n")
    publisher.stdin.flush()


def attach(name: str) -> tuple[PlainReader, _ring.Region]:
    fd = region.open_readonly(name)
    try:
        return PlainReader(fd), _ring.Region(fd)
    finally:
        os.close(fd)


def test_both_readers_get_the_same_frames() -> None:
    with stream(ring_bytes=4 << 20, slots=4096) as (name, publisher):
        plain, core = attach(name)
        followed = plain.follow(0)
        configs = [next(followed), next(followed)]
        assert [frame.data for frame in configs if frame] == [b"video", b"audio"]
        assert next(followed) is None
        begin(publisher)
        frames = [frame for frame in followed if frame is not None]
        assert [frame.seq for frame in frames] == list(range(2, FRAMES))
        assert all(frame.data == payload(frame.seq, frame.size) for frame in frames)
        assert plain.state == 2
        reader = _ring.Reader(core, ("seq", 0))
        for frame in [frame for frame in configs if frame] + frames:
            item = reader.recv(-1)
            assert isinstance(item, _ring.Frame)
            same = (item.seq, item.track, item.flags, item.pts, item.dts, item.tobytes())
            assert same == (frame.seq, frame.track, frame.flags, frame.pts, frame.dts, frame.data)
        assert publisher.wait(timeout=60) == 0


def test_a_join_while_frames_flow_is_dense() -> None:
    with stream(ring_bytes=4 << 20, slots=4096) as (name, publisher):
        plain, _ = attach(name)
        begin(publisher)
        joined = wait_until(plain.join, what="a join point")
        assert joined is not None
        configs, point = joined
        assert [config.data for config in configs] == [b"video", b"audio"]
        frames = [frame for frame in plain.follow(point.start) if frame is not None]
        assert [frame.seq for frame in frames] == list(range(point.start, FRAMES))
        assert frames[point.key_seq - point.start].flags & KEY


def test_what_is_taken_from_a_small_ring_is_never_torn() -> None:
    with stream(ring_bytes=64 << 10, slots=8) as (name, publisher):
        plain, _ = attach(name)
        begin(publisher)
        taken, lapped, seq = 0, 0, 2
        while not (plain.state == 2 and seq >= plain.head):
            try:
                for frame in plain.follow(seq):
                    if frame is not None:
                        assert frame.flags & CONFIG or frame.data == payload(frame.seq, frame.size)
                        taken, seq = taken + 1, frame.seq + 1
            except Lapped:
                oldest = plain.oldest()
                lapped += oldest - seq
                seq = oldest
        assert taken + lapped == FRAMES - 2
        assert taken >= 8

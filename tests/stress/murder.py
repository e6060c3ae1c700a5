"""A process that kills its writers: ``python -m tests.stress.murder NAME ROUNDS SEED``.

Each round forks a writer that claims the region and publishes as fast as it can, kills it at a random moment, and
looks at what it left, with a reader that was there all the time and with one that joins just then. Forking a process
that is warm already makes a round a few milliseconds.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import time
from typing import NoReturn

from arclyd.ring import _ring, region
from arclyd.ring._ring import Frame, Reader, Region
from tests.stress.actors import attach, claim, join_once
from tests.stress.payloads import is_payload, payload, size_of


def write_until_killed(name: str, published: memoryview[int], ready: int) -> NoReturn:
    """Claim and publish; ``published[0]``, one store, is the sequence after the newest frame that was returned from."""
    try:
        writable, writer = claim(name)
        head, dice = writable.head, random.Random(writable.epoch)
        published[0] = head
        os.write(ready, b"x")
        for track in (0, 1):
            writer.set_config(track, payload(head, 40))
            head += 1
            published[0] = head
        first = head
        while True:
            size = 12 + size_of(head, 3000)
            key = head == first or dice.random() < 0.05
            if head % 3 == 1 and not key:
                writer.publish(1, payload(head, size), pts=head * 480)
            elif dice.random() < 0.01 and not key:
                writer.set_config(head % 2, payload(head, 40))
            else:
                writer.publish(0, payload(head, size), pts=head * 900, keyframe=key)
            head += 1
            published[0] = head
    finally:
        os._exit(1)


def one_murder(name: str, published: memoryview[int], after: float) -> None:
    """Fork a writer and kill it ``after`` seconds from its claim."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        write_until_killed(name, published, told)
    os.close(told)
    assert os.read(ready, 1) == b"x", "the writer failed to claim"
    os.close(ready)
    deadline = time.monotonic() + after
    while time.monotonic() < deadline:
        pass
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL


class Witness:
    """A reader that is there from the first frame to the last, and misses none."""

    def __init__(self, region_: Region) -> None:
        self.reader = Reader(region_, ("seq", 0))
        self.next = self.epoch = self.discontinuities = 0

    def read_on(self) -> None:
        while (frame := self.reader.recv(0)) is not None:
            assert isinstance(frame, Frame), frame
            assert frame.seq == self.next, (frame, self.next)
            assert is_payload(frame.tobytes(), frame.seq), frame
            self.next += 1
            if frame.is_config or frame.epoch == self.epoch:
                assert frame.epoch >= self.epoch
                assert not frame.discontinuity
                continue
            assert frame.keyframe, "an epoch that begins without a keyframe"
            assert frame.discontinuity == (frame.epoch > 1)
            self.discontinuities += frame.discontinuity
            self.epoch = frame.epoch


def main(name: str, rounds: int, seed: int) -> dict[str, int]:
    attached, dice, published, joined = attach(name), random.Random(seed), memoryview(mmap.mmap(-1, 8)).cast("Q"), 0
    witness, watermark, unreturned = Witness(attached), 0, 0
    for number in range(1, rounds + 1):
        one_murder(name, published, dice.choice((0, 0.0001, 0.001, 0.004)) * dice.random())
        fd = region.open_readonly(name)
        assert not region.lock_held(fd), "the killed writer's lock is still held"
        os.close(fd)
        assert attached.epoch == number
        witness.read_on()
        returned = published[0]
        assert returned <= witness.next <= returned + 1, f"{witness.next} published, {returned} returned"
        unreturned += witness.next - returned
        counters = attached.counters()
        assert counters.reserved_pos >= watermark
        watermark = counters.reserved_pos
        newest = attached.gops()[-1:]
        assert [track.kind for track in attached.tracks()] == ([0, 1] if attached.state != _ring.STATE_NEW else [])
        if newest and newest[0].joinable and newest[0].frames > 3:
            join_once(Reader(attached), newest[0].frames - (newest[0].key_seq - newest[0].join_seq) - 1)
            joined += 1
    assert witness.reader.missed == 0
    return {
        "frames": witness.next,
        "discontinuities": witness.discontinuities,
        "published_by_the_last_breath": unreturned,
        "joined_the_dead": joined,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))), flush=True)

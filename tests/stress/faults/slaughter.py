"""A process whose writers die at named points: ``python -m tests.stress.faults.slaughter NAME ROUNDS SEED [POINT…]``.

It runs with the fault build. Each round forks a writer that is to be killed at one point, the n-th time it passes it;
the writer claims the region that the last one left, publishes configurations, a keyframe and whatever follows, until
it is dead. Then a reader that was there all the time and readers that join just then look at what there is.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import time
from collections import Counter
from typing import NoReturn

from arclyd.ring import _ring, region
from arclyd.ring._ring import Frame, Reader, Region
from tests.stress.actors import attach, claim
from tests.stress.faults.building import points
from tests.stress.faults.points import Points
from tests.stress.payloads import is_payload, mark_of, payload, size_of

WRITERS = tuple(
    point for point in (*points("writer.c"), "copy.half", "copy.whole", "wake.bump") if not point.startswith("end.")
)
"""Where a writer can die and leave a stream that goes on."""


def write_until_killed(name: str, point: str, told: memoryview[int], seed: int) -> NoReturn:
    """Claim and publish; ``told[0]``, one store, is the sequence after the newest frame that was returned from."""
    try:
        dice = random.Random(seed)
        Points(_ring).arm(point, "kill", 1 if point.startswith("claim") else dice.choice((1, 1, 1, 2, 3, 5, 8, 17)))
        writable, writer = claim(name)
        head = told[0] = writable.head
        for track in (1, 0):
            writer.set_config(track, payload(head, 40, writer.epoch))
            head += 1
            told[0] = head
        first = head
        while True:
            # Sixty-four generations later the sound's configuration must be renewed.
            changing = dice.random() < (0.9 if point.startswith("renew") else 0.05) and head > first
            key = head == first or dice.random() < 0.2
            if changing:
                writer.set_config(0, payload(head, 40, writer.epoch))
            elif head % 3 == 1 and not key:
                writer.publish(1, payload(head, 12 + size_of(head, 1500), writer.epoch), pts=head * 480)
            else:
                writer.publish(0, payload(head, 12 + size_of(head, 3000), writer.epoch), pts=head * 900, keyframe=key)
            head += 1
            told[0] = head
    finally:
        os._exit(1)


def one_death(name: str, point: str, told: memoryview[int], seed: int) -> None:
    child = os.fork()
    if child == 0:
        write_until_killed(name, point, told, seed)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, f"the writer did not die at {point}"


class Witness:
    """A reader that is there from the first frame to the last, and misses none."""

    def __init__(self, attached: Region) -> None:
        self.reader = Reader(attached, ("seq", 0))
        self.next = self.epoch = self.decoding = self.discontinuities = 0

    def read_on(self) -> None:
        while (frame := self.reader.recv(0)) is not None:
            assert isinstance(frame, Frame), frame
            assert frame.seq == self.next, (frame, self.next)
            data = frame.tobytes()
            assert is_payload(data, frame.seq), frame
            assert mark_of(data) == frame.epoch, (frame, mark_of(data))
            self.next += 1
            if frame.epoch != self.epoch:
                assert frame.epoch > self.epoch
                assert frame.is_config, f"epoch {frame.epoch} does not begin with its configuration"
                self.epoch = frame.epoch
            if frame.is_config or frame.epoch == self.decoding:
                assert not frame.discontinuity
                continue
            assert frame.keyframe, f"epoch {frame.epoch} begins without a keyframe"
            assert frame.discontinuity == (frame.epoch > 1)
            self.discontinuities += frame.discontinuity
            self.decoding = frame.epoch


def join(attached: Region, start: tuple[str, int]) -> int:
    """Join what a dead writer left and read to its end; frames delivered from the keyframe on (0: it can't be)."""
    reader, marks, count, last = Reader(attached, start), {}, 0, 0
    while (frame := reader.recv(0)) is not None:
        assert isinstance(frame, Frame), frame
        data = frame.tobytes()
        assert is_payload(data, frame.seq)
        if frame.is_config:
            marks[frame.track] = mark_of(data)
        elif count == 0 and not frame.keyframe:
            assert frame.track == 1, "joined on a frame that is neither keyframe nor sound ahead of one"
        else:
            assert 0 in marks, (frame, marks, start)
            # The configuration in force is the one of the frame's own epoch, whoever wrote it.
            assert marks[frame.track] == frame.epoch, (frame, marks)
        if count:
            assert frame.seq == last + 1, (frame, last)
        last, count = frame.seq, count + (count > 0 or (frame.keyframe and not frame.is_config))
    assert reader.missed == 0
    return count


def main(name: str, rounds: int, seed: int, at: tuple[str, ...]) -> dict[str, object]:
    attached, dice, told = attach(name), random.Random(seed), memoryview(mmap.mmap(-1, 8)).cast("Q")
    witness, watermark, epoch, begun = Witness(attached), 0, 0, time.monotonic()
    joined: Counter[str] = Counter()
    deaths: Counter[str] = Counter()
    unreturned = 0
    for number in range(rounds):
        point = at[number % len(at)] if rounds < 5 * len(at) else dice.choice(at)
        deaths[point] += 1
        one_death(name, point, told, dice.randrange(1 << 30))
        fd = region.open_readonly(name)
        assert not region.lock_held(fd), "the killed writer's lock is still held"
        os.close(fd)
        assert attached.epoch == epoch + (point != "claim.recovered"), (point, attached.epoch, epoch)
        epoch = attached.epoch
        witness.read_on()
        assert told[0] <= witness.next <= told[0] + 1, f"{point}: {witness.next} published, {told[0]} returned"
        unreturned += witness.next - told[0]
        reserved = attached.counters().reserved_pos
        assert reserved >= watermark
        watermark = reserved
        for start in (("keyframe", 0), ("oldest", 0)):
            joined[start[0]] += join(attached, start) > 0
    assert witness.reader.missed == 0
    return {
        "kills": rounds,
        "points": len(deaths),
        "frames": witness.next,
        "discontinuities": witness.discontinuities,
        "published_by_the_last_breath": unreturned,
        "joined_newest": joined["keyframe"],
        "joined_oldest": joined["oldest"],
        "kills_per_second": round(rounds / (time.monotonic() - begun)),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), tuple(sys.argv[4:]) or WRITERS)), flush=True)

"""A live region scribbled over while it is read: ``python -m tests.fuzz.scribble READS SEED``.

Three processes share one region: a publisher that publishes on whatever happens, a vandal that writes random words
into every part of it through a writable mapping, and this one, which reads in every way there is. What may come out
of a reading is in `ANSWERS`; anything else, a signal, a hang or growth fails. Prints one JSON object.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import time
from typing import TYPE_CHECKING, Final, NoReturn

import psutil

from arclyd.errors import (
    ArclydError,
    FrameCorrupt,
    FrameOverwritten,
    LayoutMismatch,
    RegionCorrupt,
)
from arclyd.ring import layout, region
from arclyd.ring._ring import Frame, Gap, Reader, Region, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWERS: Final = (RegionCorrupt, LayoutMismatch, FrameOverwritten, FrameCorrupt)
TRACKS: Final = [(0, 1, (1, 90000), 640, 360, 0, 0), (1, 5, (1, 48000), 0, 0, 48000, 2), (2, 9, (1, 1000), 0, 0, 0, 0)]
SPEC: Final = region.RegionSpec(ring_bytes=64 << 10, slots=64, gop_frames=500, crc=True)
STARTS: Final = (("keyframe", 0), ("live", 0), ("oldest", 0), ("ago", 10**9))
HOT_STATE: Final = 512 + 48
EDGES: Final = (0, 1, 2, 63, 64, 1 << 16, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
GROWTH: Final = 16 << 20
"""Bytes by which a reader's memory may differ between two moments; a leak of one frame a read would be gigabytes."""


def mapped(name: str) -> mmap.mmap:
    fd = region.open_writable(name)
    try:
        return mmap.mmap(fd, 0)
    finally:
        os.close(fd)


def publish_whatever_happens(name: str, seed: int) -> NoReturn:
    """Claim and publish until killed; a claim that is refused starts over from a region as new."""
    fd = region.open_writable(name)
    memory, dice = mapped(name), random.Random(seed)
    fresh = memory[:8192]
    while True:
        memory[HOT_STATE : HOT_STATE + 4] = bytes(4)  # else it takes the tracks it has, scribbled over
        try:
            attached = Region(fd, writable=True)
            writer = Writer(attached, TRACKS)
            for number in range(dice.choice((5, 50, 400))):
                if number % 20 == 0:
                    writer.set_config(number // 20 % 3, dice.randbytes(30))
                payload = dice.randbytes(dice.choice((0, 100, 3000)))
                pts = dice.choice((number * 900, -(1 << 63), (1 << 63) - 1))
                writer.publish(number % 3, payload, pts=pts, keyframe=number % 7 == 0)
        except ArclydError:
            memory[:8192] = fresh


Spot = tuple[int, int]


def spots() -> list[list[Spot]]:
    """(first byte, bytes) of what is no payload: geometry, hot words, tracks, configurations, GOPs, slots."""
    configs = 8192
    gops = configs + layout.CONFIGS * layout.CONFIG_SIZE
    slots = gops + layout.GOPS * layout.GOP_SIZE
    return [
        [(0, 392)],
        [(512, 64), (768, 16), (896, 56)],
        [(1024, len(TRACKS) * layout.TRACK_SIZE)],
        [(configs + record * layout.CONFIG_SIZE, layout.CONFIG_HEADER) for record in range(layout.CONFIGS)],
        [(gops, 64 * layout.GOP_SIZE)],
        [(slots, SPEC.slots * layout.SLOT_SIZE)],
    ]


def scribble(name: str, seed: int) -> NoReturn:
    """Write where it hurts until killed."""
    memory, dice, parts = mapped(name), random.Random(seed), spots()
    while True:
        scribble_once(memory, dice, parts)
        if dice.random() < 0.3:
            time.sleep(0)  # two cores, three processes


def scribble_once(memory: mmap.mmap, dice: random.Random, parts: list[list[Spot]]) -> None:
    """Write one word: an edge, another word of the region, a bit flipped, noise."""
    start, size = dice.choice(dice.choice(parts[1:] if dice.random() < 0.99 else parts))
    at = start + dice.randrange(size // 8) * 8
    now = int.from_bytes(memory[at : at + 8], "little")
    other = dice.choice(dice.choice(parts))[0]
    value = dice.choice(
        (
            dice.choice(EDGES),
            now ^ 1 << dice.randrange(64),
            (now + dice.randrange(-4, 5)) % (1 << 64),
            dice.getrandbits(64),
            int.from_bytes(memory[other : other + 8], "little"),
        )
    )
    width = dice.choice((1, 2, 4, 8))
    memory[at : at + width] = value.to_bytes(8, "little")[:width]


class Vandal:
    """A publisher's second hand on its own region, once it has one."""

    def __init__(self, instance: str, key: str, seed: int) -> None:
        name = next(name for name in region.list_names(instance) if f".{key.replace('/', '@')}." in name)
        self._memory, self._dice, self._parts = mapped(name), random.Random(seed), spots()
        self._sound = self._memory[: sum(self._parts[-1][0])]

    def scribble(self, words: int) -> None:
        """So many words; now and then all is as it was, so that there is something to scribble over."""
        if self._dice.random() < 0.1:
            self._memory[: len(self._sound)] = self._sound
        for _ in range(words):
            scribble_once(self._memory, self._dice, self._parts)


def ways(attached: Region, dice: random.Random, counts: dict[str, int]) -> list[Callable[[], object]]:
    """Every way to read a region and what comes out of it, as calls."""
    start = dice.choice((*STARTS, ("seq", dice.choice((0, attached.head % (1 << 62), dice.getrandbits(60))))))
    reader = Reader(attached, start, resync_oldest=dice.random() < 0.5, track_mask=dice.choice((1, 2, 7, 0xFFFFFFFF)))

    def use(item: Frame | Gap | None) -> None:
        counts["frames"] += isinstance(item, Frame)
        counts["gaps"] += isinstance(item, Gap)
        examine(item)

    return [
        *([lambda: use(reader.recv(0))] * 8),
        lambda: [use(item) for item in reader.recv_many(20, 0)],
        lambda: use(reader.recv(1000)),
        lambda: reader.wait(1000),
        reader.lag,
        attached.counters,
        attached.tracks,
        attached.gops,
        attached.configs,
        lambda: use(attached.frame(dice.choice((attached.head - 1, attached.head, dice.getrandbits(63))) % (1 << 64))),
        lambda: (
            attached.key,
            attached.region_id,
            attached.state,
            attached.epoch,
            attached.closed,
            attached.subscribers,
        ),
    ]


def examine(item: Frame | Gap | None) -> None:
    """Read all of it."""
    if isinstance(item, Frame):
        assert len(item.data) == item.size <= SPEC.ring_bytes // 8
        sum(item.data[:64])
        repr(item)
        item.is_intact()
        item.tobytes()
    elif item is not None:
        assert isinstance(item, Gap)
        assert item.missed <= item.resumed_at


def attach(fd: int) -> Region | None:
    try:
        return Region(fd)
    except ANSWERS:
        return None


def read(name: str, reads: int, seed: int) -> dict[str, int]:
    """So many readings; counts of what they said."""
    fd, dice = region.open_readonly(name), random.Random(seed)
    counts = dict.fromkeys(("reads", "frames", "gaps", "objections", "attached", "attach_refused"), 0)
    before, looks = 0, 0
    while counts["reads"] < reads:
        attached = attach(fd)
        counts["attached" if attached else "attach_refused"] += 1
        if attached is None:
            continue
        calls = ways(attached, dice, counts)
        for _ in range(200):
            counts["reads"] += 1
            try:
                dice.choice(calls)()
            except ANSWERS:
                counts["objections"] += 1
        looks += 1
        if looks == 20:
            before = psutil.Process().memory_info().rss
    grown = psutil.Process().memory_info().rss - before
    assert grown < GROWTH, f"grown by {grown} bytes"
    return counts | {"grown_bytes": max(0, grown)}


def fork(work: Callable[[], NoReturn]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(1)


def main(reads: int, seed: int) -> dict[str, float]:
    """Make a region, have it written and scribbled over, and read it."""
    made = region.create("fuzz0000", "live/scribbled", SPEC)
    children: list[int] = []
    start = time.monotonic()
    try:
        children.append(fork(lambda: publish_whatever_happens(made.name, seed)))
        children.append(fork(lambda: scribble(made.name, seed)))
        counts = read(made.name, reads, seed)
        for child in children:
            assert os.waitpid(child, os.WNOHANG) == (0, 0), "the publisher or the vandal ended"
        return counts | {"seconds": round(time.monotonic() - start, 1)}
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        region.unlink(made.name)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))), flush=True)

"""The processes of the stress tests: ``python -m tests.stress.actors ROLE NAME [ARGUMENT…]``.

Each attaches to the region NAME, does its part, and prints one JSON object about it. A broken rule is an
AssertionError, so that the process fails. ``ARCLYD_TEST_RING`` names another build of the C core to use.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from arclyd.errors import FrameOverwritten
from arclyd.ring import region
from tests.native.building import load_ring
from tests.stress.payloads import is_payload, mark_of, payload, size_of

if TYPE_CHECKING:
    from arclyd.ring import _ring
else:
    _ring = load_ring(path) if (path := os.environ.get("ARCLYD_TEST_RING")) else region._ring

VIDEO = (0, 0, (1, 90000), 640, 360, 0, 0)
AUDIO = (1, 5, (1, 48000), 0, 0, 48000, 2)
SECOND = 1_000_000_000


def attach(name: str) -> _ring.Region:
    fd = region.open_readonly(name)
    try:
        return _ring.Region(fd)
    finally:
        os.close(fd)


def claim(name: str) -> tuple[_ring.Region, _ring.Writer]:
    """Become the writer as a publisher does: the lock first. The descriptor is left open, with the lock on it."""
    fd = region.open_writable(name)
    assert region.lock(fd)
    writable = _ring.Region(fd, writable=True)
    return writable, _ring.Writer(writable, [VIDEO, AUDIO])


# ---------------------------------------------------------------- publishing


def flood(name: str, frames: str) -> dict[str, int]:
    """So many frames as fast as it goes; then the end."""
    writable, writer = claim(name)
    most, publish, head = writable.max_frame, writer.publish, 0
    while head < int(frames):
        if head % 5000 == 4999:
            writer.set_config(head % 2, payload(head, 40))
        else:
            publish(head % 3 == 1, payload(head, size_of(head, most)), pts=head * 48, keyframe=head % 30 == 0)
        head += 1
    writer.end()
    return {"published": head}


def steady(name: str, rate: str) -> dict[str, int]:
    """``rate`` frames a second until standard input closes: video in GOPs of any length, sound up to 20 ms ahead.

    Each payload carries the number of its track's configuration, as the configuration itself does.
    """
    writable, writer = claim(name)
    dice, begun, head, configs, left = random.Random(5), time.monotonic(), 0, [0, 0], 0
    os.set_blocking(0, False)
    print("ready", flush=True)
    while sys.stdin.buffer.read() is None:
        while head < (time.monotonic() - begun) * int(rate):
            at = head / int(rate)  # media time in seconds
            changing = 0 if left <= 0 and (head == 0 or dice.random() < 0.3) else 1 if head % 3001 == 1 else None
            if changing is not None and (changing == 0 or configs[1] == 0 or head % 3001 == 1):
                configs[changing] += 1
                writer.set_config(changing, payload(head, 40, configs[changing]))
                head += 1
                left = 0 if changing == 0 else left
                if head == 1:
                    continue
            if head % 3 == 1:
                pts = int((at + dice.choice((0, 0.01, 0.02))) * 48000)
                writer.publish(1, payload(head, 12 + size_of(head, 300), configs[1]), pts=pts)
            else:
                size = 12 + size_of(head, 3000)
                writer.publish(0, payload(head, size, configs[0]), pts=int(at * 90000), keyframe=left <= 0)
                left = dice.randrange(5, 120) if left <= 0 else left - 1
            head += 1
        time.sleep(0.0005)
    writer.end()
    return {"published": head, "video_configs": configs[0], "reserved": writable.counters().reserved_pos}


# ------------------------------------------------------------------- reading


def follow(name: str, way: str, resync: str) -> dict[str, int]:
    """Read from sequence 0 to the end. ``way``: "copy" or "view", with "slow-" before it to dawdle over frames."""
    attached = attach(name)
    reader = _ring.Reader(attached, ("seq", 0), resync_oldest=resync == "oldest")
    most, dice, slow, copying = attached.max_frame, random.Random(way), way.startswith("slow"), way.endswith("copy")
    received = missed = gaps = overwritten = expected = 0
    print("ready", flush=True)
    while (item := reader.recv(60 * SECOND)) is not None:
        if isinstance(item, _ring.Gap):
            assert item.resumed_at - item.missed == expected, (item, expected)
            expected, missed, gaps = item.resumed_at, missed + item.missed, gaps + 1
            continue
        seq = item.seq
        if seq < expected:
            assert item.is_config  # the one in force where reading goes on, from before that place
            assert is_payload(item.tobytes(), seq)
            continue
        assert seq == expected, (seq, expected)
        assert item.size == (40 if item.is_config else size_of(seq, most))
        expected, received = seq + 1, received + 1
        if slow and dice.random() < 0.01:
            time.sleep(dice.random() * 0.004)
        if copying:
            try:
                assert is_payload(item.tobytes(), seq), f"frame {seq} is corrupt and was validated"
            except FrameOverwritten:
                overwritten += 1
        else:
            sound = is_payload(item.data, seq)
            if slow and dice.random() < 0.01:
                time.sleep(dice.random() * 0.004)
            intact = item.is_intact()
            assert sound or not intact, f"frame {seq} is corrupt and was validated"
            overwritten += not intact
    assert reader.closed == _ring.CLOSED_ENDED
    assert reader.missed == missed
    return {"received": received, "missed": missed, "gaps": gaps, "overwritten": overwritten}


def join_often(name: str, joins: str, seed: str) -> dict[str, int]:
    """Join at random moments; each time configuration, sound, keyframe, then every sequence for a few dozen frames."""
    attached, dice = attach(name), random.Random(int(seed))
    lead_ins = configs = frames = 0
    for _ in range(int(joins)):
        time.sleep(dice.random() * 0.01)
        seen = join_once(_ring.Reader(attached), dice.randrange(24, 60))
        lead_ins += seen[0]
        configs += seen[1]
        frames += seen[2]
    return {"joins": int(joins), "lead_ins": lead_ins, "later_configs": configs, "frames": frames}


def join_once(reader: _ring.Reader, wanted: int) -> tuple[int, int, int]:
    """One join, checked; its frames of lead-in, its later configurations, its frames from the keyframe on."""
    marks: dict[int, int] = {}
    lead_in = changes = count = last = 0
    started = key = False
    while count < wanted:
        item = reader.recv(30 * SECOND)
        assert isinstance(item, _ring.Frame), (item, reader.closed, reader.missed)
        data = item.tobytes()
        assert is_payload(data, item.seq)
        if item.is_config:
            marks[item.track] = mark_of(data)
            changes += started
            assert not key or item.seq == last + 1
            last = max(last, item.seq)
            count += key
            continue
        if not started:
            started = True
            assert 0 in marks, "no configuration of the picture before the first frame"
        if not key:
            key = item.keyframe
            assert key or item.track == 1, "lead-in that is no sound"
            assert key or item.seq > last
            lead_in += not key
        else:
            assert item.seq == last + 1, f"{item.seq} after {last}"
        count += key
        last = item.seq
        if item.track in marks:
            assert mark_of(data) == marks[item.track], "a frame with another configuration than the one delivered"
    assert reader.missed == 0
    return lead_in, changes, count


def look_at_the_head(name: str) -> dict[str, int]:
    """Read the newest frame again and again: what `head` has passed must be there."""
    attached, looks, found = attach(name), 0, 0
    print("ready", flush=True)
    while attached.state != _ring.STATE_ENDED:
        head = attached.head
        if head:
            found += attached.frame(head - 1) is not None
            looks += 1
    return {"looks": looks, "found": found}


ROLES: dict[str, Any] = {role.__name__: role for role in (flood, steady, follow, join_often, look_at_the_head)}


if __name__ == "__main__":
    print(json.dumps(ROLES[sys.argv[1]](*sys.argv[2:])), flush=True)

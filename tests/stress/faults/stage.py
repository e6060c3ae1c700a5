"""Who plays on a region: a writer whose payloads tell what they are, and readers that hold what they get against it.

Every payload carries the mark of its track's configuration, and so does the configuration itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from arclyd.errors import FrameOverwritten
from arclyd.ring import region
from tests.stress.actors import AUDIO, VIDEO
from tests.stress.payloads import is_payload, mark_of, payload

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = 1_000_000_000
SOUND = 1


class Band:
    """A writer with the region's lock: pictures in GOPs, with sound between them, unless ``tracks`` says otherwise."""

    def __init__(self, ring: Any, name: str, tracks: Sequence[tuple[object, ...]] = (VIDEO, AUDIO)) -> None:
        self.fd = region.open_writable(name)
        assert region.lock(self.fd), "the lock is held"
        self.region = ring.Region(self.fd, writable=True)
        self.writer = ring.Writer(self.region, list(tracks))
        self._marks = [0, 0]

    def config(self, track: int) -> None:
        self._marks[track] = self.writer.epoch << 20 | (self._marks[track] + 1) & 0xFFFFF
        self.writer.set_config(track, payload(self.region.head, 40, self._marks[track]))

    def frame(self, track: int, *, keyframe: bool = False, size: int = 600) -> None:
        head = self.region.head
        pts = head * (480 if track == SOUND else 900)
        self.writer.publish(track, payload(head, size, self._marks[track]), pts=pts, keyframe=keyframe)

    def gop(self, frames: int = 6, size: int = 600) -> None:
        """A keyframe and what follows it; every third frame is sound."""
        for number in range(frames):
            self.frame(SOUND if number % 3 == 1 else 0, keyframe=number == 0, size=size)

    def begin(self) -> None:
        """Both configurations and a first GOP."""
        self.config(SOUND)
        self.config(0)
        self.gop()

    def leave(self) -> None:
        """Let go of the lock, as a killed writer does."""
        region.unlock(self.fd)
        os.close(self.fd)
        self.writer.detach()


@dataclass
class Heard:
    """What a reader got."""

    frames: list[int] = field(default_factory=list)
    configs: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    overwritten: int = 0
    epochs: list[int] = field(default_factory=list)


def listen(ring: Any, reader: Any, timeout_ns: int, *, from_key: bool) -> Heard:
    """Read until there is nothing within the time, or the end, and hold everything against the rules.

    ``from_key``: the reader joined at a join point, so nothing but sound comes ahead of a keyframe.
    """
    heard, marks, key, expected = Heard(), {}, False, None if from_key else reader.cursor
    while (item := reader.recv(timeout_ns)) is not None:
        if isinstance(item, ring.Gap):
            assert expected is None or item.resumed_at - item.missed == expected, (item, expected)
            heard.gaps.append((item.missed, item.resumed_at))
            expected, key = item.resumed_at, False
            continue
        try:
            data = item.tobytes()
        except FrameOverwritten:
            data = None
            heard.overwritten += 1
        assert data is None or is_payload(data, item.seq), f"frame {item.seq} is corrupt and was validated"
        if item.is_config:
            heard.configs += 1
            if data is not None:
                marks[item.track] = mark_of(data)
        elif data is not None and item.track in marks:
            assert mark_of(data) == marks[item.track], f"frame {item.seq} with another configuration than its own"
        elif from_key and data is not None:
            raise AssertionError(f"frame {item.seq} of track {item.track} without a configuration: {marks}")
        if item.is_config and (expected is None or item.seq < expected):
            continue  # the one in force where reading begins
        if from_key and not key and not item.is_config:
            key = item.keyframe
            assert key or item.track == SOUND, f"joined at frame {item.seq}, which is no keyframe"
            if not key:
                continue
        elif key or not from_key:
            assert expected in (None, item.seq), (item, expected)
        expected = item.seq + 1
        heard.frames.append(item.seq)
        heard.epochs.append(item.epoch)
    return heard


def everything_holds(ring: Any, attached: Any) -> None:
    """At any moment, wherever the writer stands: what is there is right, and a joiner begins where decoding can."""
    head = attached.head
    for seq in range(max(0, head - attached.slots), head + 2):
        frame = attached.frame(seq)
        assert frame is None or is_payload(frame.tobytes(), seq)
    assert head == 0 or attached.frame(head - 1) is not None, "the head is ahead of its frame"
    for start in ("keyframe", "oldest"):
        listen(ring, ring.Reader(attached, (start, 0)), 0, from_key=True)
    assert listen(ring, ring.Reader(attached, ("live", 0)), 0, from_key=False).frames in ([], [head])


def attach(ring: Any, name: str) -> Any:
    fd = region.open_readonly(name)
    try:
        return ring.Region(fd)
    finally:
        os.close(fd)

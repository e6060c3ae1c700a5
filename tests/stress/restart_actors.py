"""The processes of the restart tests: ``python -m tests.stress.restart_actors ROLE SOCKET STREAMS FROM TO``.

A ``publish`` process owns the streams FROM to TO; a ``read`` process the readers FROM to TO, the n-th of which
reads stream n modulo STREAMS. Both print "ready" and, at their end, one JSON object. A publisher ends with its
standard input, a reader with its streams.
"""

from __future__ import annotations

import json
import select
import struct
import sys
import time
from dataclasses import dataclass, field

import arclyd

PERIOD = 0.1
"""Seconds between two frames of a stream: 10 frames a second."""

GOP = 10
PAUSE = 0.03
PAYLOAD = struct.Struct(">IQ")
REPEATED = 20
SLOTS = 1024
RING_BYTES = 512 << 10
"""Both hold more than a minute of frames: a reader that has to wait for a processor is not overtaken."""


def key_of(stream: int) -> str:
    return f"live/cam{stream}"


def payload(stream: int, seq: int) -> bytes:
    return PAYLOAD.pack(stream, seq) * REPEATED


def publish(socket: str, streams: range) -> dict[str, object]:
    """Publish on every stream until standard input ends; how many frames each got."""
    tracks = [arclyd.Track.video("h264", width=320, height=200)]
    publishers = {
        n: arclyd.Publisher(key_of(n), tracks, ring_bytes=RING_BYTES, slots=SLOTS, socket=socket) for n in streams
    }
    print("ready", flush=True)
    seq, due, late = 0, time.monotonic(), 0.0
    while True:
        for n, publisher in publishers.items():
            publisher.publish(0, payload(n, seq), pts=seq * 9000, keyframe=seq % GOP == 0)
        seq += 1
        due += PERIOD
        left = due - time.monotonic()
        late = max(late, -left)
        if select.select([sys.stdin], [], [], max(0.0, left))[0]:
            break
    epochs = {publisher.epoch for publisher in publishers.values()}
    for publisher in publishers.values():
        publisher.close()
    return {"frames": {key_of(n): seq for n in streams}, "epochs": sorted(epochs), "late": late}


@dataclass(slots=True)
class Seat:
    """One reader and what became of it."""

    stream: int
    sub: arclyd.Subscriber
    first: int = -1
    next: int = -1
    wrong: list[str] = field(default_factory=list)

    def take(self) -> bool:
        """Read what is there; False: the stream is over."""
        try:
            frames = self.sub.recv_many(64, timeout=0)
        except arclyd.EndOfStream:
            return False
        for frame in frames:
            if self.first < 0:
                self.first = self.next = frame.seq
            if frame.seq != self.next:
                self.wrong.append(f"frame {frame.seq} where {self.next} was due")
            if frame.tobytes() != payload(self.stream, frame.seq):
                self.wrong.append(f"frame {frame.seq} has another one's payload")
            self.next = frame.seq + 1
        return True

    def facts(self) -> dict[str, object]:
        return {
            "key": key_of(self.stream),
            "first": self.first,
            "next": self.next,
            "dropped": self.sub.dropped,
            "reason": self.sub.end_reason,
            "wrong": self.wrong[:3],
        }


def read(socket: str, readers: range, streams: int) -> dict[str, object]:
    """Read until every stream has ended; what each reader saw."""
    seats = [Seat(n % streams, arclyd.Subscriber(key_of(n % streams), socket=socket, wait=30)) for n in readers]
    print("ready", flush=True)
    going = seats
    while going:
        going = [seat for seat in going if seat.take()]
        time.sleep(PAUSE)  # pacing: a turn for every reader some thirty times a second
    return {"readers": [seat.facts() for seat in seats]}


def main() -> None:
    role, socket, streams, first, end = sys.argv[1:6]
    mine = range(int(first), int(end))
    result = publish(socket, mine) if role == "publish" else read(socket, mine, int(streams))
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()

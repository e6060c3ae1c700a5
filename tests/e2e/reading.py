"""What the tests of the library publish and how their reader processes report it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import arclyd

if TYPE_CHECKING:
    from tests.daemon import Script

VIDEO_CONFIG = bytes.fromhex("0164001fffe1001b6764001facd9405005bb016a02020280000003008000001e078c18cb01000468efbcb0")

TRACKS = [
    arclyd.Track.video("h264", config=VIDEO_CONFIG, width=1280, height=720),
    arclyd.Track.audio("aac", config=b"\x11\x90", sample_rate=48000, channels=2),
]

READER = """
    import hashlib, json, sys
    import arclyd

    with arclyd.Subscriber(sys.argv[1], **json.loads(sys.argv[2] if len(sys.argv) > 2 else "{}")) as sub:
        print("attached", sub.id)
        while True:
            try:
                item = sub.recv_raw(timeout=60)
            except arclyd.EndOfStream as end:
                print("end", end.reason, sub.dropped)
                break
            if isinstance(item, arclyd.Gap):
                print("gap", item.missed, item.resumed_at)
                continue
            digest = hashlib.sha256(item.data).hexdigest()
            if item.is_intact():
                print("frame", item.seq, item.track, item.pts, int(item.keyframe), int(item.is_config), digest)
            else:
                print("torn", item.seq)
"""

WRITER = """
    import sys, time
    import arclyd

    tracks = [arclyd.Track.video("h264", width=320, height=200)]
    with arclyd.Publisher(sys.argv[1], tracks, **eval(sys.argv[2] if len(sys.argv) > 2 else "{}")) as pub:
        print("publishing", pub.epoch)
        n = 0
        for _ in sys.stdin if len(sys.argv) > 3 else iter(int, 1):
            pub.publish(0, b"%d" % n * 100, pts=n, keyframe=n % 10 == 0)
            if n % 100 == 0:
                print("published", n)
            n += 1
            time.sleep(0.001)
"""
"""A frame a millisecond for ever, every tenth a keyframe; with a third argument, one for each line it is told."""


@dataclass(frozen=True)
class Seen:
    """One frame as a reader reported it."""

    seq: int
    track: int
    pts: int
    keyframe: bool
    is_config: bool
    digest: str


def seen(script: Script) -> list[Seen]:
    """The frames a `READER` reported so far."""
    words = [line.split() for line in script.lines if line.startswith("frame ")]
    return [Seen(int(w[1]), int(w[2]), int(w[3]), w[4] == "1", w[5] == "1", w[6]) for w in words]


def gaps(script: Script) -> list[tuple[int, int]]:
    """The gaps a `READER` reported so far: (missed, resumed at)."""
    words = [line.split() for line in script.lines if line.startswith("gap ")]
    return [(int(w[1]), int(w[2])) for w in words]


def dense(seqs: list[int]) -> bool:
    """True: every sequence follows the one before."""
    return seqs == list(range(seqs[0], seqs[0] + len(seqs)))


def picture(n: int, size: int = 3000) -> bytes:
    """The n-th payload: like no other."""
    return hashlib.sha256(b"%d" % n).digest() * (size // 32)


def publish_pictures(pub: arclyd.Publisher, first: int, count: int, *, gop: int = 10) -> list[str]:
    """Publish ``count`` frames of alternating video and audio, a keyframe every ``gop``; returns their digests."""
    digests = []
    for n in range(first, first + count):
        payload = picture(n)
        digests.append(hashlib.sha256(payload).hexdigest())
        if n % 2:
            pub.publish(1, payload, pts=n * 1024, keyframe=True)
        else:
            pub.publish(0, payload, pts=n * 1800, keyframe=n % gop == 0)
    return digests

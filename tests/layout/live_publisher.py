"""A publisher in a process of its own: ``python -m tests.layout.live_publisher NAME GROUPS``.

Waits for a line on standard input, publishes that many groups of pictures with
self-describing payloads, then ends the stream.
"""

from __future__ import annotations

import os
import sys

from arclyd.ring import _ring, region
from tests.layout.make_golden import TRACKS, payload


def main() -> None:
    name, groups = sys.argv[1], int(sys.argv[2])
    fd = region.open_writable(name)
    assert region.lock(fd)
    opened = _ring.Region(fd, writable=True)
    writer = _ring.Writer(opened, TRACKS)
    writer.set_config(0, b"video")
    writer.set_config(1, b"audio")
    print("ready", flush=True)
    sys.stdin.readline()
    for group in range(groups):
        for picture in range(10):
            milliseconds = (group * 10 + picture) * 40
            size = 2000 if picture == 0 else 100 + picture
            data = payload(opened.head, size)
            writer.publish(0, data, pts=milliseconds * 90, duration=3600, keyframe=picture == 0)
            writer.publish(1, payload(opened.head, 200), pts=milliseconds * 48)
    writer.end()
    os.close(fd)


if __name__ == "__main__":
    main()

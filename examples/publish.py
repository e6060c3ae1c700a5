"""A publisher in ten lines: the time of day, once a second, to any number of subscribers."""

import sys
import time

import arclyd

with arclyd.Publisher(sys.argv[1] if len(sys.argv) > 1 else "live/clock", [arclyd.Track.data("raw")]) as publisher:
    for second in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3600):
        subscribers = publisher.publish(0, time.ctime().encode(), pts=second * 90_000, keyframe=True)
        print(f"second {second}: {subscribers} subscribers", flush=True)
        time.sleep(1)

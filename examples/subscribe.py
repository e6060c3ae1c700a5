"""A subscriber in ten lines: every frame of a stream, straight out of shared memory."""

import sys

import arclyd

with arclyd.Subscriber(sys.argv[1] if len(sys.argv) > 1 else "live/clock") as subscriber:
    for frame in subscriber:
        start = bytes(frame.data[:32])  # a view into the ring: nothing was copied so far
        if frame.is_intact():  # ... and what was read from it is what was published
            print(frame.seq, frame.track, frame.pts, len(frame), "key" if frame.keyframe else "-", start, flush=True)
print("the end:", subscriber.end_reason)

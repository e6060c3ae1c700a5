"""Decoded pictures of a live stream as numpy arrays, with PyAV: the start of a video analysis.

    python examples/grab_frames.py live/cam1 --count 100

Prints the mean brightness of every picture. A reader that falls behind loses frames, never its place:
after a gap it goes on with a keyframe.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import av
import numpy as np

import arclyd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def decoder_for(track: arclyd.Track) -> av.VideoCodecContext:
    """A decoder for the track, with the configuration now in force."""
    context = av.CodecContext.create(track.codec.ffmpeg_name, "r")
    assert isinstance(context, av.VideoCodecContext)
    if track.config:
        context.extradata = track.config
    return context


def pictures(subscriber: arclyd.Subscriber) -> Iterator[tuple[float, NDArray[np.uint8]]]:
    """Each picture of the stream's video, in order of presentation: (seconds, height x width x 3 bytes of RGB)."""
    decoder: av.VideoCodecContext | None = None
    while True:
        try:
            item = subscriber.recv_raw()
            if isinstance(item, arclyd.Gap):
                decoder = None  # the next frame is a keyframe
                continue
            if item.is_config:
                decoder = None
                continue
            payload = item.tobytes()
        except arclyd.FrameOverwritten:  # too slow for this one; the next call says how many were lost
            continue
        except arclyd.EndOfStream:
            return
        track = subscriber.tracks[item.track]
        if decoder is None:
            if not item.keyframe:
                continue
            decoder = decoder_for(track)
        packet = av.Packet(payload)
        packet.pts, packet.dts, packet.time_base = item.pts, item.dts, track.time_base
        for picture in decoder.decode(packet):
            yield picture.time or 0.0, np.asarray(picture.to_ndarray(format="rgb24"), dtype=np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("key", help="stream key, e.g. live/cam1")
    parser.add_argument("--count", type=int, default=0, help="stop after so many pictures (0: go on)")
    options = parser.parse_args()
    with arclyd.Subscriber(options.key, tracks=["video"], name="grab_frames") as subscriber:
        for number, (seconds, pixels) in enumerate(pictures(subscriber), 1):
            print(f"{seconds:10.3f} s  {pixels.shape[1]}x{pixels.shape[0]}  mean {pixels.mean():6.2f}", flush=True)
            if number == options.count:
                break
        print(f"{number} pictures, {subscriber.dropped} frames lost")


if __name__ == "__main__":
    main()

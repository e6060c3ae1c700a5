"""Short streams of real encoders, as a publisher has them: tracks, and units with their timestamps."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.frame import PictureType

from arclyd.ingest.file.source import open_file
from tests.scheduling import scheduled_as_before

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.packet import Packet

    import arclyd
    from arclyd.media.track import Track

FPS = 25
GOP = 25
RATE = 48000
ENCODERS = {
    "h264": ("libx264", {"g": "25", "bf": "0", "preset": "ultrafast", "sc_threshold": "0"}),
    "h264-b": ("libx264", {"g": "25", "bf": "3", "preset": "fast", "sc_threshold": "0", "threads": "1"}),
    "hevc": (
        "libx265",
        {"preset": "ultrafast", "x265-params": "keyint=25:min-keyint=25:scenecut=0:info=0:log-level=none"},
    ),
    "av1": ("libsvtav1", {"g": "25", "preset": "12"}),
    "vp9": ("libvpx-vp9", {"g": "25", "deadline": "realtime", "cpu-used": "8"}),
}
"""Pictures by a short name: the encoder and its options, a keyframe a second."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One unit; times in the time base of its track."""

    track: int
    payload: bytes
    pts: int
    dts: int
    duration: int | None
    keyframe: bool

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True, slots=True)
class Clip:
    """What an encoder made, in the order of its file."""

    tracks: tuple[Track, ...]
    samples: tuple[Sample, ...]

    def of(self, track: int) -> list[Sample]:
        return [sample for sample in self.samples if sample.track == track]


@cache
def clip(picture: str | None, sound: str | None, seconds: int = 4) -> Clip:
    """A moving picture (a name of `ENCODERS`) and a tone (an encoder of FFmpeg), or one of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        _encode(path, picture, sound, seconds)
        with closing(open_file(str(path))) as source:
            samples = tuple(
                Sample(
                    unit.track, bytes(unit.payload), unit.pts or 0, unit.dts or 0, unit.duration, unit.keyframe
                )
                for unit in source.units()
            )  # fmt: skip
            return Clip(tuple(source.tracks), samples)


def publish(pub: arclyd.Publisher, samples: Iterable[Sample], shift: Fraction = Fraction(0)) -> int:
    """Publish samples at once, ``shift`` seconds later than they say; returns how many."""
    count = 0
    for sample in samples:
        ticks = int(shift / pub.tracks[sample.track].time_base)
        pub.publish(
            sample.track,
            sample.payload,
            pts=sample.pts + ticks,
            dts=sample.dts + ticks,
            duration=sample.duration,
            keyframe=sample.keyframe,
        )
        count += 1
    return count


def _encode(path: Path, picture: str | None, sound: str | None, seconds: int) -> None:
    with scheduled_as_before(), av.open(str(path), "w") as container:
        packets: list[Packet] = []
        if picture is not None:
            packets += _pictures(container, picture, seconds)
        if sound is not None:
            packets += _sounds(container, sound, seconds)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


def _pictures(container: av.container.OutputContainer, name: str, seconds: int) -> list[Packet]:
    encoder, options = ENCODERS[name]
    stream = container.add_stream(encoder, rate=FPS, options=dict(options))
    stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
    graph = av.filter.Graph()
    source = graph.add("testsrc2", f"size=160x90:rate={FPS}:duration={seconds}")
    shape, sink = graph.add("format", "yuv420p"), graph.add("buffersink")
    source.link_to(shape)
    shape.link_to(sink)
    graph.configure()
    packets: list[Packet] = []
    for _ in range(seconds * FPS):
        frame = graph.vpull()
        frame.pict_type = PictureType.NONE  # the filter says I of each, and the encoder would obey
        packets += stream.encode(frame)
    return [packet for packet in packets + stream.encode(None) if packet.size]


def _sounds(container: av.container.OutputContainer, encoder: str, seconds: int) -> list[Packet]:
    stream = container.add_stream(encoder, rate=RATE)
    stream.layout = "stereo"
    tone = (np.sin(np.arange(seconds * RATE) * 0.05) * 8000).astype(np.int16).repeat(2).reshape(1, -1)
    packets: list[Packet] = []
    for at in range(0, seconds * RATE, 960):
        frame = av.AudioFrame.from_ndarray(tone[:, at * 2 : (at + 960) * 2], format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        packets += stream.encode(frame)
    return [packet for packet in packets + stream.encode(None) if packet.size]

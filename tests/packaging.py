"""Frames for the packager's tests: of real encoders, through the demuxer of the file gateway, without a ring."""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

import av

from arclyd.ingest.file.source import open_file
from arclyd.media.codecs import CodecId
from arclyd.packagers.pieces import Closed, Lane, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from arclyd.media.track import Track
    from arclyd.packagers.segmenter import Event, Segmenter

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25")
TONE = ("-f", "lavfi", "-i", "sine=frequency=500:sample_rate=48000")
AAC = ("-c:a", "aac", "-b:a", "64k")
OPUS = ("-c:a", "libopus", "-b:a", "48k")
X264 = (
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-threads",
    "1",
    "-g",
    "25",
    "-keyint_min",
    "25",
    "-sc_threshold",
    "0",
)

FAST_VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "25")
FAST_AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-g", "25", "-svtav1-params", "lp=1")

KINDS: dict[str, tuple[str, ...]] = {
    "h264_aac.mp4": (*PICTURE, *TONE, *X264, "-bf", "0", *AAC),
    "h264_bframes_aac.mp4": (*PICTURE, *TONE, *X264, "-preset", "medium", "-bf", "3", *AAC),
    "hevc_aac.mp4": (*PICTURE, *TONE, "-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
                     "-x265-params", "keyint=25:min-keyint=25:log-level=none", *AAC),
    "av1_opus.mkv": (*PICTURE, *TONE, *FAST_AV1, *OPUS),
    "vp9_opus.mkv": (*PICTURE, *TONE, *FAST_VP9, *OPUS),
    "h264_large_aac.mp4": ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=50", *TONE, *X264, "-g", "50",
                           "-keyint_min", "50", "-bf", "2", *AAC),
    "sound.m4a": (*TONE, *AAC),
    "sound.mp3": (*TONE, "-c:a", "libmp3lame"),
    "two_sounds.mp4": (*PICTURE, *TONE, "-f", "lavfi", "-i", "sine=frequency=900:sample_rate=44100",
                       *X264, *AAC, "-map", "0", "-map", "1", "-map", "2"),
}  # fmt: skip
"""What ffmpeg makes each clip of, by file name."""


def make_clip(folder: Path, name: str, seconds: float = 6) -> Path:
    """Encode a clip of `KINDS`."""
    path = folder / name
    command = ["ffmpeg", "-v", "error", "-y", *KINDS[name], "-t", str(seconds), str(path)]
    subprocess.run(command, check=True, timeout=100)
    return path


@dataclass
class FakeFrame:
    """A frame as the ring gives it; ``lapped``: the writer overtook it."""

    seq: int
    track: int
    payload: bytes
    pts: int = 0
    dts: int = 0
    duration: int | None = None
    keyframe: bool = False
    is_config: bool = False
    discontinuity: bool = False
    droppable: bool = False
    capture_ns: int = 0
    lapped: bool = field(default=False, compare=False)

    @property
    def data(self) -> memoryview:
        return memoryview(self.payload)

    def is_intact(self) -> bool:
        return not self.lapped


def read_clip(path: Path, wall_ns: int = 1_700_000_000_000_000_000) -> tuple[list[Track], list[FakeFrame]]:
    """The tracks of a file and its frames, each track's configuration first, as a publisher gives them."""
    with closing(open_file(str(path))) as source:
        tracks = list(source.tracks)
        seq = itertools.count()
        frames = [
            FakeFrame(next(seq), number, track.config, is_config=True)
            for number, track in enumerate(tracks)
            if track.config
        ]
        for unit in source.units():
            assert unit.pts is not None
            assert unit.dts is not None
            at = wall_ns + int(unit.dts * tracks[unit.track].time_base * 1_000_000_000)
            frames.append(
                FakeFrame(
                    next(seq), unit.track, bytes(unit.payload), unit.pts, unit.dts, unit.duration, unit.keyframe,
                    capture_ns=at,
                )
            )  # fmt: skip
    return tracks, frames


def later(frames: Sequence[FakeFrame], tracks: Sequence[Track], seconds: Fraction, seq: int) -> list[FakeFrame]:
    """The same frames again, ``seconds`` on, numbered from ``seq``."""
    moved = []
    for number, frame in enumerate(frames):
        ticks = int(seconds / tracks[frame.track].time_base)
        moved.append(
            replace(
                frame, seq=seq + number, pts=frame.pts + ticks, dts=frame.dts + ticks,
                capture_ns=frame.capture_ns + int(seconds * 1_000_000_000),
            )
        )  # fmt: skip
    return moved


def cut(segmenter: Segmenter, tracks: Sequence[Track], frames: Iterable[FakeFrame], *, end: bool = True) -> list[Event]:
    """Everything a segmenter gives for these frames."""
    events = list(segmenter.receive_tracks(tracks))
    for frame in frames:
        events += segmenter.receive_frame(frame)
    return events + (segmenter.receive_end() if end else [])


def parts_of(events: Iterable[Event]) -> list[Part]:
    return [event for event in events if isinstance(event, Part)]


def closed(events: Iterable[Event]) -> list[int]:
    return [event.segment for event in events if isinstance(event, Closed)]


def files(parts: Iterable[Part]) -> dict[tuple[int, int], tuple[Lane, bytes]]:
    """By period and lane: the init segment and all chunks in a row."""
    found: dict[tuple[int, int], tuple[Lane, bytes]] = {}
    for part in parts:
        for number, chunk in part.chunks.items():
            lane = part.period.lanes[number]
            before = found.get((part.period.number, number), (lane, lane.init))[1]
            found[part.period.number, number] = (lane, before + chunk.data)
    return found


@dataclass(frozen=True)
class Packet:
    """One access unit and when it is decoded and shown, in seconds."""

    dts: Fraction
    pts: Fraction
    digest: str


def packets_of(data: bytes) -> list[Packet]:
    """What FFmpeg demuxes from one lane's file."""
    with av.open(BytesIO(data)) as container:
        (stream,) = container.streams
        return list(_packets(container.demux(stream)))


def _packets(demuxed: Iterator[av.Packet]) -> Iterator[Packet]:
    for packet in demuxed:
        if packet.dts is None or packet.pts is None:
            continue
        assert packet.time_base is not None
        base = Fraction(packet.time_base)
        yield Packet(packet.dts * base, packet.pts * base, digest(bytes(packet)))


def published(frames: Iterable[FakeFrame], track: int, time_base: Fraction, shift: int = 0) -> list[Packet]:
    """The same of the frames of one track, ``shift`` seconds on."""
    return [
        Packet(frame.dts * time_base + shift, frame.pts * time_base + shift, digest(frame.payload))
        for frame in frames
        if frame.track == track and not frame.is_config
    ]


def digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


# ------------------------------------------------------------------- MPEG-TS

_ADDED = {CodecId.H264: {7, 8, 9}, CodecId.H265: {32, 33, 34, 35, 39}}
"""Types of NAL units that MPEG-TS has in the stream and the canonical payload has not: delimiters, and what decoder
configurations hold, parameter sets and (x265's) a message about the encoder."""


def essence(codec: CodecId, payload: bytes, *, transport: bool) -> str:
    """The digest of what is the same of an access unit in MPEG-TS (Annex B, ADTS) and as it was published."""
    if codec in _ADDED:
        units = re.split(rb"\x00\x00\x00?\x01", payload)[1:] if transport else _length_prefixed(payload)
        added = _ADDED[codec]
        return digest(b"".join(unit for unit in units if _nal_type(codec, unit) not in added))
    if codec is CodecId.AAC and transport:
        assert payload[:1] == b"\xff"
        return digest(payload[7 if payload[1] & 1 else 9 :])
    return digest(payload)


def _nal_type(codec: CodecId, unit: bytes) -> int:
    return unit[0] & 0x1F if codec is CodecId.H264 else unit[0] >> 1 & 0x3F


def _length_prefixed(payload: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(payload):
        size = int.from_bytes(payload[at : at + 4], "big")
        yield payload[at + 4 : at + 4 + size]
        at += 4 + size


def transport_packets(data: bytes, kind: str, codec: CodecId) -> list[Packet]:
    """What FFmpeg demuxes of the track of ``kind`` ("video", "audio") of an MPEG-TS, each by its `essence`."""
    with av.open(BytesIO(data), format="mpegts") as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        base = Fraction(1, 90_000)
        return [
            Packet(packet.dts * base, packet.pts * base, essence(codec, bytes(packet), transport=True))
            for packet in container.demux(stream)
            if packet.dts is not None and packet.pts is not None and packet.size
        ]

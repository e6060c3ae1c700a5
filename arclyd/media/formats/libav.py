"""Containers that FFmpeg's muxers write, through PyAV, without a codec being opened.

PyAV can describe an output stream only by an input stream, so the tracks are written as an fMP4 init segment first
and read back: that is the template of every container here.
"""

from __future__ import annotations

from contextlib import contextmanager
from io import BytesIO
from math import lcm
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import av
from av.error import FFmpegError

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId
from arclyd.media.formats.fmp4 import init_segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from av.container import OutputContainer
    from av.stream import Stream

    from arclyd.media.formats.container import Sink
    from arclyd.media.track import Track

NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})
FRAGMENTED: Final[Mapping[str, str]] = MappingProxyType({"movflags": "frag_keyframe+empty_moov+default_base_moof"})
FRAGMENT_US: Final = 1_000_000
"""Longest fragment of a file that grows, in microseconds: what a killed process loses of a stream at most."""
MAX_TICKS: Final = (1 << 31) - 1
"""Longest time in ticks between two frames of a track, between a frame's dts and pts, and a frame lasts: what does not
fit 32 bits FFmpeg's MP4 muxer answers with abort()."""
CLUSTER_MS: Final = 1000
"""The same for Matroska's clusters, in milliseconds."""
SEGMENT: Final[Mapping[str, str]] = MappingProxyType(
    # Timestamps as they are, and a mark that the counters of packets start anew, so that each segment stands alone.
    {"mpegts_copyts": "1", "mpegts_flags": "initial_discontinuity"},
)
LIVE: Final[Mapping[str, str]] = MappingProxyType(
    # A fifth of a second for what the network does, and a new value of the clock every 20 ms at most.
    {"max_delay": "200000", "pcr_period": "20", "mpegts_flags": "initial_discontinuity"},
)


def open_ts_segment(sink: Sink, tracks: Sequence[Track]) -> LibavOutput:
    """One of many pieces of MPEG-TS that are played one after the other, each made without the others."""
    return LibavOutput(sink, "mpegts", tracks, seekable=False, options=SEGMENT)


def open_ts_live(sink: Sink, tracks: Sequence[Track], *, seekable: bool) -> LibavOutput:
    """MPEG-TS for receivers that listen already: begun with the mark of a break, decoded a little after it came."""
    return LibavOutput(sink, "mpegts", tracks, seekable=seekable, options=LIVE)


def open_ts_piece(sink: Sink, tracks: Sequence[Track]) -> LibavOutput:
    """The same for pieces that are made one stream of by `ts_joined`."""
    return LibavOutput(sink, "mpegts", tracks, seekable=False, options={"mpegts_copyts": "1"})


def open_ts(sink: Sink, tracks: Sequence[Track], *, seekable: bool) -> LibavOutput:
    """MPEG-TS: FFmpeg puts parameter sets and ADTS headers where they belong."""
    return LibavOutput(sink, "mpegts", tracks, seekable=seekable)


def open_mkv(sink: Sink, tracks: Sequence[Track], *, seekable: bool) -> LibavOutput:
    """Matroska, in clusters of a second."""
    options = {"cluster_time_limit": str(CLUSTER_MS)}
    return LibavOutput(sink, "matroska", tracks, seekable=seekable, options=options)


def open_mp4(sink: Sink, tracks: Sequence[Track], *, seekable: bool) -> LibavOutput:
    """MP4 with its index at the end; in fragments where the sink can't go back, each track from zero on."""
    return LibavOutput(sink, "mp4", tracks, seekable=seekable, options=NO_OPTIONS if seekable else FRAGMENTED)


def open_growing_mp4(sink: Sink, tracks: Sequence[Track], *, seekable: bool) -> LibavOutput:
    """MP4 that plays at every moment: fragments of a keyframe or a second each.

    Where the sink can go back, closing it adds the index of a whole file and leaves every byte of media where it is
    (FFmpeg's ``hybrid_fragmented``); VP9 stays in fragments: FFmpeg needs a pixel format for its index that only a
    decoder knows. Nothing is written before every track has had a frame: then the header says when each of them begins
    (``delay_moov``), which FFmpeg else forgets.
    """
    whole = seekable and all(track.codec is not CodecId.VP9 for track in tracks)
    flags = "frag_keyframe+default_base_moof+delay_moov" + ("+hybrid_fragmented" if whole else "")
    options = {"movflags": flags, "frag_duration": str(FRAGMENT_US), "movie_timescale": str(_movie_timescale(tracks))}
    return LibavOutput(sink, "mp4", tracks, seekable=whole, options=options)


def _movie_timescale(tracks: Sequence[Track]) -> int:
    """Units per second in which every track's beginning is exact, where FFmpeg's 31 bits have room for it."""
    scales = [track.time_base.denominator for track in tracks]
    exact = lcm(*scales)
    return exact if exact < 1 << 31 else max(scales)


class LibavOutput:
    """One container of FFmpeg's muxer ``name``.

    Raises:
        MediaError: FFmpeg refuses the tracks.
    """

    def __init__(
        self,
        sink: Sink,
        name: str,
        tracks: Sequence[Track],
        *,
        seekable: bool,
        options: Mapping[str, str] = NO_OPTIONS,
    ) -> None:
        self._name = name
        self._time_bases = [track.time_base for track in tracks]
        self._last: dict[int, int] = {}
        target = sink if seekable else WriteOnly(sink)
        with _translated(name), _template(init_segment(tracks)) as template:
            # Flushed, so that what a call has completed is in the sink when it returns.
            options = {"flush_packets": "1", **options}
            self._container: OutputContainer = av.open(target, "w", format=name, options=options)
            self._streams: list[Stream] = [
                self._container.add_stream_from_template(stream, opaque=True) for stream in template.streams
            ]
            self._container.start_encoding()

    def write(self, place: int, payload: bytes, *, pts: int, dts: int, duration: int | None, keyframe: bool) -> None:
        """Write one frame of the track at ``place``, in its time base.

        Raises:
            MediaError: FFmpeg refuses it, or it is too far from the one before (`MAX_TICKS`).
        """
        if max(abs(pts - dts), dts - self._last.get(place, dts)) > MAX_TICKS:
            raise MediaError(f"{self._name} container", "timestamps too far apart")
        packet: av.Packet[Stream] = av.Packet(payload)
        packet.pts, packet.dts = pts, dts
        packet.time_base = self._time_bases[place]
        packet.stream = self._streams[place]
        packet.is_keyframe = keyframe
        if duration is not None and duration <= MAX_TICKS:
            packet.duration = duration
        with _translated(self._name):
            self._container.mux_one(packet)
        self._last[place] = dts

    def close(self) -> None:
        """Complete the container; the sink stays open."""
        with _translated(self._name):
            self._container.close()


class WriteOnly:
    """Hides that a sink could be sought, which PyAV finds out by its methods."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes, /) -> int | None:
        """Hand on."""
        return self._sink.write(data)


@contextmanager
def _template(init: bytes) -> Iterator[av.container.InputContainer]:
    with av.open(BytesIO(init), "r", format="mp4") as template:
        yield template


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except FFmpegError as error:
        raise MediaError(f"{name} container", error.strerror or str(error)) from error
    except ValueError as error:  # PyAV's own way of saying that a container has no place for a codec
        raise MediaError(f"{name} container", str(error)) from error

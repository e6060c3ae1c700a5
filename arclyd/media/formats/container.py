"""Remuxing: the frames of a stream into MPEG-TS, MP4, Matroska or FLV, with timestamps that start at zero.

What is said here holds for every container; how its bytes are made stands in `libav` and `flv`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, TrackKind
from arclyd.media.formats import libav
from arclyd.media.formats.continuity import Timeline
from arclyd.media.formats.flv import FlvWriter
from arclyd.media.formats.fmp4 import supports
from arclyd.media.formats.fragmented import FragmentedMp4
from arclyd.media.timebase import rescale_floor
from arclyd.media.timed import TimedFrame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arclyd.media.track import Track

MAX_HELD: Final = 4096
"""Frames held while the first video keyframe is awaited: over a minute of sound."""

NEEDS_CONFIG: Final = frozenset(
    {CodecId.H264, CodecId.H265, CodecId.VVC, CodecId.AV1, CodecId.AAC, CodecId.OPUS, CodecId.AC3},
)
"""Codecs that can't be described without their configuration record."""


class MediaFrame(TimedFrame, Protocol):
    """What a muxer takes from a frame; `arclyd.client` frames have it."""

    def tobytes(self) -> bytes:
        """A checked copy of the payload."""


class Sink(Protocol):
    """Where the container goes. With ``seek`` and ``tell`` too, headers are completed at the end."""

    def write(self, data: bytes, /) -> int | None:
        """Take all of ``data``."""


@runtime_checkable
class SeekableSink(Sink, Protocol):
    """A sink that can go back to a place already written."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place, as a file does."""


class Output(Protocol):
    """A container being written; ``place`` counts the tracks it was opened with."""

    def write(self, place: int, payload: bytes, *, pts: int, dts: int, duration: int | None, keyframe: bool) -> None:
        """Write one frame; dts of a track rise, no time is negative."""

    def close(self) -> None:
        """Complete the container."""


class Opener(Protocol):
    """Begins a container of these tracks."""

    def __call__(self, sink: Sink, tracks: Sequence[Track], *, seekable: bool) -> Output:
        """``seekable``: the sink can go back, so that the container may be completed at the end."""


@dataclass(frozen=True, slots=True)
class Format:
    """A container: the names it goes by, what it can hold in a way others read, and what writes it.

    ``single``: one picture and one sound track at most.
    """

    name: str
    extensions: tuple[str, ...]
    codecs: frozenset[CodecId]
    open: Opener
    single: bool = False


class FlvOutput:
    """FLV by our own writer; its duration is filled in where the sink can go back."""

    def __init__(self, sink: Sink, tracks: Sequence[Track], *, seekable: bool) -> None:
        self._sink = sink
        self._seekable = seekable
        self._writer = FlvWriter(tracks)
        sink.write(self._writer.start())

    def write(self, place: int, payload: bytes, *, pts: int, dts: int, duration: int | None, keyframe: bool) -> None:
        """Write one tag; FLV has no durations."""
        del duration
        self._sink.write(self._writer.frame(place, payload, pts=pts, dts=dts, keyframe=keyframe))

    def close(self) -> None:
        """Fill in the duration."""
        if self._seekable and isinstance(self._sink, SeekableSink):
            at, value = self._writer.duration()
            self._sink.seek(at)
            self._sink.write(value)


def open_mp4(sink: Sink, tracks: Sequence[Track], *, seekable: bool) -> Output:
    """MP4 with its index at the end; in fragments where the sink can't go back.

    VP9 always goes in fragments: FFmpeg needs a pixel format for its index that only a decoder knows.
    """
    whole = seekable and all(track.codec is not CodecId.VP9 for track in tracks)
    if whole or not all(supports(track.codec) for track in tracks):
        return libav.open_mp4(sink, tracks, seekable=whole)
    return FragmentedMp4(sink, tracks)


_COMMON: Final = frozenset({CodecId.H264, CodecId.H265, CodecId.AAC, CodecId.MP3, CodecId.OPUS})
_TS_CODECS: Final = _COMMON | {CodecId.AC3}
_MP4_CODECS: Final = _TS_CODECS | {CodecId.AV1, CodecId.VP9, CodecId.VVC}
_MKV_CODECS: Final = _TS_CODECS | {CodecId.AV1, CodecId.VP8, CodecId.VP9}
_FLV_CODECS: Final = _COMMON | {CodecId.AV1, CodecId.G711A, CodecId.G711U}

FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Format("ts", (".ts", ".m2ts", ".mts"), _TS_CODECS, libav.open_ts),
            Format("mp4", (".mp4", ".m4v", ".m4a", ".mov"), _MP4_CODECS, open_mp4),
            Format("mkv", (".mkv", ".mka"), _MKV_CODECS, libav.open_mkv),
            Format("flv", (".flv",), _FLV_CODECS, FlvOutput, single=True),
        )
    }
)
"""Every container by its short name."""


def format_of(file_name: str) -> Format | None:
    """The container a file name's extension asks for."""
    lower = file_name.lower()
    return next((entry for entry in FORMATS.values() if lower.endswith(entry.extensions)), None)


class Muxer:
    """Writes the frames of one stream as one container.

    Nothing is written before the first video keyframe (without video: the first frame), which comes to lie at zero;
    sound from before that picture is left out, sound that was published ahead of it is kept. Later timestamps go on
    evenly where the publisher's jump.

    Args:
        sink: where the bytes go; with ``seek`` and ``tell`` the container is completed at the end.
        format: which container.
        tracks: the stream's tracks, by id. A CONFIG frame replaces a track's configuration until writing starts.
        seekable: False: the layout of that container that needs no going back.
    """

    def __init__(self, sink: Sink, format: Format, tracks: Sequence[Track], *, seekable: bool = True) -> None:
        self._sink = sink
        self._format = format
        self._seekable = seekable
        self._tracks = dict(enumerate(tracks))
        self._configs = {number: bytes(track.config) for number, track in self._tracks.items()}
        self._kept = _holdable(self._tracks, format)
        self._video = {number for number in self._kept if self._tracks[number].codec.kind is TrackKind.VIDEO}
        self._timeline = Timeline([track.time_base for track in tracks])
        self._held: list[_Held] = []
        self._awaiting_key = set(self._video)
        self._begun: set[int] = set()
        self._start_pts = Fraction(0)
        self._origin = Fraction(0)
        self._origins: dict[int, int] = {}
        self._places: dict[int, int] = {}
        self._output: Output | None = None
        self._closed = False
        self.frames = 0
        if not self._kept:
            raise MediaError(f"{format.name} container", f"it can hold none of {self._labels(self._tracks)}")

    @property
    def left_out(self) -> tuple[Track, ...]:
        """The tracks this container can't hold; complete once writing has `started`."""
        return tuple(track for number, track in self._tracks.items() if number not in self._kept)

    @property
    def started(self) -> bool:
        """The header is written: the configurations are fixed from here on."""
        return self._closed or self._output is not None

    @property
    def seconds(self) -> Fraction:
        """How much media is written, in seconds of decoding time."""
        return max(self._timeline.end - self._origin, Fraction(0)) if self.started else Fraction(0)

    def fits(self, frame: MediaFrame) -> bool:
        """False: a configuration other than the one in the header, which can't be changed any more."""
        if not frame.is_config or not self.started or frame.track not in self._kept:
            return True
        return frame.tobytes() == self._configs[frame.track]

    def write(self, frame: MediaFrame) -> None:
        """Take the next frame of the stream, of any track.

        Raises:
            MediaError: the container refuses the tracks or the frame.
            FrameOverwritten: the frame is gone from the ring; nothing of it was written, and the muxer goes on.
        """
        if frame.track not in self._kept:
            return
        if frame.is_config:
            if not self.started:
                self._configs[frame.track] = frame.tobytes()
            return
        held = _Held(frame.track, frame.pts, frame.dts, frame.duration, frame.keyframe, frame.tobytes())
        if self.started:
            self._mux(held)
        elif self._starts_at(held):
            self._start(held)
        elif held.track not in self._video and len(self._held) < MAX_HELD:
            self._held.append(held)

    def resync(self) -> None:
        """Frames were lost: every picture track goes on with its next keyframe."""
        self._awaiting_key = self._video & self._kept

    def close(self) -> None:
        """Complete the container. A muxer that never started leaves nothing behind."""
        if self._output is None:
            return
        output, self._output = self._output, None
        self._closed = True
        output.close()

    def _starts_at(self, held: _Held) -> bool:
        return not self._video or (held.keyframe and held.track == min(self._video))

    def _start(self, first: _Held) -> None:
        self._leave_out_unconfigured()
        self._output = self._open()
        time_base = self._tracks[first.track].time_base
        self._origin = first.dts * time_base
        self._origins = {
            number: rescale_floor(first.dts, time_base, track.time_base) for number, track in self._tracks.items()
        }
        self._start_pts = first.pts * time_base
        ahead, self._held = self._held, []
        self._mux(first)
        for held in ahead:
            self._mux(held)

    def _leave_out_unconfigured(self) -> None:
        for number in tuple(self._kept):
            if self._tracks[number].codec in NEEDS_CONFIG and not self._configs[number]:
                self._kept.discard(number)
                self._awaiting_key.discard(number)
        if not self._kept:
            raise MediaError(f"{self._format.name} container", "no track has a decoder configuration")

    def _open(self) -> Output:
        numbers = sorted(self._kept)
        self._places = {number: place for place, number in enumerate(numbers)}
        tracks = [replace(self._tracks[number], config=self._configs[number]) for number in numbers]
        return self._format.open(self._sink, tracks, seekable=self._seekable)

    def _mux(self, held: _Held) -> None:
        if self._output is None or held.track not in self._kept or not self._joins(held):
            return
        placed = self._timeline.place(held.track, pts=held.pts, dts=held.dts, duration=held.duration)
        origin = self._origins[held.track]
        self._output.write(
            self._places[held.track],
            held.payload,
            pts=placed.pts - origin,
            dts=placed.dts - origin,
            duration=held.duration,
            keyframe=held.keyframe,
        )
        self.frames += 1

    def _joins(self, held: _Held) -> bool:
        """A track begins with a keyframe, and not before the picture everything starts with."""
        if held.track in self._awaiting_key:
            if not held.keyframe:
                return False
            self._awaiting_key.discard(held.track)
        if held.track not in self._begun:
            if held.pts * self._tracks[held.track].time_base < self._start_pts:
                return False
            self._begun.add(held.track)
        return True

    @staticmethod
    def _labels(tracks: Mapping[int, Track]) -> str:
        return ", ".join(track.codec.label for track in tracks.values()) or "no tracks"


def _holdable(tracks: Mapping[int, Track], format: Format) -> set[int]:
    kept = {number for number, track in tracks.items() if track.codec in format.codecs}
    if format.single:
        kinds = {tracks[number].kind: number for number in sorted(kept, reverse=True)}
        kept = set(kinds.values())
    return kept


@dataclass(frozen=True, slots=True)
class _Held:
    """A frame copied out of the ring."""

    track: int
    pts: int
    dts: int
    duration: int | None
    keyframe: bool
    payload: bytes

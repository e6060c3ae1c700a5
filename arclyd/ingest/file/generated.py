"""The test picture: libavfilter's testsrc2 (a moving pattern with a clock and a frame counter) and a beep each second.

Encoded here, with H.264 without B-frames and AAC, so that a stream is there without any file.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeVar

import av
from av.codec.context import Flags
from av.filter import Graph
from av.video.frame import PictureType

from arclyd.errors import MediaError
from arclyd.ingest.file.source import Unit, translated
from arclyd.media.codecs import CodecId
from arclyd.media.codecs.nal import AnnexB
from arclyd.media.track import Track

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.codeccontext import AudioCodecContext
    from av.video.codeccontext import VideoCodecContext

Number = TypeVar("Number", int, Fraction)

PREFIX: Final = "test:"
SAMPLE_RATE: Final = 48000
SAMPLES_PER_FRAME: Final = 1024  # of AAC
AUDIO_BITRATE: Final = 96_000
MAX_SIDE: Final = 8192
MAX_FPS: Final = 1000


@dataclass(frozen=True, slots=True)
class Pattern:
    """What to generate. Sizes in pixels, ``gop`` in frames, ``bitrate`` of the picture in bit/s."""

    width: int = 1280
    height: int = 720
    fps: Fraction = Fraction(25)
    gop: int = 50
    bitrate: int = 2_000_000
    sound: bool = True

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read ``test:`` or ``test:size=1280x720,fps=30000/1001,gop=60,bitrate=2M,sound=off``.

        Raises:
            MediaError: a parameter that is not one, or has no such value.
        """
        pattern = cls()
        for word in filter(None, text.removeprefix(PREFIX).split(",")):
            name, equals, value = word.partition("=")
            try:
                pattern = _with_parameter(pattern, name, value if equals else "")
            except (ValueError, ZeroDivisionError):
                raise MediaError("test picture", f"{word!r} is not understood ({_USAGE})") from None
        return pattern


_USAGE: Final = "test:size=1280x720,fps=25,gop=50,bitrate=2M,sound=on"


def _with_parameter(pattern: Pattern, name: str, value: str) -> Pattern:
    if name == "size":
        width, _, height = value.partition("x")
        return replace(pattern, width=_even(width), height=_even(height))
    if name == "fps":
        return replace(pattern, fps=_within(Fraction(value), 1, MAX_FPS))
    if name == "gop":
        return replace(pattern, gop=_within(int(value), 1, 1 << 20))
    if name == "bitrate":
        scale = {"k": 1_000, "M": 1_000_000}.get(value[-1:], 1)
        bits = int(Fraction(value.rstrip("kM")) * scale)
        return replace(pattern, bitrate=_within(bits, 10_000, 1_000_000_000))
    if name == "sound" and value in {"on", "off"}:
        return replace(pattern, sound=value == "on")
    raise ValueError(name)


def _even(side: str) -> int:
    return _within(int(side) // 2 * 2, 16, MAX_SIDE)  # 4:2:0 has no odd sides


def _within(value: Number, least: int, most: int) -> Number:
    if not least <= value <= most:
        raise ValueError(value)
    return value


class GeneratedSource:
    """A `Source` without end, in the time base of 90 kHz where the rate allows.

    Raises:
        MediaError: an encoder is missing or refuses the parameters.
    """

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._force_keyframe = False
        ticks = Fraction(90_000) / pattern.fps
        self._ticks = ticks.numerator if ticks.denominator == 1 else 1
        self._time_base = Fraction(1, 90_000) if ticks.denominator == 1 else 1 / pattern.fps
        with translated("test picture"):
            self._pictures = _picture_graph(pattern)
            self._video = self._open_video()
            self._sounds = _sound_graph()
            self._audio = _open_audio()
        self._framing = AnnexB(CodecId.H264, self._video.extradata or b"")
        self._due: deque[Unit] = deque()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The picture, and the sound if there is one."""
        pattern = self._pattern
        config = self._framing.config
        video = Track.video(
            CodecId.H264, config=config, width=pattern.width, height=pattern.height, time_base=self._time_base
        )
        if not pattern.sound:
            return (video,)
        asc = bytes(self._audio.extradata or b"")
        return (video, Track.audio(CodecId.AAC, config=asc, sample_rate=SAMPLE_RATE, channels=2))

    @property
    def loops(self) -> bool:
        """It never ends, so there is nothing to start again."""
        return False

    def units(self) -> Iterator[Unit]:
        """Pictures as they come, each followed by the sound up to its end."""
        for number in itertools.count():
            with translated("test picture"):
                picture = self._picture(number)
                sounds = list(self._sounds_until((number + 1) / self._pattern.fps))
            yield from picture
            yield from sounds

    def request_keyframe(self) -> None:
        """The next picture becomes an IDR picture."""
        self._force_keyframe = True

    def close(self) -> None:
        """Nothing is held that Python does not free."""

    def _picture(self, number: int) -> list[Unit]:
        frame = self._pictures.vpull()
        frame.pts, frame.time_base = number * self._ticks, self._time_base
        forced, self._force_keyframe = self._force_keyframe, False
        frame.pict_type = PictureType.I if forced else PictureType.NONE
        return [
            Unit(
                0,
                self._framing.convert(memoryview(packet)),
                pts=packet.pts,
                dts=packet.dts,
                duration=self._ticks,
                keyframe=packet.is_keyframe,
            )
            for packet in self._video.encode(frame)
        ]

    def _sounds_until(self, end: Fraction) -> Iterator[Unit]:
        if not self._pattern.sound:
            return
        while not self._due or Fraction(self._due[-1].dts or 0, SAMPLE_RATE) < end:
            self._due.extend(self._next_sounds())
        while self._due and Fraction(self._due[0].dts or 0, SAMPLE_RATE) < end:
            yield self._due.popleft()

    def _next_sounds(self) -> list[Unit]:
        frame = self._sounds.pull()
        assert isinstance(frame, av.AudioFrame)
        return [
            Unit(
                1,
                bytes(packet),
                pts=packet.pts,
                dts=packet.dts,
                duration=SAMPLES_PER_FRAME,
                keyframe=True,
            )
            for packet in self._audio.encode(frame)
            if packet.pts is not None and packet.pts >= 0  # the encoder's priming lies before zero
        ]

    def _open_video(self) -> VideoCodecContext:
        pattern = self._pattern
        video = av.CodecContext.create("libx264", "w")
        video.width, video.height, video.pix_fmt = pattern.width, pattern.height, "yuv420p"
        video.time_base, video.framerate = self._time_base, pattern.fps
        video.bit_rate, video.gop_size = pattern.bitrate, pattern.gop
        video.flags |= Flags.global_header
        video.options = {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "x264-params": f"keyint={pattern.gop}:min-keyint=1:scenecut=0:repeat-headers=0",
        }
        video.open()
        return video


def _picture_graph(pattern: Pattern) -> Graph:
    graph = Graph()
    source = graph.add("testsrc2", f"size={pattern.width}x{pattern.height}:rate={pattern.fps}")
    pixels = graph.add("format", "yuv420p")
    sink = graph.add("buffersink")
    source.link_to(pixels)
    pixels.link_to(sink)
    graph.configure()
    return graph


def _sound_graph() -> Graph:
    graph = Graph()
    tone = f"frequency=440:beep_factor=4:sample_rate={SAMPLE_RATE}:samples_per_frame={SAMPLES_PER_FRAME}"
    source = graph.add("sine", tone)
    samples = graph.add("aformat", "sample_fmts=fltp:channel_layouts=stereo")
    sink = graph.add("abuffersink")
    source.link_to(samples)
    samples.link_to(sink)
    graph.configure()
    return graph


def _open_audio() -> AudioCodecContext:
    audio = av.CodecContext.create("aac", "w")
    audio.sample_rate, audio.layout, audio.format = SAMPLE_RATE, "stereo", "fltp"
    audio.time_base, audio.bit_rate = Fraction(1, SAMPLE_RATE), AUDIO_BITRATE
    audio.flags |= Flags.global_header
    audio.open()
    return audio

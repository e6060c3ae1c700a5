"""Sources: what a file, a pipe and the test picture give."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import threading
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from arclyd.errors import MediaError
from arclyd.ingest.file.generated import GeneratedSource, Pattern
from arclyd.ingest.file.leading import LeadingPictures
from arclyd.ingest.file.source import PipeReader, Unit, open_file, open_pipe
from arclyd.ingest.file.to_frames import Adts
from arclyd.media.codecs import CodecId
from arclyd.media.codecs.aac import AudioConfig, adts_header
from arclyd.media.codecs.describe import describe_config
from arclyd.media.codecs.h264 import is_keyframe
from arclyd.media.formats.container import FORMATS, Muxer

if TYPE_CHECKING:
    from arclyd.media.track import Track

CLIP = Path(__file__).parents[2] / "media" / "bigbuckbunny.mp4"


class Published:
    """A unit as a muxer takes it."""

    is_config = False

    def __init__(self, unit: Unit) -> None:
        self.track, self.duration, self.keyframe = unit.track, unit.duration, unit.keyframe
        assert unit.pts is not None
        assert unit.dts is not None
        self.pts, self.dts = unit.pts, unit.dts
        self._payload = bytes(unit.payload)

    def tobytes(self) -> bytes:
        return self._payload


def picture_as(name: str, pictures: int = 60) -> bytes:
    """A test picture in a container."""
    source = GeneratedSource(Pattern(width=64, height=48, gop=25))
    sink = BytesIO()
    muxer = Muxer(sink, FORMATS[name], source.tracks)
    for unit in itertools.takewhile(lambda unit: (unit.dts or 0) < pictures * 3600 or unit.track, source.units()):
        muxer.write(Published(unit))
    muxer.close()
    return sink.getvalue()


def through_pipe(data: bytes) -> tuple[tuple[Track, ...], list[Unit]]:
    """Tracks and units of a container that comes through a pipe, in small writes."""
    read_end, write_end = os.pipe()

    def feed() -> None:
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=feed)
    writer.start()
    try:
        source = open_pipe(read_end, threading.Event())
        return source.tracks, list(source.units())
    finally:
        writer.join()
        os.close(read_end)


def test_a_file_is_given_byte_by_byte_and_again() -> None:
    with av.open(str(CLIP)) as container:
        order = {stream.index: number for number, stream in enumerate(container.streams)}
        expected = [
            (order[p.stream_index], p.pts, p.dts, p.is_keyframe, hashlib.sha256(bytes(p)).digest())
            for p in container.demux()
            if p.size
        ]
    source = open_file(str(CLIP))
    for _ in range(2):
        given = [(u.track, u.pts, u.dts, u.keyframe, hashlib.sha256(u.payload).digest()) for u in source.units()]
        assert given == expected
    assert [track.codec for track in source.tracks] == [CodecId.H264, CodecId.AAC]
    assert (source.tracks[0].width, source.tracks[0].time_base) == (1280, Fraction(1, 12800))


@pytest.mark.parametrize("name", ["ts", "flv", "mkv"])
def test_a_pipe_is_recognised_by_its_content(name: str) -> None:
    tracks, units = through_pipe(picture_as(name))
    video, audio = tracks
    facts = describe_config(video.codec, video.config)
    assert (video.codec, facts.width, facts.height) == (CodecId.H264, 64, 48)
    assert AudioConfig.parse(audio.config).channels == 2
    pictures = [unit for unit in units if unit.track == 0]
    assert len(pictures) == 60
    assert [number for number, unit in enumerate(pictures) if unit.keyframe] == [0, 25, 50]
    assert [is_keyframe(unit.payload) for unit in pictures] == [unit.keyframe for unit in pictures]
    assert not any(unit.config for unit in units)


def test_a_transport_stream_gives_the_same_payloads_as_a_file_of_records() -> None:
    _, ts = through_pipe(picture_as("ts"))
    _, mkv = through_pipe(picture_as("mkv"))
    for track in (0, 1):
        # x264 begins its first picture with a SEI of its own settings, which passes; nothing else may differ.
        one, other = ([bytes(u.payload) for u in units if u.track == track] for units in (ts, mkv))
        assert one == other


def test_a_pipe_can_be_left() -> None:
    read_end, write_end = os.pipe()
    stop = threading.Event()
    reader = PipeReader(read_end, stop)
    try:
        os.write(write_end, b"some")
        assert reader.read(100) == b"some"
        threading.Timer(0.05, stop.set).start()
        assert reader.read(100) == b""
    finally:
        os.close(read_end)
        os.close(write_end)


def test_what_is_no_media_is_one_error(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("no media at all")
    for path in (text, tmp_path / "missing.mp4"):
        with pytest.raises(MediaError, match=path.name):
            open_file(str(path))


def test_streams_of_no_codec_here_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "flac.mkv"
    with av.open(str(path), "w") as container:
        kept = container.add_stream("libopus", rate=48000)
        left = container.add_stream("flac", rate=48000)
        for stream in (kept, left):
            frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
            frame.sample_rate, frame.pts = 48000, 0
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux([*stream.encode(frame), *stream.encode(None)])
    with caplog.at_level(logging.WARNING):
        source = open_file(str(path))
    assert [track.codec for track in source.tracks] == [CodecId.OPUS]
    assert [record.getMessage() for record in caplog.records] == [f"{path}: stream 1 (audio, flac) is left out"]
    source.close()


def test_adts_headers_become_the_configuration() -> None:
    framing = Adts()
    config = AudioConfig(2, 44100, 2, 2)
    payload = bytes(range(200))
    assert bytes(framing.convert(adts_header(config, len(payload)) + payload)) == payload
    assert AudioConfig.parse(framing.config) == config
    with pytest.raises(MediaError):
        framing.convert(2 * (adts_header(config, 4) + b"1234"))


def test_leading_pictures_get_decoding_times() -> None:
    leading = LeadingPictures()
    units = [Unit(0, b"", pts, dts, 40, keyframe=False) for pts, dts in [(21, None), (141, None), (61, 21), (101, 61)]]
    given = [unit for one in units for unit in leading.push(one)]
    assert [(unit.pts, unit.dts) for unit in given] == [(21, -59), (141, -19), (61, 21), (101, 61)]
    assert leading.flush() == []


def test_leading_pictures_are_given_back_at_the_end() -> None:
    leading = LeadingPictures()
    unit = Unit(0, b"", 0, None, None, keyframe=True)
    assert leading.push(unit) == []
    assert leading.flush() == [unit]


def test_the_test_picture_has_its_size_rate_and_gop() -> None:
    source = GeneratedSource(Pattern.parse("test:size=161x90,fps=30000/1001,gop=15,bitrate=500k"))
    video, audio = source.tracks
    facts = describe_config(video.codec, video.config)
    assert (facts.width, facts.height, video.time_base) == (160, 90, Fraction(1, 90_000))
    units = list(itertools.islice(source.units(), 200))
    pictures = [unit for unit in units if unit.track == 0]
    assert [unit.dts for unit in pictures] == [3003 * number for number in range(len(pictures))]
    assert [number for number, unit in enumerate(pictures) if unit.keyframe] == list(range(0, len(pictures), 15))
    sounds = [unit for unit in units if unit.track == 1]
    assert [unit.dts for unit in sounds] == [1024 * number for number in range(len(sounds))]
    assert audio.channels == 2


def test_the_test_picture_makes_a_keyframe_on_request() -> None:
    source = GeneratedSource(Pattern(width=64, height=48, gop=1000, sound=False))
    keys = []
    for number, unit in enumerate(itertools.islice(source.units(), 20)):
        keys.append(unit.keyframe)
        if number == 6:
            source.request_keyframe()
    assert [number for number, key in enumerate(keys) if key] == [0, 7]


def test_the_test_picture_refuses_what_it_does_not_know() -> None:
    for words in ("size=0x0", "size=big", "fps=0", "fps=1/0", "gop=-1", "colour=red", "sound=maybe", "bitrate=x"):
        with pytest.raises(MediaError, match=words.partition("=")[0]):
            Pattern.parse(f"test:{words}")


def test_timed_metadata_is_carried_as_raw_data() -> None:
    sink = BytesIO()
    with av.open(sink, "w", format="mpegts") as container:
        video, klv = container.add_mux_stream("h264", rate=25), container.add_data_stream("klv")
        base = Fraction(1, 90_000)
        klv.time_base = base
        units = [(video, b"\0\0\0\1\x65" + bytes(range(1, 50))), (klv, b"a local set")]
        for number, (stream, payload) in itertools.product(range(30), units):
            packet = av.Packet(payload)
            packet.pts = packet.dts = number * 3600
            packet.time_base, packet.stream, packet.is_keyframe = base, stream, True
            container.mux_one(packet)
    tracks, units_read = through_pipe(sink.getvalue())
    kinds = [track.codec for track in tracks]
    assert CodecId.RAW in kinds
    place = kinds.index(CodecId.RAW)
    assert [bytes(unit.payload) for unit in units_read if unit.track == place] == [b"a local set"] * 30

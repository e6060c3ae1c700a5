"""Encoders of several makes publish by RTSP, and every access unit arrives as it was in their source."""

from __future__ import annotations

from contextlib import closing
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.ingest.file.source import open_file
from tests import clips
from tests.e2e.rtmp import KEY, contained, ffmpeg, reader, received
from tests.e2e.rtsp import PUSH, RtspGateway
from tests.e2e.test_rtmp_play import PROGRAM
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Script, Spawner

BUNNY = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
WHOLE = ["end ended 0"]
"""What a reader says that has lost nothing."""

TOGETHER = Fraction(40, 1000)
"""Seconds by which picture and sound may be off."""

KEPT_BACK = 16
"""Frames of AAC that FFmpeg's packer waits to send with others, and does not send at the end."""


def has_all(tracks: list[list[str]], source: Path) -> None:
    pictures, sounds = contained(source)
    assert tracks[0] == pictures
    assert tracks[1] == sounds[: len(tracks[1])]
    assert len(sounds) - len(tracks[1]) <= KEPT_BACK


def out_of_step(script: Script, source: Path) -> list[Fraction]:
    """Seconds by which a reader's sound was late against its picture, at the beginning and at the end of both."""
    with closing(open_file(str(source))) as film:
        times: dict[str, Fraction] = {}
        for unit in film.units():
            times[sha256(unit.payload).hexdigest()] = (unit.pts or 0) * film.tracks[unit.track].time_base
    off: list[list[Fraction]] = [[], []]
    for line in script.lines:
        word, *facts = line.split()
        if word == "frame" and facts[4] == "0":
            track, pts = int(facts[1]), int(facts[2])
            off[track].append(Fraction(pts, (90_000, 48_000)[track]) - times[facts[5]])
    return [sound - picture for picture, sound in ((off[0][0], off[1][0]), (off[0][-1], off[1][-1]))]


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_ffmpeg_publishes(spawn: Spawner, tmp_path: Path, transport: str) -> None:
    source = BUNNY
    if transport == "udp":  # so little that nothing is lost where nobody has time to take it
        source = tmp_path / "source.mp4"
        clips._encode(source, "h264-b", "aac", 4)
    gateway, there = RtspGateway(spawn), reader(spawn)
    done = ffmpeg("-readrate", 2, "-i", source, "-c", "copy", "-f", "rtsp", "-rtsp_transport", transport, gateway.url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    has_all(tracks, source)
    assert end == WHOLE
    assert max(map(abs, out_of_step(there, source))) < TOGETHER


@pytest.mark.parametrize(
    ("picture", "sound"), [("h264-b", "aac"), ("hevc", "libopus"), ("av1", "libopus"), ("vp9", "aac")]
)
def test_pyav_publishes_every_codec(spawn: Spawner, tmp_path: Path, picture: str, sound: str) -> None:
    source = tmp_path / "source.mp4"
    clips._encode(source, picture, sound, 2)
    gateway, there = RtspGateway(spawn), reader(spawn)
    pushing = spawn(PUSH, source, gateway.url, "tcp", 2, name="push")
    there.await_line("frame")
    with arclyd.connect() as control:
        codecs = [track.codec for track in control.qos(KEY).tracks]
    assert codecs == [{"hevc": "h265", "h264-b": "h264"}.get(picture, picture), sound.removeprefix("lib")]
    pushing.await_line("pushed")
    tracks, end = received(there)
    has_all(tracks, source)
    assert end == WHOLE


def over() -> bool:
    """The stream is over; one whose encoder left without a word, as GStreamer's does now and then, is ended here."""
    with arclyd.connect() as control:
        left = [stream for stream in control.list_streams() if stream.key == KEY]
        if left and "interrupted" in left[0].state:
            control.end(KEY)
        return not left


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_gstreamer_publishes(spawn: Spawner, tmp_path: Path, transport: str) -> None:
    source = tmp_path / "source.mp4"
    clips._encode(source, "h264-b", "aac", 3)
    gateway, there = RtspGateway(spawn), reader(spawn)
    pipeline = (
        f"filesrc location={source} ! qtdemux name=d rtspclientsink name=s location={gateway.url} "
        f"protocols={transport} latency=0 d.video_0 ! queue ! h264parse ! s. d.audio_0 ! queue ! aacparse ! s."
    )
    gstreamer = spawn(PROGRAM, "gst-launch-1.0", "-q", *pipeline.split(), name="gstreamer")
    pictures = set(contained(source)[0])
    # Its sink does not always come to an end by itself, even when it has sent everything.
    wait_until(lambda: pictures <= {line.split()[-1] for line in there.lines}, what=f"all; {gstreamer.errors}")
    gstreamer.kill()
    wait_until(over, what="the end")
    tracks, end = received(there)
    has_all(tracks, source)
    assert end == WHOLE


def test_ffmpeg_publishes_g711(spawn: Spawner) -> None:
    gateway, there = RtspGateway(spawn), reader(spawn)
    sound = ("-f", "lavfi", "-i", "sine=duration=2:sample_rate=8000", "-c:a", "pcm_alaw", "-f", "rtsp")
    done = ffmpeg("-re", *sound, "-rtsp_transport", "tcp", gateway.url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    assert len(tracks) == 1
    assert end == WHOLE

"""Whatever a publisher says of its frames, the recorder goes on: it leaves out what no container can hold."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media.track import Track
from arclyd.recorder.activity import Activities
from arclyd.recorder.index import Index
from arclyd.recorder.intake import Intake
from arclyd.recorder.recorder import Recorder, Rules
from arclyd.recorder.report import Report, Status
from arclyd.recorder.segment import CONTAINERS
from arclyd.recorder.session import published_ns
from arclyd.recorder.template import PathTemplate
from tests.unit.recorder.frames import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AVCC = bytes.fromhex("0164001fffe1001b6764001facd9405005bb016a02020280000003008000001e078c18cb01000468efbcb0")
TRACKS = (
    Track.video("h264", config=AVCC, width=1280, height=720),
    Track.audio("aac", config=b"\x11\x90", sample_rate=48000, channels=2),
)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path / "rec" / "recordings.sqlite", create=True)
    yield opened
    opened.close()


TIMES = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(0, 1 << 20),
    st.sampled_from([0, 1 << 31, 1 << 32, 1 << 33, (1 << 63) - 1, -(1 << 63)]),
)
FRAMES = st.builds(
    Sent,
    seq=st.integers(0, (1 << 64) - 1),
    track=st.sampled_from([0, 1, 2, 31]),
    pts=TIMES,
    dts_=st.one_of(st.none(), TIMES),
    duration=st.one_of(st.none(), st.integers(0, (1 << 32) - 1)),
    keyframe=st.booleans(),
    payload=st.one_of(st.binary(max_size=40), st.just(b"\0\0\0\x05\x65\x88\x84\0\0")),
    is_config=st.integers(0, 9).map(lambda n: n == 0),
    discontinuity=st.booleans(),
    epoch=st.sampled_from([1, 2, (1 << 64) - 1]),
    gone=st.integers(0, 9).map(lambda n: n == 0),
    publish_ns=st.integers(0, (1 << 64) - 1),
)


@pytest.mark.parametrize("extension", ["mp4", "ts", "mkv"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames=st.lists(FRAMES, max_size=40), split=st.booleans())
def test_no_frame_ends_the_recorder(
    index: Index, extension: str, frames: list[Sent], split: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    status = Status("live/cam")
    rules = Rules(PathTemplate(f"{index.path.parent}/%H/{{epoch}}.{extension}"), CONTAINERS[extension], split=split)
    recorder = Recorder(rules, index, status, report=Report([status]), activities=Activities("/nowhere"))
    intake = Intake(TRACKS, CONTAINERS[extension].codecs, split=split, wall_ns=published_ns)
    for frame in frames:
        if intake.is_new_epoch(frame):
            for item in intake.tracks_are(TRACKS):
                recorder.take(item)
        for item in intake.frame(frame):
            recorder.take(item)
    for item in intake.drain():
        recorder.take(item)
    recorder.end("ended")
    assert not index.unfinished()


@pytest.mark.parametrize("name", ["mp4", "mkv"])
def test_what_would_abort_ffmpeg_is_refused(tmp_path: Path, name: str) -> None:
    """FFmpeg's MP4 muxer asserts that two frames of a track are less than 2**31 ticks apart."""
    with (tmp_path / "x").open("wb") as file:
        output = CONTAINERS[name].open(file, TRACKS[:1], seekable=True)
        write = partial(output.write, 0, b"\0\0\0\x05\x65\x88\x84\0\0", duration=3600)
        write(pts=0, dts=0, keyframe=True)
        for pts, dts in ((1 << 31, 1 << 31), (1 << 32, 3600), (-(1 << 63), 3600)):
            with pytest.raises(MediaError, match="too far apart"):
                write(pts=pts, dts=dts, keyframe=True)
        write(pts=3600, dts=3600, keyframe=False)
        output.close()

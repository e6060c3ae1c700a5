"""From frames to files without a ring: what a lost frame and a full disk leave in them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import av
import pytest

from arclyd.recorder.activity import Activities
from arclyd.recorder.index import Index
from arclyd.recorder.intake import Intake
from arclyd.recorder.recorder import Recorder, Rules
from arclyd.recorder.report import Report, Status
from arclyd.recorder.segment import CONTAINERS
from arclyd.recorder.template import PathTemplate
from tests.clips import clip
from tests.unit.recorder.frames import Sent, largest_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.clips import Clip

HOUR_NS = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def source() -> Clip:
    return clip("h264", "aac")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path / "rec" / "recordings.sqlite", create=True)
    yield opened
    opened.close()


@pytest.fixture
def recorder(index: Index) -> Callable[..., Recorder]:
    """Makes one that writes next to the index; nobody is told of it."""

    def make(extension: str, **rules: object) -> Recorder:
        template = PathTemplate(f"{index.path.parent}/{{number}}.{extension}")
        status = Status("live/cam")
        how = Rules(template, CONTAINERS[extension], **rules)  # type: ignore[arg-type] # fields by name
        return Recorder(how, index, status, report=Report([status]), activities=Activities("/nowhere"))

    return make


def run(
    recorder: Recorder, source: Clip, gone: frozenset[int] = frozenset(), rounds: int = 1, container: str = "mp4"
) -> None:
    """Record the clip to its end; the frames of these sequences are overwritten when they are taken."""
    intake = Intake(source.tracks, CONTAINERS[container].codecs, split=False, wall_ns=lambda _: HOUR_NS)
    seq = itertools.count()
    for turn in range(rounds):
        for sample in source.samples:
            shift = int(turn * 5 / source.tracks[sample.track].time_base)
            number = next(seq)
            frame = Sent(
                number, sample.track, sample.pts + shift, sample.keyframe, sample.payload, gone=number in gone
            )  # fmt: skip
            for item in intake.frame(frame):
                recorder.take(item)
    for item in intake.drain():
        recorder.take(item)
    recorder.end("ended")


def pictures(path: Path) -> int:
    """How many decode, each without an error."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.options = {"err_detect": "explode"}
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.parametrize("extension", ["mp4", "ts", "mkv"])
def test_after_a_lost_frame_pictures_wait_for_a_keyframe(
    recorder: Callable[..., Recorder], index: Index, source: Clip, extension: str
) -> None:
    video = [number for number, sample in enumerate(source.samples) if sample.track == 0]
    lost = video[30]  # the sixth picture of the second group
    run(recorder(extension), source, frozenset({lost}))
    (row,) = index.recordings()
    assert (row.missed, row.gaps, row.ended) == (1, 1, "ended")
    path = index.locate(row)
    assert pictures(path) == 100 - 20
    begin = source.of(0)[0].dts * source.tracks[0].time_base
    ahead = sum(sample.dts * source.tracks[1].time_base < begin for sample in source.of(1))
    assert row.frames == len(source.samples) - ahead - 20
    assert row.bytes == path.stat().st_size


@pytest.mark.parametrize("extension", ["mp4", "ts", "mkv"])
@pytest.mark.parametrize("share", [0.4, 0.97])  # in the middle, and where the container would be completed
def test_a_disk_that_is_full_leaves_a_file_that_plays(
    recorder: Callable[..., Recorder], index: Index, source: Clip, extension: str, share: float, tmp_path: Path
) -> None:
    run(recorder(extension), source)
    (whole,) = index.recordings()
    index.forget(whole)
    with largest_file(int(whole.bytes * share)):
        run(recorder(extension), source)
    (row,) = index.recordings()
    assert row.ended == "no_room"
    path = index.locate(row)
    assert path.stat().st_size == row.bytes <= whole.bytes * share
    assert pictures(path) >= (25 if share < 0.5 else 75)
    assert row.frames > 0


def test_where_not_even_a_header_fits_there_is_no_file_and_no_row(
    recorder: Callable[..., Recorder], index: Index, source: Clip
) -> None:
    with largest_file(16):
        run(recorder("mkv"), source)
    # The index grew before, and is not asked to take more than it has.
    assert index.recordings() == []
    assert [path.name for path in index.path.parent.iterdir()] == [index.path.name]


def test_a_container_that_can_hold_nothing_is_told_once(
    recorder: Callable[..., Recorder], index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    run(recorder("ts"), clip("vp9", None, 1), rounds=2, container="ts")
    assert index.recordings() == []
    assert capsys.readouterr().err == "arclyd record: live/cam: not recorded: ts can't hold vp9\n"

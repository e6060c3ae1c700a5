"""`arclyd record` against a real daemon: every file plays, and holds what the stream held, each frame once."""

from __future__ import annotations

import hashlib
import signal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests.clips import clip, publish
from tests.recording import ARCLYD, KEY, decodes, eventually, files, index, over, read, stop, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tests.clips import Clip, Sample
    from tests.daemon import Daemon, Script, Spawner

RATE = Fraction(1, 90_000)
"""Timestamps of MPEG-TS; the others keep those of the source, but for Matroska's milliseconds."""


def digests(samples: Iterable[Sample]) -> list[str]:
    return [hashlib.sha256(sample.payload).hexdigest() for sample in samples]


def shifts(recorded: Clip, source: Clip, track: int, ours: Sequence[Sample]) -> set[tuple[Fraction, Fraction]]:
    """By how much pts and dts of a track differ from the source's, in seconds."""
    to, of = recorded.tracks[track].time_base, source.tracks[track].time_base
    pairs = zip(recorded.of(track), ours, strict=True)
    return {(new.pts * to - old.pts * of, new.dts * to - old.dts * of) for new, old in pairs}


CLIPS = {
    "h264-aac": ("h264", "aac"),
    "h264-b-frames-aac": ("h264-b", "aac"),
    "hevc-aac": ("hevc", "aac"),
    "av1-opus": ("av1", "libopus"),
    "vp9-opus": ("vp9", "libopus"),
    "aac": (None, "aac"),
    "opus": (None, "libopus"),
}
CASES = [
    (name, extension)
    for name in CLIPS
    for extension in ("mp4", "ts", "mkv")
    if not (extension == "ts" and name.startswith(("av1", "vp9")))  # MPEG-TS can't hold these
]


@pytest.mark.parametrize(("name", "extension"), CASES, ids=[f"{name}-{extension}" for name, extension in CASES])
def test_a_recording_is_the_stream(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path, name: str, extension: str
) -> None:
    source = clip(*CLIPS[name])
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, source.samples)
        recorder = record("--last", 100, extension=extension)
        writing(recorder)
    over(recorder)
    stop(recorder)

    (path,) = files(tmp_path)
    recorded = read(path)
    counts = decodes(path)
    first = next(sample for sample in source.samples if sample.keyframe and sample.track == 0)
    begin = first.dts * source.tracks[0].time_base
    allowed = {"mp4": Fraction(0), "ts": RATE, "mkv": Fraction(1, 1000)}[extension]
    offsets = []
    for number, track in enumerate(source.tracks):
        wanted = [sample for sample in source.of(number) if sample.dts * track.time_base >= begin]
        assert digests(recorded.of(number)) == digests(wanted)
        assert recorded.tracks[number].codec is track.codec
        found = shifts(recorded, source, number, wanted)
        offsets += [shift for pair in found for shift in pair]
        # The sound's zero is at most a tick of its own before the picture's.
        assert max(offsets) - min(offsets) <= allowed + track.time_base
        if extension == "mp4":
            assert len(found) == 1, "timestamps are the source's, all shifted by the same"
        if track.kind is arclyd.Track.data("raw").kind:
            continue
        assert counts[track.kind.label] >= len(wanted) - 1  # an encoder's delay may be cut off
    (row,) = index(tmp_path)
    assert (row["state"], row["missed"], row["frames"]) == ("ended", 0, len(recorded.samples))
    assert row["bytes"] == path.stat().st_size


@pytest.mark.parametrize(
    ("extension", "late"), [("mp4", Fraction(0)), ("ts", Fraction(3, 10)), ("mkv", Fraction(-3, 10))]
)
def test_files_are_cut_at_keyframes_and_every_frame_is_in_one(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path, extension: str, late: Fraction
) -> None:
    """Also where the sound is published so many seconds later, or earlier, than the picture."""
    source = clip("h264-b", "aac")

    def turn(sample: Sample) -> Fraction:
        return sample.dts * source.tracks[sample.track].time_base + (late if sample.track else 0)

    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, sorted(source.samples, key=turn))
        recorder = record("--last", 100, "--segment-duration", "2s", extension=extension)
        writing(recorder)
    over(recorder)
    stop(recorder)
    parts = [read(path) for path in files(tmp_path)]
    assert len(parts) == 2
    pictures, sounds = ([sample for part in parts for sample in part.of(number)] for number in (0, 1))
    assert digests(pictures) == digests(source.of(0))
    # Joining a ring, sound that was published ahead of a picture is had from when that is shown.
    first, (of_picture, of_sound) = source.of(0)[0], (track.time_base for track in source.tracks)
    begin = (first.pts if late < 0 else first.dts) * of_picture
    assert digests(sounds) == digests(sample for sample in source.of(1) if sample.dts * of_sound >= begin)
    for path, part in zip(files(tmp_path), parts, strict=True):
        assert decodes(path)["video"] == len(part.of(0)) == 50
        assert part.of(0)[0].keyframe
        starts = [part.of(number)[0].dts * part.tracks[number].time_base for number in (0, 1)]
        assert abs(starts[0] - starts[1]) < Fraction(1, 10), "both tracks begin where the file does"
    assert [row["state"] for row in index(tmp_path)] == ["split", "ended"]


def test_by_size_files_stay_below_it(daemon: Daemon, record: Callable[..., Script], tmp_path: Path) -> None:
    source = clip("h264", "aac", 6)
    total = sum(len(sample.payload) for sample in source.samples)
    bound = total // 2
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, source.samples)
        recorder = record("--last", 100, "--segment-size", bound, extension="mkv")
        writing(recorder)
    over(recorder)
    stop(recorder)
    sizes = [path.stat().st_size for path in files(tmp_path)]
    assert len(sizes) in (3, 4)
    assert max(sizes) < bound * 1.1
    assert sum(decodes(path)["video"] for path in files(tmp_path)) == 150


def test_the_past_and_the_present_are_one(daemon: Daemon, record: Callable[..., Script], tmp_path: Path) -> None:
    """--last begins at the keyframe before that moment, and goes on with what comes."""
    source = clip("h264", "aac")
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, source.samples)
        recorder = record("--last", 1000)
        writing(recorder)
        publish(pub, source.samples, Fraction(5))
        newest = record()  # without it, from the newest keyframe on
        writing(newest)
    for one in (recorder, newest):
        over(one)
        stop(one)
    assert {path.name: decodes(path)["video"] for path in files(tmp_path)} == {"1.mp4": 200, "1-2.mp4": 25}


def test_a_stream_is_waited_for_and_recorded_again_when_it_returns(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path
) -> None:
    source = clip("h264", "aac")
    recorder = record()
    eventually(lambda: "waiting for the stream" in recorder.errors, "the recorder to wait")
    for number in (1, 2):
        with arclyd.Publisher(KEY, source.tracks) as pub:
            publish(pub, source.samples)
            writing(recorder, number)
        over(recorder, number)
    stop(recorder)
    assert [decodes(path)["video"] for path in files(tmp_path)] == [100, 100], "from the first frame to the last"


def test_a_stream_that_returned_unnoticed_is_recorded_from_its_first_frame(
    daemon: Daemon, record: Callable[..., Script], tmp_path: Path
) -> None:
    source = clip("h264", "aac")
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, source.samples)
        recorder = record("--last", 100)
        writing(recorder)
        recorder.signal(signal.SIGSTOP)
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, source.samples)
        recorder.signal(signal.SIGCONT)
        writing(recorder, 2)
    over(recorder, 2)
    stop(recorder)
    assert "waiting" not in recorder.errors.partition("is over")[0]
    assert [decodes(path)["video"] for path in files(tmp_path)] == [100, 100]


def test_the_state_is_seen_and_ends_with_the_recorder(daemon: Daemon, record: Callable[..., Script]) -> None:
    source = clip("h264", "aac")
    with arclyd.Publisher(KEY, source.tracks) as pub, arclyd.connect() as control:
        publish(pub, source.samples)
        recorders = [record(), record()]
        eventually(lambda: control.info(KEY).activities == {"recording": 2}, "both to be counted")
        assert "recording" in control.info(KEY).state
        recorders[0].kill()
        eventually(lambda: control.info(KEY).activities == {"recording": 1}, "the killed one to be forgotten")
        stop(recorders[1])
        eventually(lambda: control.info(KEY).activities == {}, "the end of it")


def test_several_streams_at_once(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    source, sound = clip("h264", "aac"), clip(None, "libopus")
    output = tmp_path / "rec" / "{app}" / "{name}" / "%Y" / "{number:03}.mp4"
    recorder = spawn(ARCLYD, "record", "live/a", "live/b", "live/c", "-o", output, name="record")
    eventually(lambda: recorder.errors.count("waiting for the stream") == 3, "the recorder to wait")
    with arclyd.Publisher("live/a", source.tracks) as a, arclyd.Publisher("live/b", sound.tracks) as b:
        publish(a, source.samples)
        publish(b, sound.samples)
        writing(recorder, 2)
    over(recorder, 2)
    stop(recorder)
    paths = sorted(path.relative_to(tmp_path / "rec") for path in (tmp_path / "rec").rglob("*.mp4"))
    assert [(path.parts[1], path.parts[3]) for path in paths] == [("a", "001.mp4"), ("b", "001.mp4")]
    assert decodes(tmp_path / "rec" / paths[0])["video"] == 100


def test_paths_that_do_not_tell_streams_apart_are_refused(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    for key, name in (("live/b", "x.mp4"), ("other/a", "{name}.mp4"), ("live/b", "{app}.mp4")):
        refused = spawn(ARCLYD, "record", "live/a", key, "-o", tmp_path / "rec" / name, name="record")
        assert refused.wait() == 2
        assert "several streams need" in refused.errors
    strange = spawn(ARCLYD, "record", "live/a", "-o", tmp_path / "rec" / "x.avi", name="record")
    assert strange.wait() == 2
    assert "--format mp4|ts|mkv" in strange.errors
    assert not (tmp_path / "rec").exists()


def test_old_files_make_room(daemon: Daemon, record: Callable[..., Script], tmp_path: Path) -> None:
    source = clip("h264", "aac", 6)
    (tmp_path / "rec").mkdir()
    precious = tmp_path / "rec" / "0.ts"
    precious.write_bytes(bytes(1_000_000))
    with arclyd.Publisher(KEY, source.tracks) as pub:
        publish(pub, source.samples)
        recorder = record("--last", 100, "--segment-duration", 1, "--keep-size", 1, extension="ts")
        writing(recorder)
    over(recorder)
    stop(recorder)
    assert files(tmp_path) == [precious]
    assert index(tmp_path) == []
    assert recorder.errors.count("deleted") == 6

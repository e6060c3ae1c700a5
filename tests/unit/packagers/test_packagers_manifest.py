"""The MPD says of the segments what the segments are."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from arclyd.packagers.dash.mpd import NAMESPACE, duration, manifest
from arclyd.packagers.segmenter import Cutting, Segmenter
from arclyd.packagers.variant import Variant
from arclyd.packagers.window import Window
from tests.packaging import FakeFrame, cut, later

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.media.track import Track

    Clip = tuple[list[Track], list[FakeFrame]]

MPD = {"": NAMESPACE}


def windowed(tracks: list[Track], frames: list[FakeFrame], *, end: bool = True) -> Window:
    cutting = Cutting(Fraction(1))
    window = Window("x", cutting, Fraction(30))
    for event in cut(Segmenter(cutting), tracks, frames, end=end):
        window.apply(event)
    window.settle()
    return window


def read(window: Window, *others: Window, low_latency: bool = False) -> ElementTree.Element:
    variants = [Variant("", "source", window), *(Variant(f"../v{n}/", f"v{n}", each) for n, each in enumerate(others))]
    return ElementTree.fromstring(manifest(variants, low_latency=low_latency))


def timeline(representation: ElementTree.Element) -> list[tuple[int, int]]:
    """Start and duration of each segment, with repetitions written out."""
    found = []
    for entry in representation.iterfind("SegmentTemplate/SegmentTimeline/S", MPD):
        at, length = int(entry.attrib["t"]), int(entry.attrib["d"])
        found += [(at + n * length, length) for n in range(int(entry.get("r", 0)) + 1)]
    return found


@pytest.mark.parametrize("name", ["h264_bframes_aac.mp4", "av1_opus.mkv", "two_sounds.mp4", "sound.m4a"])
def test_times_numbers_and_names_are_those_of_the_segments(clip: Callable[[str], Clip], name: str) -> None:
    window = windowed(*clip(name))
    (period,) = read(window).iterfind("Period", MPD)
    lanes = window.segments[0].period.lanes
    representations = period.findall("AdaptationSet/Representation", MPD)
    assert [each.attrib["id"] for each in representations] == [f"source-{lane}" for lane in lanes]
    for lane, each in zip(lanes.values(), representations, strict=True):
        template = each.find("SegmentTemplate", MPD)
        assert template is not None
        assert template.attrib["media"] == f"x-{lane.id}-$Number$.m4s"
        assert template.attrib["initialization"] == f"{lane.name}.mp4"
        assert int(template.attrib["startNumber"]) == window.segments[0].number
        assert int(template.attrib["timescale"]) == lane.scale
        assert each.attrib["codecs"] == lane.codec
        chunks = [segment.chunks(lane.id) for segment in window.segments]
        assert timeline(each) == [(c[0].start, c[-1].end - c[0].start) for c in chunks]


def test_a_discontinuity_is_a_period_at_its_wall_clock(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    cutting = Cutting(Fraction(1))
    segmenter, window = Segmenter(cutting), Window("x", cutting, Fraction(30))
    events = [*cut(segmenter, tracks, frames), *cut(segmenter, tracks, later(frames, tracks, Fraction(10), 1000))]
    for event in events:
        window.apply(event)
    window.settle()
    starts = [float(each.attrib["start"][2:-1]) for each in read(window).iterfind("Period", MPD)]
    assert starts == pytest.approx([1_700_000_000, 1_700_000_010], abs=0.001)


def test_low_latency_announces_what_is_being_made(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    window = windowed(tracks, frames[:400], end=False)
    assert window.growing
    plain, low = read(window), read(window, low_latency=True)
    counts = [len(timeline(root.findall(".//Representation", MPD)[0])) for root in (plain, low)]
    assert counts == [len(window.listed), len(window.listed) + 1]
    template = low.find(".//SegmentTemplate", MPD)
    assert template is not None
    assert template.attrib["availabilityTimeOffset"] == "0.78"
    assert template.attrib["availabilityTimeComplete"] == "false"
    assert low.find("ServiceDescription/Latency", MPD) is not None
    assert low.find("UTCTiming", MPD) is not None
    assert "availabilityTimeOffset" not in plain.find(".//SegmentTemplate", MPD).attrib  # type: ignore[union-attr]


def test_what_is_being_made_is_expected_to_last_as_long_as_the_last_one(clip: Callable[[str], Clip]) -> None:
    """Keyframes two seconds apart, where segments of one are aimed at."""
    tracks, frames = clip("h264_aac.mp4")
    video = tracks[0].time_base
    sparse = [
        replace(frame, keyframe=frame.track == 1 or (frame.keyframe and frame.pts * video % 2 == 0)) for frame in frames
    ]
    window = windowed(tracks, sparse[:400], end=False)
    assert window.growing
    assert window.listed[-1].lead_duration == 2
    root = read(window, low_latency=True)
    for representation in root.findall(".//Representation", MPD):
        template = representation.find("SegmentTemplate", MPD)
        assert template is not None
        assert timeline(representation)[-1][1] == 2 * int(template.attrib["timescale"])
        assert float(template.attrib["availabilityTimeOffset"]) == pytest.approx(2 - 0.22)


def test_renditions_are_representations_of_one_set(clip: Callable[[str], Clip]) -> None:
    small, large = windowed(*clip("h264_aac.mp4")), windowed(*clip("h264_large_aac.mp4"))
    (period,) = read(small, large).iterfind("Period", MPD)
    video, audio = period.findall("AdaptationSet", MPD)
    assert (video.attrib["contentType"], audio.attrib["contentType"]) == ("video", "audio")
    pictures = video.findall("Representation", MPD)
    assert [(each.attrib["id"], each.attrib["width"], each.attrib["frameRate"]) for each in pictures] == [
        ("source-0", "160", "25"), ("v0-0", "320", "50"),
    ]  # fmt: skip
    assert [each.attrib["id"] for each in audio] == ["source-1", "v0-1"]
    assert int(pictures[1].attrib["bandwidth"]) > int(pictures[0].attrib["bandwidth"])
    template = pictures[1].find("SegmentTemplate", MPD)
    assert template is not None
    assert template.attrib["media"] == "../v0/x-0-$Number$.m4s"
    assert template.attrib["initialization"].startswith("../v0/")
    assert video.attrib["segmentAlignment"] == "true"


def test_a_rendition_of_another_codec_is_a_set_of_its_own(clip: Callable[[str], Clip]) -> None:
    (period,) = read(windowed(*clip("h264_aac.mp4")), windowed(*clip("av1_opus.mkv"))).iterfind("Period", MPD)
    ids = [[each.attrib["id"] for each in group] for group in period.findall("AdaptationSet", MPD)]
    assert ids == [["v0-0"], ["source-0"], ["source-1"], ["v0-1"]]


@pytest.mark.parametrize(("seconds", "wall"), [(0, 0), (100, 0), (3, 3), (2, 2)])
def test_a_rendition_is_shown_when_its_timestamps_or_its_clock_say(
    clip: Callable[[str], Clip], seconds: int, wall: int
) -> None:
    """Its timestamps are ``seconds`` ahead of the other's, and it was captured ``wall`` seconds later."""
    tracks, frames = clip("h264_aac.mp4")
    moved = [
        replace(frame, capture_ns=frame.capture_ns - (seconds - wall) * 1_000_000_000)
        for frame in later(frames, tracks, Fraction(seconds), 0)
    ]
    base, other = windowed(tracks, frames), windowed(tracks, moved)
    (period,) = read(base, other).iterfind("Period", MPD)
    begin = float(period.attrib["start"][2:-1])
    starts = []
    for representation in period.findall("AdaptationSet[@contentType='video']/Representation", MPD):
        template = representation.find("SegmentTemplate", MPD)
        assert template is not None
        ticks = timeline(representation)[0][0] - int(template.attrib["presentationTimeOffset"])
        starts.append(begin + ticks / int(template.attrib["timescale"]))
    assert starts == pytest.approx([1_700_000_000, 1_700_000_000 + wall], abs=0.01)


def test_a_rendition_that_is_not_there_in_a_period_is_not_in_it(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    periods = list(
        read(windowed(tracks, frames), windowed(tracks, later(frames, tracks, Fraction(60), 0))).iterfind("Period", MPD)
    )
    assert [len(each.findall("AdaptationSet/Representation", MPD)) for each in periods] == [2]


def shown(period: ElementTree.Element) -> dict[str, list[float]]:
    """Wall clock at which each representation of a picture shows its segments from."""
    begin, found = float(period.attrib["start"][2:-1]), {}
    for representation in period.findall("AdaptationSet[@contentType='video']/Representation", MPD):
        template = representation.find("SegmentTemplate", MPD)
        assert template is not None
        offset, scale = int(template.attrib["presentationTimeOffset"]), int(template.attrib["timescale"])
        assert offset >= 0
        found[representation.attrib["id"]] = [begin + (at - offset) / scale for at, _ in timeline(representation)]
    return found


@pytest.mark.parametrize("names", [("h264_bframes_aac.mp4", "h264_aac.mp4"), ("h264_aac.mp4", "h264_bframes_aac.mp4")])
def test_a_rendition_whose_pictures_are_reordered_otherwise_is_there(
    clip: Callable[[str], Clip], names: tuple[str, str]
) -> None:
    (period,) = read(*(windowed(*clip(name)) for name in names)).iterfind("Period", MPD)
    found = shown(period)
    assert sorted(found) == ["source-0", "v0-0"]
    first, second = found.values()
    assert len(first) == len(second)
    assert first == pytest.approx(second, abs=0.2)  # decoding times, which the reordering sets apart


def test_a_rendition_that_begins_later_with_times_of_its_own_begins_a_period(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    joined = [replace(frame, capture_ns=frame.capture_ns + 3_500_000_000) for frame in frames]
    base, other = windowed(tracks, frames), windowed(tracks, joined)
    before, after = read(base, other).iterfind("Period", MPD)
    assert len({before.attrib["id"], after.attrib["id"]}) == 2
    assert float(after.attrib["start"][2:-1]) == pytest.approx(1_700_000_003.5, abs=0.01)
    start = 1_700_000_000
    assert shown(before) == {"source-0": pytest.approx([start, start + 1, start + 2, start + 3], abs=0.01)}
    both = shown(after)
    assert both["source-0"] == pytest.approx([start + 3, start + 4, start + 5], abs=0.01)  # one is over the boundary
    assert both["v0-0"] == pytest.approx([start + 3.5 + second for second in range(6)], abs=0.01)


def test_an_ended_presentation_has_a_duration_and_is_not_looked_at_again(clip: Callable[[str], Clip]) -> None:
    window = windowed(*clip("h264_aac.mp4"))
    assert "minimumUpdatePeriod" in read(window).attrib
    window.end()
    root = read(window, low_latency=True)
    assert "minimumUpdatePeriod" not in root.attrib
    assert float(root.attrib["mediaPresentationDuration"][2:-1]) == pytest.approx(1_700_000_006, abs=0.1)


def test_a_token_is_on_every_url(clip: Callable[[str], Clip]) -> None:
    variant = Variant("", "source", windowed(*clip("h264_aac.mp4")))
    text = manifest([variant], low_latency=True, query="?token=1:ab")
    urls = re.findall(r'(?:media|initialization|value)="([^"]*\.(?:m4s|mp4)[^"]*|clock[^"]*)"', text)
    assert len(urls) == 5
    assert all(url.endswith("?token=1:ab") for url in urls)


def test_durations_are_written_without_exponents() -> None:
    assert [duration(Fraction(*parts)) for parts in ((0, 1), (1, 3), (1_795_511_989, 1))] == [
        "PT0.000000S",
        "PT0.333333S",
        "PT1795511989.000000S",
    ]

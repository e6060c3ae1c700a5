"""Playlists over five minutes with laps, returning publishers and codec changes: the rules of RFC 8216bis hold."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import m3u8
import pytest

from arclyd.packagers.hls.media_playlist import Style, media_playlist
from arclyd.packagers.hls.multivariant import multivariant
from arclyd.packagers.segmenter import Cutting, Segmenter
from arclyd.packagers.variant import Variant
from arclyd.packagers.window import Window
from tests.packaging import FakeFrame, cut, later

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arclyd.media.track import Track
    from arclyd.packagers.segmenter import Event

    Clip = tuple[list[Track], list[FakeFrame]]

MINUTES = 5
PART_NAME = re.compile(r'#EXT-X-PART:.*URI="([^"]+)"')
HINT = re.compile(r'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="([^"]+)"')


def troubled(clip: Callable[[str], Clip], segmenter: Segmenter) -> Iterator[list[Event]]:
    """A stream of five minutes: of three codecs in turn, each time by a publisher that is new, with laps between."""
    names = ["h264_aac.mp4", "h264_bframes_aac.mp4", "hevc_aac.mp4"]
    seq = 0
    for round_ in range(MINUTES * 10):
        tracks, frames = clip(names[round_ // 10 % 3])
        if round_ % 5 == 0:  # the same publisher's configuration, or another one's
            yield segmenter.receive_tracks(tracks)
        moved = later(frames, tracks, Fraction(6 * round_), seq)
        seq += len(moved)
        for number, frame in enumerate(moved):
            if round_ % 7 == 3 and 200 < number < 260:
                if number == 201:
                    yield segmenter.receive_gap()
                continue
            yield segmenter.receive_frame(frame)


@dataclass
class Checked:
    """What a playlist has shown so far, to compare the next one with."""

    window: Window
    lane: int
    target: int = 0
    sequence: int = -1
    uris: dict[int, str] | None = None
    hint: str = ""
    laid: int = 0
    known: set[str] = field(default_factory=set)

    def check(self) -> None:
        text = media_playlist(self.window, Style(self.lane))
        playlist = m3u8.loads(text)
        whole = [segment for segment in playlist.segments if segment.uri]  # the last one may have parts alone
        self._rules(playlist, whole)
        self._history(playlist, whole)
        self._hint(text)
        self._delta(text)

    def _rules(self, playlist: m3u8.M3U8, whole: list[m3u8.Segment]) -> None:
        target = playlist.target_duration
        assert target == (self.target or target)  # 6.2.1: it must not change
        self.target = target
        longest = float(playlist.part_inf.part_target)
        for segment in whole:
            assert int(segment.duration + 0.5) <= target  # 4.4.3.1
            parts = [part.duration for part in segment.parts]
            assert all(part <= longest + 1e-6 for part in parts)  # 4.4.3.7
            if self.lane == 0:
                assert all(part >= longest * 0.85 for part in parts[:-1])  # 4.4.4.9
            assert not parts or sum(parts) == pytest.approx(segment.duration, abs=1e-4)
            assert segment.init_section is not None
            assert segment.program_date_time is not None
        total = sum(segment.duration for segment in whole)
        newest = self.window.listed[-1].number
        assert newest < self.window.listed[0].number + 3 or total >= 3 * target - 1  # 6.2.2

    def _history(self, playlist: m3u8.M3U8, whole: list[m3u8.Segment]) -> None:
        first = playlist.media_sequence
        assert first >= self.sequence
        uris = {first + number: segment.uri for number, segment in enumerate(whole)}
        for number, uri in (self.uris or {}).items():
            assert number < first or uris[number] == uri  # 6.2.2: only the front goes, nothing changes
        if self.uris:
            assert first <= max(self.uris) + 1
        self.sequence, self.uris = first, uris
        breaks = [number for number, segment in zip(uris, whole, strict=True) if segment.discontinuity]
        assert first not in breaks
        periods = [self.window.segment(number).period.number for number in uris]  # type: ignore[union-attr] # it is listed
        assert playlist.discontinuity_sequence == periods[0]
        assert [periods[0] + sum(at <= number for at in breaks) for number in uris] == periods

    def _hint(self, text: str) -> None:
        """The part that was announced is the next one there is, unless the segment ended before it."""
        parts = PART_NAME.findall(text)
        new = [part for part in parts if part not in self.known]
        if self.hint and new:
            assert new[0] == self.hint or new[0].endswith(".0.m4s")
            self.laid += new[0] == self.hint
        self.known = set(parts)
        found = HINT.search(text)
        assert found
        assert found[1] not in parts
        self.hint = found[1]

    def _delta(self, text: str) -> None:
        """A delta update is the playlist less the lines of the segments it skips (6.2.5.1)."""
        update = media_playlist(self.window, Style(self.lane, skip=True))
        found = re.search(r"#EXT-X-SKIP:SKIPPED-SEGMENTS=(\d+)\n", update)
        if found is None:
            assert update == text
            return
        skipped = int(found[1])
        assert sum(segment.lead_duration for segment in self.window.listed[skipped:]) >= 6 * self.target - 2
        after = update[found.end() :]
        assert text.endswith(after)
        assert text[: -len(after)].count("#EXTINF") == skipped


@pytest.mark.parametrize("lane", [0, 1])
def test_five_minutes_of_trouble_keep_to_the_rules(clip: Callable[[str], Clip], lane: int) -> None:
    cutting = Cutting(Fraction(2))
    segmenter, window = Segmenter(cutting), Window("x", cutting, Fraction(20))
    checked = Checked(window, lane)
    count = itertools.count()
    ends: dict[tuple[int, int], int] = {}
    for events in troubled(clip, segmenter):
        for event in events:
            window.apply(event)
            segmenter.longest = window.settle()
            for number, chunk in getattr(event, "chunks", {}).items():
                period = event.period.number  # type: ignore[union-attr] # a part has one
                assert ends.get((period, number), chunk.start) == chunk.start  # no gap, no overlap
                ends[period, number] = chunk.end
            if window.target and (next(count) % 5 == 0 or not hasattr(event, "chunks")):
                checked.check()
    assert checked.sequence > 100
    assert checked.laid > 50
    assert len({period for period, _ in ends}) > 10
    assert sum(segment.lead_duration for segment in window.segments) < 100


def windowed(clip: Clip, seconds: int = 30, cutting: Cutting | None = None) -> Window:
    tracks, frames = clip
    cutting = cutting or Cutting(Fraction(1))
    window = Window("x", cutting, Fraction(seconds))
    for event in cut(Segmenter(cutting), tracks, frames):
        window.apply(event)
        window.settle()
    return window


def test_an_ended_playlist_says_so_and_promises_nothing(clip: Callable[[str], Clip]) -> None:
    window = windowed(clip("h264_aac.mp4"))
    window.end()
    text = media_playlist(window, Style(0))
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert "PRELOAD" not in text
    assert "SERVER-CONTROL" not in text
    assert m3u8.loads(text).is_endlist


def test_a_lane_that_is_silent_for_a_segment_has_a_gap_there(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    hushed = [frame for frame in frames if frame.track == 0 or not 2 < frame.dts / 48000 < 4.3 or frame.is_config]
    window = windowed((tracks, hushed))
    playlist = m3u8.loads(media_playlist(window, Style(1)))
    assert [bool(segment.gap_tag) for segment in playlist.segments].count(True) in {1, 2}
    assert not any(segment.gap_tag for segment in m3u8.loads(media_playlist(window, Style(0))).segments)


def test_a_token_is_on_every_uri(clip: Callable[[str], Clip]) -> None:
    window = windowed(clip("h264_aac.mp4"))
    text = media_playlist(window, Style(0, query="?token=1:ab"))
    uris = re.findall(r'URI="([^"]+)"', text) + [line for line in text.splitlines() if line and line[0] != "#"]
    assert len(uris) > 20
    assert all(uri.endswith("?token=1:ab") for uri in uris)


@pytest.mark.parametrize(
    ("name", "codecs"),
    [
        ("h264_aac.mp4", r"avc1\.42[0-9a-f]{4},mp4a\.40\.2"),
        ("hevc_aac.mp4", r"hvc1\.1\.6\.L[0-9]+\.[0-9A-F.]+,mp4a\.40\.2"),
        ("av1_opus.mkv", r"av01\.0\.[0-9]{2}[MH]\.08,opus"),
        ("vp9_opus.mkv", r"vp09\.00\.10\.08,opus"),
        ("sound.m4a", r"mp4a\.40\.2"),
        ("sound.mp3", r"mp4a\.6B"),
    ],
)
def test_codecs_are_named_as_players_know_them(clip: Callable[[str], Clip], name: str, codecs: str) -> None:
    window = windowed(clip(name))
    playlist = m3u8.loads(multivariant([Variant("", "source", window)]))
    (variant,) = playlist.playlists
    assert re.fullmatch(codecs, variant.stream_info.codecs)
    if not name.startswith("sound"):
        assert variant.stream_info.resolution == (160, 120)
        assert variant.stream_info.frame_rate == pytest.approx(25, abs=0.3)
        assert [media.uri for media in playlist.media] == ["track-1.m3u8"]
    assert variant.stream_info.average_bandwidth <= variant.stream_info.bandwidth


def test_renditions_are_variants_of_one_playlist(clip: Callable[[str], Clip]) -> None:
    big, small = windowed(clip("h264_aac.mp4")), windowed(clip("hevc_aac.mp4"))
    playlist = m3u8.loads(multivariant([Variant("", "source", big), Variant("../cam1~low/", "low", small)]))
    assert [variant.uri for variant in playlist.playlists] == ["track-0.m3u8", "../cam1~low/track-0.m3u8"]
    assert [variant.stream_info.audio for variant in playlist.playlists] == ["audio-source", "audio-low"]
    assert {media.group_id for media in playlist.media} == {"audio-source", "audio-low"}


def test_the_bandwidth_is_that_of_the_picture_with_one_sound(clip: Callable[[str], Clip]) -> None:
    window = windowed(clip("two_sounds.mp4"))
    (stream,) = m3u8.loads(multivariant([Variant("", "source", window)])).playlists
    densest = max(
        (segment.size(0) + max(segment.size(1), segment.size(2))) * 8 / segment.lead_duration
        for segment in window.listed
    )
    assert stream.stream_info.bandwidth == pytest.approx(float(densest), rel=0.02)
    assert stream.stream_info.bandwidth < sum(segment.size(lane) for segment in window.listed for lane in (0, 1, 2)) * 8


def test_several_sounds_are_a_group_with_one_default(clip: Callable[[str], Clip]) -> None:
    playlist = m3u8.loads(multivariant([Variant("", "source", windowed(clip("two_sounds.mp4")))]))
    assert [(media.uri, media.default) for media in playlist.media] == [("track-1.m3u8", "YES"), ("track-2.m3u8", "NO")]


def test_independence_is_claimed_only_where_it_is_true(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    assert "INDEPENDENT-SEGMENTS" in media_playlist(windowed((tracks, frames)), Style(0))
    first = next(frame for frame in frames if frame.keyframe and frame.track == 0)
    sparse = [replace(frame, keyframe=frame.track == 1 or frame is first) for frame in frames]
    cutting = Cutting(Fraction(1))
    segmenter, window = Segmenter(cutting), Window("x", cutting, Fraction(30))
    segmenter.longest = Fraction(149, 100)
    for event in cut(segmenter, tracks, sparse):
        window.apply(event)
    window.settle()
    assert "INDEPENDENT-SEGMENTS" not in media_playlist(window, Style(0))


def test_a_segment_never_lasts_longer_than_what_rounds_to_the_target(clip: Callable[[str], Clip]) -> None:
    tracks, frames = clip("h264_aac.mp4")
    keys = [frame for frame in frames if frame.keyframe and frame.track == 0][:3]
    sparse = [replace(frame, keyframe=frame.track == 1 or frame in keys) for frame in frames]
    cutting = Cutting(Fraction(1))
    segmenter, window = Segmenter(cutting), Window("x", cutting, Fraction(30))
    segmenter.receive_tracks(tracks)
    for frame in sparse:
        for event in segmenter.receive_frame(frame):
            window.apply(event)
            segmenter.longest = window.settle()
    playlist = m3u8.loads(media_playlist(window, Style(0)))
    assert playlist.target_duration == 1
    durations = [segment.duration for segment in playlist.segments if segment.uri]
    assert len(durations) >= 4
    assert all(int(duration + 0.5) == 1 for duration in durations)
    assert max(durations) > 1.3  # and not shorter than it has to be


@pytest.mark.parametrize("seconds", [2, 3, 4])
def test_as_much_is_listed_as_was_asked_for_and_no_more(clip: Callable[[str], Clip], seconds: int) -> None:
    tracks, frames = clip("h264_aac.mp4")
    longer = [*frames, *later(frames, tracks, Fraction(6), len(frames))]
    window = windowed((tracks, longer), seconds)
    assert sum(segment.lead_duration for segment in window.listed) == max(seconds, 3)
    assert sum(segment.lead_duration for segment in window.segments) == 2 * max(seconds, 3)


def test_reaching_back_costs_only_what_is_asked_for(clip: Callable[[str], Clip]) -> None:
    window = windowed(clip("h264_aac.mp4"), seconds=2)
    assert len(window.listed) < len(window.segments)
    assert window.segment(window.segments[0].number) is window.segments[0]
    assert window.segment(window.next_number + 1) is None

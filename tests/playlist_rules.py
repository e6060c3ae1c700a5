"""What RFC 8216bis asks of media playlists, checked by one client of a server over a run: texts in, assertions out."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import m3u8
import pytest

from tests.fragments import fragments, scale_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.media.formats.fragment import Sample

MILLISECOND = 0.001


@dataclass
class Told:
    """What was said of one segment, which may never change."""

    uri: str
    seconds: float
    discontinuities: int
    init: str
    date: str


@dataclass
class Follower:
    """A player that reads one lane's playlists and fetches everything in them; ``fetch`` gives a file by its name."""

    fetch: Callable[[str], bytes]
    target: int = 0
    sequence: int = -1
    told: dict[int, Told] = field(default_factory=dict)
    parts: dict[str, bytes] = field(default_factory=dict)
    hint: str = ""
    hints_kept: int = 0
    delta_updates: int = 0
    inits: dict[str, int] = field(default_factory=dict)
    digests: set[str] = field(default_factory=set)
    seconds: float = 0.0
    next_number: int = -1
    _end: int = -1
    _period: int = -1

    def read(self, text: str) -> m3u8.M3U8:
        """Check the next playlist, of all segments or a delta update, and what is new in it."""
        playlist = m3u8.loads(text)
        skipped = playlist.skip.skipped_segments if playlist.skip else 0
        self.delta_updates += bool(skipped)
        first = playlist.media_sequence
        assert self.target in {0, playlist.target_duration}  # 4.4.3.1: it must not change
        self.target = playlist.target_duration
        assert self.sequence <= first  # 6.2.2
        self.sequence = first
        complete = [segment for segment in playlist.segments if segment.uri]
        if self.told:
            assert first <= max(self.told) + 1, "segments were never listed"
        self._lasts_enough(playlist, complete, skipped)
        init = self.told[first + skipped - 1].init if skipped else ""
        breaks = self.told[first + skipped - 1].discontinuities if skipped else playlist.discontinuity_sequence
        for number, segment in enumerate(playlist.segments, first + skipped):
            breaks += bool(segment.discontinuity) and number > first
            init = segment.init_section.uri if segment.init_section else init
            self._parts(segment, playlist.part_inf.part_target if playlist.part_inf else 0.0)
            if segment.uri:
                self._segment(number, segment, init, breaks, independent=playlist.is_independent_segments)
        self._hint(playlist)
        return playlist

    def _lasts_enough(self, playlist: m3u8.M3U8, complete: list[m3u8.Segment], skipped: int) -> None:
        if skipped or playlist.is_endlist or not self.told or playlist.media_sequence == min(self.told):
            return
        total = sum(segment.duration for segment in complete)
        assert total >= 3 * self.target - 0.5  # 6.2.2: nothing goes while there is less, but for rounding

    def _segment(self, number: int, segment: m3u8.Segment, init: str, breaks: int, *, independent: bool) -> None:
        assert init
        assert segment.program_date_time is not None
        assert int(segment.duration + 0.5) <= self.target  # 4.4.3.1
        said = Told(segment.uri, segment.duration, breaks, init, str(segment.program_date_time))
        known = self.told.setdefault(number, said)
        assert known == said  # 6.2.1
        if number < self.next_number or segment.gap_tag:
            return
        assert self.next_number in {-1, number}
        self.next_number = number + 1
        self.seconds += segment.duration
        body = self.fetch(segment.uri)
        self._media(body, known, independent=independent)
        listed = [self.parts[part.uri] for part in segment.parts]
        assert not listed or b"".join(listed) == body

    def _media(self, body: bytes, told: Told, *, independent: bool) -> None:
        """Decoding times without gap and overlap, from one segment to the next where nothing is said to break."""
        if told.init not in self.inits:
            self.inits[told.init] = scale_of(self.fetch(told.init))
        samples = [sample for fragment in fragments(body) for sample in fragment]
        assert not independent or samples[0].keyframe
        if told.discontinuities != self._period:
            self._period, self._end = told.discontinuities, samples[0].dts
        for sample in samples:
            assert sample.dts == self._end
            self._end += sample.duration
            self.digests.add(hashlib.sha256(bytes(sample.data)).hexdigest())
        lasts = (samples[-1].dts + samples[-1].duration - samples[0].dts) / self.inits[told.init]
        assert lasts == pytest.approx(told.seconds, abs=MILLISECOND)

    def _parts(self, segment: m3u8.Segment, longest: float) -> None:
        bodies: list[list[Sample]] = []
        for part in segment.parts:
            assert part.duration <= longest + MILLISECOND  # 4.4.4.9
            if part.uri not in self.parts:
                self.hints_kept += part.uri == self.hint
                body = self.parts[part.uri] = self.fetch(part.uri)
                (samples,) = fragments(body)
                assert (part.independent == "YES") == samples[0].keyframe
                bodies.append(samples)
        for one, other in itertools.pairwise(bodies):
            assert one[-1].dts + one[-1].duration == other[0].dts

    def _hint(self, playlist: m3u8.M3U8) -> None:
        if playlist.is_endlist or not playlist.part_inf:
            return
        assert playlist.preload_hint.uri not in self.parts
        self.hint = playlist.preload_hint.uri
        while len(self.parts) > 2000:
            del self.parts[next(iter(self.parts))]

    def next_asked(self, playlist: m3u8.M3U8) -> str:
        """The query that asks for the playlist with one more part or segment (6.2.5.2)."""
        growing = next((segment for segment in playlist.segments if not segment.uri), None)
        part = len(growing.parts) if growing else 0
        skip = "&_HLS_skip=YES" if self.told else ""
        return f"_HLS_msn={self.next_number}&_HLS_part={part}{skip}"

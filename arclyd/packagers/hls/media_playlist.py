"""Media playlists (RFC 8216bis, 4.4): one lane's as fMP4 with parts, or all lanes' together as MPEG-TS."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd.packagers import names
from arclyd.packagers.wall import timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.packagers.pieces import Period
    from arclyd.packagers.window import Segment, Window

VERSION: Final = 9
"""What EXT-X-SKIP asks for (RFC 8216bis, 8)."""
TRANSPORT_VERSION: Final = 8
"""What EXT-X-GAP asks for."""

SKIP_BOUNDARY: Final = 6
"""Target durations from the end that a delta update must show (4.4.3.8: at least six)."""

HOLD_BACK: Final = 3
"""Target durations and part durations a player should stay behind the end (4.4.3.8)."""

PARTS_LISTED: Final = 3
"""Target durations from the end whose segments are listed with their parts (4.4.4.9)."""


@dataclass(frozen=True, slots=True)
class Report:
    """Where another rendition's playlist ends (4.4.5.4); ``part`` None: after a whole segment."""

    uri: str
    number: int
    part: int | None


@dataclass(frozen=True, slots=True)
class Style:
    """What a playlist shows: a ``lane`` (None: all as MPEG-TS); parts or not; a delta update or all of it.

    ``query``: appended to every URI, a viewer's token. ``server``: it comes from one that holds requests back.
    """

    lane: int | None
    low_latency: bool = True
    skip: bool = False
    query: str = ""
    server: bool = True


def media_playlist(window: Window, style: Style, reports: Sequence[Report] = ()) -> str:
    """The playlist of ``window``, which has a target duration, as it is now."""
    return _Playlist(window, style, reports).text()


def last_part(window: Window, lane: int) -> tuple[int, int | None]:
    """The number and part that the playlist of ``lane`` ends with."""
    growing = window.growing
    if growing is not None and (chunks := growing.chunks(lane)):
        return growing.number, len(chunks) - 1
    return window.next_number - 1, None


class _Playlist:
    def __init__(self, window: Window, style: Style, reports: Sequence[Report]) -> None:
        self._window = window
        self._style = style
        self._reports = reports
        self._segments = window.listed
        self._parts = style.lane is not None and style.low_latency and not window.ended
        self._lines: list[str] = []

    def text(self) -> str:
        self._head()
        skipped = self._skippable() if self._style.skip else 0
        if skipped:
            self._lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
        shown = self._segments[skipped:]
        before = self._segments[skipped - 1] if skipped else None
        detailed = self._with_parts()
        for place, segment in enumerate(shown, skipped):
            self._segment(segment, before, detailed=place >= detailed)
            before = segment
        self._tail(before)
        return "\n".join(self._lines) + "\n"

    def _head(self) -> None:
        window, lane = self._window, self._style.lane
        target = window.target
        lines = ["#EXTM3U", f"#EXT-X-VERSION:{TRANSPORT_VERSION if lane is None else VERSION}"]
        lines.append(f"#EXT-X-TARGETDURATION:{target}")
        if self._style.server and not window.ended:
            lines.append(self._server_control())
        if self._parts:
            lines.append(f"#EXT-X-PART-INF:PART-TARGET={decimal(window.cutting.longest_part)}")
        first = self._segments[0] if self._segments else window.growing
        if first is not None:
            lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first.number}")
            lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{first.period.number}")
        if all(segment.starts_with_key(segment.period.lead) for segment in self._segments):
            lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
        self._lines = lines

    def _server_control(self) -> str:
        """What the server does for its clients (4.4.3.8)."""
        target, part = self._window.target, self._window.cutting.longest_part
        words = ["CAN-BLOCK-RELOAD=YES", f"CAN-SKIP-UNTIL={decimal(Fraction(SKIP_BOUNDARY * target))}"]
        if self._parts:
            words.append(f"PART-HOLD-BACK={decimal(HOLD_BACK * part)}")
        words.append(f"HOLD-BACK={decimal(Fraction(HOLD_BACK * target))}")
        return "#EXT-X-SERVER-CONTROL:" + ",".join(words)

    def _skippable(self) -> int:
        """How many segments lie before the skip boundary (4.4.5.2)."""
        boundary = Fraction(SKIP_BOUNDARY * self._window.target)
        return self._older_than(boundary + self._growing_seconds())

    def _with_parts(self) -> int:
        """The place of the first segment listed with its parts."""
        if not self._parts:
            return len(self._segments)
        return self._older_than(Fraction(PARTS_LISTED * self._window.target))

    def _older_than(self, seconds: Fraction) -> int:
        total = Fraction(0)
        for place in range(len(self._segments) - 1, -1, -1):
            total += self._segments[place].lead_duration
            if total >= seconds:
                return place
        return 0

    def _growing_seconds(self) -> Fraction:
        growing = self._window.growing
        return growing.lead_duration if growing is not None else Fraction(0)

    def _segment(self, segment: Segment, before: Segment | None, *, detailed: bool) -> None:
        lane, query, life = self._style.lane, self._style.query, self._window.id
        self._period(segment.period, before.period if before else None)
        self._lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{self._shown_at(segment)}")
        if detailed:
            self._part_lines(segment)
        seconds = segment.lead_duration if lane is None else segment.duration(lane)
        if not seconds:  # the lane is silent here
            seconds = segment.lead_duration
            self._lines.append("#EXT-X-GAP")
        self._lines.append(f"#EXTINF:{decimal(seconds)},")
        name = names.transport(life, segment.number) if lane is None else names.segment(life, lane, segment.number)
        self._lines.append(name + query)

    def _period(self, period: Period, before: Period | None) -> None:
        if before is not None and before is not period:
            self._lines.append("#EXT-X-DISCONTINUITY")
        lane = self._style.lane
        if lane is None or lane not in period.lanes:
            return
        init = period.lanes[lane].name
        known = before.lanes.get(lane) if before is not None else None
        if known is None or known.name != init:  # else it holds on, also over a discontinuity (4.4.4.5)
            self._lines.append(f'#EXT-X-MAP:URI="{names.init(init)}{self._style.query}"')

    def _part_lines(self, segment: Segment) -> None:
        lane = self._style.lane
        assert lane is not None
        scale = segment.period.lanes[lane].scale if lane in segment.period.lanes else 1
        for index, chunk in segment.part_chunks(lane):
            name = names.part(self._window.id, lane, segment.number, index) + self._style.query
            independent = ",INDEPENDENT=YES" if chunk.independent else ""
            self._lines.append(
                f'#EXT-X-PART:DURATION={decimal(Fraction(chunk.duration, scale))},URI="{name}"{independent}'
            )

    def _tail(self, before: Segment | None) -> None:
        if self._window.ended:
            self._lines.append("#EXT-X-ENDLIST")
            return
        if not self._parts:
            return
        growing = self._window.growing
        if growing is not None:
            self._period(growing.period, before.period if before else None)
            self._lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{self._shown_at(growing)}")
            self._part_lines(growing)
        lane = self._style.lane
        assert lane is not None
        hint = names.part(self._window.id, lane, self._window.next_number, len(growing.parts) if growing else 0)
        self._lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{hint}{self._style.query}"')
        for report in self._reports:
            part = "" if report.part is None else f",LAST-PART={report.part}"
            self._lines.append(f'#EXT-X-RENDITION-REPORT:URI="{report.uri}",LAST-MSN={report.number}{part}')

    def _shown_at(self, segment: Segment) -> str:
        """The date and time of the first sample shown (4.4.4.6)."""
        period = segment.period
        lane = self._style.lane
        shown = period.lead if lane is None or not segment.chunks(lane) else lane
        first = segment.chunks(shown)[0].samples[0]
        return timestamp(period.wall_at(Fraction(first.pts, period.lanes[shown].scale)))


def decimal(seconds: Fraction) -> str:
    """Seconds to the microsecond, without a trailing zero."""
    text = f"{float(seconds):.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text

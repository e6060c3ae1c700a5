"""The media presentation description of a window (ISO/IEC 23009-1, 5.3), over the segments that HLS lists, too.

Its clock is Unix time: the presentation is available since 1970, and a period starts where the wall clock stood at its
first picture. So nothing in it depends on when the packager began.

A rendition whose media time is still negative there can't be in it, since an offset can't be negative (5.3.9.2.2).
Where that is for less than a second, because pictures of the first are reordered, the period starts as much later;
where it is because the rendition begins later, with times of its own, another period starts where it does. What
overlaps the start of a period is cut off by the player (5.3.2.1).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from arclyd.packagers import names
from arclyd.packagers.rates import bandwidth, frame_rate
from arclyd.packagers.wall import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from arclyd.packagers.pieces import Lane, Period
    from arclyd.packagers.variant import Variant
    from arclyd.packagers.window import Segment, Window

NAMESPACE: Final = "urn:mpeg:dash:schema:mpd:2011"
PROFILE: Final = "urn:mpeg:dash:profile:isoff-live:2011"
LOW_LATENCY_PROFILE: Final = "http://www.dashif.org/guidelines/low-latency-live-v5"
CLOCK: Final = "clock"
"""The name, beside the manifest, at which the server tells the time."""

SOON_SECONDS: Final = Fraction(1, 2)
"""Between two looks at the manifest of a player that keeps close to the end."""

ONE_CLOCK_NS: Final = 500_000_000
"""Renditions whose timestamps differ from the wall clock by as much as the others', or nearly, are of one encoder."""

TOGETHER: Final = Fraction(1)
"""Seconds into a period until which a rendition begins with it."""

DELAY_PARTS: Final = 5
"""Parts a low-latency player stays behind the end: one on its way, the others for the network.

What it takes to see the next segment in the manifest comes on top.
"""


def manifest(variants: Sequence[Variant], *, low_latency: bool, query: str = "") -> str:
    """The description of ``variants``, each with a target duration, as they are now.

    Args:
        variants: the first one decides on the periods; the others are in those in which they have something.
        low_latency: the segment that is being made is in it, too.
        query: appended to every URI.
    """
    window = variants[0].window
    segments = _shown(window, low_latency=low_latency)
    root = Element("MPD", _root(variants, segments, low_latency=low_latency))
    if low_latency and not window.ended:
        _service(root, window)
    for span in _spans(segments, variants[1:], low_latency=low_latency):
        start = Fraction(span.period.wall_at(span.begin), 1_000_000_000)
        node = SubElement(root, "Period", {"id": span.id, "start": duration(start)})
        rows = [
            *_rows(variants[0], span.period, span.segments, span.begin),
            *(row for other in variants[1:] for row in _beside(other, span, low_latency=low_latency)),
        ]
        for number, alike in enumerate(_adaptations(rows)):
            _adaptation(node, number, alike, low_latency=low_latency, query=query)
    scheme = "urn:mpeg:dash:utc:http-iso:2014"
    SubElement(root, "UTCTiming", {"schemeIdUri": scheme, "value": CLOCK + query})
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _shown(window: Window, *, low_latency: bool) -> list[Segment]:
    growing = window.growing
    return [*window.listed, growing] if low_latency and growing is not None and growing.parts else window.listed


def _root(variants: Sequence[Variant], segments: Sequence[Segment], *, low_latency: bool) -> dict[str, str]:
    window = variants[0].window
    target = Fraction(window.target)
    words = {
        "xmlns": NAMESPACE,
        "profiles": f"{PROFILE},{LOW_LATENCY_PROFILE}" if low_latency else PROFILE,
        "type": "dynamic",
        "availabilityStartTime": "1970-01-01T00:00:00Z",
        "minBufferTime": duration(window.cutting.longest_part if low_latency else target),
        "timeShiftBufferDepth": duration(sum((segment.lead_duration for segment in segments), Fraction(0))),
        "maxSegmentDuration": duration(max(variant.window.longest for variant in variants)),
    }
    if segments:
        ends = [_wall(segment) + segment.lead_duration for segment in segments]
        words["publishTime"] = timestamp(round(ends[-1] * 1_000_000_000))
        if window.ended:
            words["mediaPresentationDuration"] = duration(max(ends))
    if not window.ended:
        words["minimumUpdatePeriod"] = duration(min(SOON_SECONDS, target) if low_latency else target)
        words["suggestedPresentationDelay"] = duration(_delay(window) if low_latency else 3 * target)
    return words


def _delay(window: Window) -> Fraction:
    """Seconds a low-latency player stays behind the end."""
    return DELAY_PARTS * window.cutting.longest_part + SOON_SECONDS


def _service(root: Element, window: Window) -> None:
    """How far behind the end a player should stay (annex K)."""
    behind = str(round(_delay(window) * 1000))
    service = SubElement(root, "ServiceDescription", {"id": "0"})
    SubElement(service, "Latency", {"target": behind, "max": str(3000 * window.target), "min": behind})
    SubElement(service, "PlaybackRate", {"max": "1.04", "min": "0.96"})


def _by_period(segments: Sequence[Segment]) -> list[tuple[Period, list[Segment]]]:
    grouped: list[tuple[Period, list[Segment]]] = []
    for segment in segments:
        if not grouped or grouped[-1][0] is not segment.period:
            grouped.append((segment.period, []))
        grouped[-1][1].append(segment)
    return grouped


@dataclass(frozen=True, slots=True)
class _Span:
    """A period of the presentation: of ``period`` what is from ``begin`` to ``end``, in seconds of its media time."""

    period: Period
    begin: Fraction
    end: Fraction | None
    segments: Sequence[Segment]
    id: str


def _spans(segments: Sequence[Segment], others: Sequence[Variant], *, low_latency: bool) -> Iterator[_Span]:
    for period, members in _by_period(segments):
        begins = _begins(period, members, others, low_latency=low_latency)
        for place, (begin, end) in enumerate(zip_longest(begins, begins[1:])):
            inside = [each for each in members if _end(each) > begin and (end is None or _start(each) < end)]
            if inside:
                name = f"{period.number}.{round((begin - period.origin) * 1000)}" if place else str(period.number)
                yield _Span(period, begin, end, inside, name)


def _begins(
    period: Period, segments: Sequence[Segment], others: Sequence[Variant], *, low_latency: bool
) -> list[Fraction]:
    """Where it starts, and where other variants begin in it that have no time before."""
    late = {
        -origin
        for other in others
        for own, members in _by_period(_shown(other.window, low_latency=low_latency))
        if (origin := _same_time(period, own)) < 0 and _common(segments, members) > 0
    }
    first = max((seconds for seconds in late if seconds <= TOGETHER), default=Fraction(0))
    return [period.origin + seconds for seconds in (first, *sorted(each for each in late if each > TOGETHER))]


def _common(segments: Sequence[Segment], others: Sequence[Segment]) -> Fraction:
    """Seconds that both have; not more than 0: none."""
    ends = (_wall(each[-1]) + each[-1].lead_duration for each in (segments, others))
    return min(ends) - max(_wall(segments[0]), _wall(others[0]))


# ------------------------------------------------------------- representations


@dataclass(frozen=True, slots=True)
class _Row:
    """A lane of a variant in a period of the presentation, which begins at ``origin`` of that lane's media time."""

    variant: Variant
    lane: Lane
    segments: Sequence[Segment]
    origin: Fraction

    @property
    def expected(self) -> Fraction:
        """Seconds that the segment which is being made will last, as far as can be told: as long as the last one."""
        complete = [segment.lead_duration for segment in self.segments if segment.complete]
        return complete[-1] if complete else self.variant.window.cutting.segment

    @property
    def starts(self) -> list[Fraction]:
        """Seconds into the period at which its segments are shown from."""
        chunks = (segment.chunks(self.lane.id) for segment in self.segments if segment.complete)
        return [Fraction(each[0].samples[0].pts, self.lane.scale) - self.origin for each in chunks if each]


def _rows(variant: Variant, period: Period, segments: Sequence[Segment], origin: Fraction) -> list[_Row]:
    return [_Row(variant, lane, segments, origin) for lane in period.lanes.values()]


def _beside(variant: Variant, span: _Span, *, low_latency: bool) -> list[_Row]:
    """What another variant has in the time of a span: of its own period that has most of it."""
    best: tuple[Fraction, list[_Row]] = (Fraction(0), [])
    for own, members in _by_period(_shown(variant.window, low_latency=low_latency)):
        common = _common(span.segments, members)
        origin = _same_time(span.period, own) + span.begin - span.period.origin
        end = None if span.end is None else origin + span.end - span.begin
        kept = [each for each in members if _end(each) > origin and (end is None or _start(each) < end)]
        if common > best[0] and kept and origin >= 0:
            best = common, _rows(variant, own, kept, origin)
    return best[1]


def _same_time(period: Period, other: Period) -> Fraction:
    """The media time of ``other`` at which ``period`` begins: by their timestamps, if those are of one encoder."""
    apart = other.wall_at(Fraction(other.shift)) - period.wall_at(Fraction(period.shift))
    if abs(apart) < ONE_CLOCK_NS:
        return period.origin - period.shift + other.shift
    return Fraction(period.wall_at(period.origin) - other.wall_ns, 1_000_000_000)


def _adaptations(rows: Sequence[_Row]) -> list[list[_Row]]:
    """Rows between which a player may switch: the same track of each variant, as long as the codec is one."""
    found: dict[tuple[bool, int, str], list[_Row]] = {}
    counts: Counter[tuple[int, bool]] = Counter()
    for row in rows:
        track = (id(row.variant), row.lane.is_video)
        family = row.lane.codec.partition(".")[0]
        found.setdefault((not row.lane.is_video, counts[track], family), []).append(row)
        counts[track] += 1
    return [found[each] for each in sorted(found)]


def _adaptation(node: Element, number: int, rows: Sequence[_Row], *, low_latency: bool, query: str) -> None:
    kind = "video" if rows[0].lane.is_video else "audio"
    aligned = "true" if all(row.starts == rows[0].starts for row in rows) else "false"
    words = {"id": str(number), "contentType": kind, "mimeType": f"{kind}/mp4", "segmentAlignment": aligned}
    adaptation = SubElement(node, "AdaptationSet", {**words, "startWithSAP": "1"})
    for row in rows:
        _template(_representation(adaptation, row), row, low_latency=low_latency, query=query)


def _template(representation: Element, row: _Row, *, low_latency: bool, query: str) -> None:
    lane, window, folder = row.lane, row.variant.window, row.variant.folder
    template = {
        "timescale": str(lane.scale),
        "initialization": folder + names.init(lane.name) + query,
        "media": folder + names.segment(window.id, lane.id, "$Number$") + query,
        "startNumber": str(row.segments[0].number),
        "presentationTimeOffset": str(round(row.origin * lane.scale)),
    }
    if low_latency and not window.ended:
        offset = max(Fraction(0), row.expected - window.cutting.longest_part)
        template |= {"availabilityTimeOffset": f"{float(offset):g}", "availabilityTimeComplete": "false"}
    timeline = SubElement(SubElement(representation, "SegmentTemplate", template), "SegmentTimeline")
    for at, length, repeat in _runs(row):
        entry = {"t": str(at), "d": str(length)}
        SubElement(timeline, "S", {**entry, "r": str(repeat)} if repeat else entry)


def _representation(adaptation: Element, row: _Row) -> Element:
    lane, window = row.lane, row.variant.window
    peak, _ = bandwidth(window, [lane])
    words = {"id": f"{row.variant.label}-{lane.id}", "bandwidth": str(peak), "codecs": lane.codec}
    if lane.is_video:
        if lane.track.width and lane.track.height:
            words |= {"width": str(lane.track.width), "height": str(lane.track.height)}
        if rate := frame_rate(window, lane):
            near = rate.limit_denominator(1001)
            words["frameRate"] = (
                str(near.numerator) if near.denominator == 1 else f"{near.numerator}/{near.denominator}"
            )
        return SubElement(adaptation, "Representation", words)
    node = SubElement(adaptation, "Representation", {**words, "audioSamplingRate": str(lane.track.sample_rate)})
    scheme = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
    SubElement(node, "AudioChannelConfiguration", {"schemeIdUri": scheme, "value": str(lane.track.channels)})
    return node


def _runs(row: _Row) -> list[tuple[int, int, int]]:
    """Start, duration and repetitions of the segments' times in a lane (5.3.9.6).

    A segment in which the lane is silent keeps its place, since the others are numbered past it. The one that is
    growing is said to last as long as it is expected to, which the next look at the manifest corrects: what it has so
    far would be over before it is fetched.
    """
    lane = row.lane
    runs: list[tuple[int, int, int]] = []
    at = 0
    for segment in row.segments:
        chunks = segment.chunks(lane.id)
        at = chunks[0].start if chunks else at
        length = sum(chunk.duration for chunk in chunks) or round(segment.lead_duration * lane.scale)
        if not segment.complete:
            length = max(length, round(row.expected * lane.scale))
        if runs and runs[-1][1] == length and runs[-1][0] + length * (runs[-1][2] + 1) == at:
            runs[-1] = (runs[-1][0], length, runs[-1][2] + 1)
        else:
            runs.append((at, length, 0))
        at += length
    return runs


def _start(segment: Segment) -> Fraction:
    """The media time of its lead at a segment's start, in seconds."""
    period = segment.period
    chunks = segment.chunks(period.lead)
    return Fraction(chunks[0].start, period.lanes[period.lead].scale) if chunks else period.origin


def _end(segment: Segment) -> Fraction:
    return _start(segment) + segment.lead_duration


def _wall(segment: Segment) -> Fraction:
    """The wall clock at a segment's start, in seconds."""
    return Fraction(segment.period.wall_at(_start(segment)), 1_000_000_000)


def duration(seconds: Fraction) -> str:
    """Seconds as an xs:duration, to the microsecond."""
    return f"PT{round(seconds * 1_000_000) / 1_000_000:f}S"

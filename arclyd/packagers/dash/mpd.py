"""The media presentation description of a window (ISO/IEC 23009-1, 5.3), over the segments that HLS lists, too.

Its clock is Unix time: the presentation is available since 1970, and a period starts where the wall clock stood at its
first picture. So nothing in it depends on when the packager began.
"""

from __future__ import annotations

import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from arclyd.packagers import names
from arclyd.packagers.rates import bandwidth, frame_rate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.packagers.pieces import Lane, Period
    from arclyd.packagers.window import Segment, Window

NAMESPACE: Final = "urn:mpeg:dash:schema:mpd:2011"
PROFILE: Final = "urn:mpeg:dash:profile:isoff-live:2011"
LOW_LATENCY_PROFILE: Final = "http://www.dashif.org/guidelines/low-latency-live-v5"
CLOCK: Final = "clock"
"""The name, beside the manifest, at which the server tells the time."""

SOON_SECONDS: Final = Fraction(1, 2)
"""Between two looks at the manifest of a player that keeps close to the end."""

DELAY_PARTS: Final = 5
"""Parts a low-latency player stays behind the end: one on its way, the others for the network.

What it takes to see the next segment in the manifest comes on top.
"""


def manifest(window: Window, *, low_latency: bool, query: str = "") -> str:
    """The description of ``window``, which has a target duration, as it is now. ``query``: appended to every URI."""
    segments = window.listed
    growing = window.growing
    if low_latency and growing is not None and growing.parts:
        segments = [*segments, growing]
    root = Element("MPD", _root(window, segments, low_latency=low_latency))
    if low_latency and not window.ended:
        _service(root, window)
    for period, members in _by_period(segments):
        _period(root, window, period, members, low_latency=low_latency, query=query)
    scheme = "urn:mpeg:dash:utc:http-iso:2014"
    SubElement(root, "UTCTiming", {"schemeIdUri": scheme, "value": CLOCK + query})
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _root(window: Window, segments: Sequence[Segment], *, low_latency: bool) -> dict[str, str]:
    target = Fraction(window.target)
    words = {
        "xmlns": NAMESPACE,
        "profiles": f"{PROFILE},{LOW_LATENCY_PROFILE}" if low_latency else PROFILE,
        "type": "dynamic",
        "availabilityStartTime": "1970-01-01T00:00:00Z",
        "minBufferTime": duration(window.cutting.longest_part if low_latency else target),
        "timeShiftBufferDepth": duration(sum((segment.lead_duration for segment in segments), Fraction(0))),
        "maxSegmentDuration": duration(window.longest),
    }
    if segments:
        ends = [_wall(segment) + segment.lead_duration for segment in segments]
        words["publishTime"] = _date(_wall(segments[-1]))
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


def _period(
    root: Element, window: Window, period: Period, segments: Sequence[Segment], *, low_latency: bool, query: str
) -> None:
    start = Fraction(period.wall_at(period.origin), 1_000_000_000)
    node = SubElement(root, "Period", {"id": str(period.number), "start": duration(start)})
    for lane in period.lanes.values():
        _adaptation(node, window, lane, period, segments, low_latency=low_latency, query=query)


def _adaptation(
    node: Element,
    window: Window,
    lane: Lane,
    period: Period,
    segments: Sequence[Segment],
    *,
    low_latency: bool,
    query: str,
) -> None:
    kind = "video" if lane.is_video else "audio"
    words = {"id": str(lane.id), "contentType": kind, "mimeType": f"{kind}/mp4", "segmentAlignment": "true"}
    adaptation = SubElement(node, "AdaptationSet", {**words, "startWithSAP": "1"})
    representation = _representation(adaptation, window, lane)
    template = {
        "timescale": str(lane.scale),
        "initialization": names.init(lane.name) + query,
        "media": names.segment(window.id, lane.id, "$Number$") + query,
        "startNumber": str(segments[0].number),
        "presentationTimeOffset": str(round(period.origin * lane.scale)),
    }
    if low_latency and not window.ended:
        offset = max(Fraction(0), window.cutting.segment - window.cutting.longest_part)
        template |= {"availabilityTimeOffset": f"{float(offset):g}", "availabilityTimeComplete": "false"}
    timeline = SubElement(SubElement(representation, "SegmentTemplate", template), "SegmentTimeline")
    for at, length, repeat in _runs(lane, segments, window):
        entry = {"t": str(at), "d": str(length)}
        SubElement(timeline, "S", {**entry, "r": str(repeat)} if repeat else entry)


def _representation(adaptation: Element, window: Window, lane: Lane) -> Element:
    peak, _ = bandwidth(window, [lane])
    words = {"id": str(lane.id), "bandwidth": str(peak), "codecs": lane.codec}
    if lane.is_video:
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


def _runs(lane: Lane, segments: Sequence[Segment], window: Window) -> list[tuple[int, int, int]]:
    """Start, duration and repetitions of the segments' times in a lane (5.3.9.6).

    A segment in which the lane is silent keeps its place, since the others are numbered past it. The one that is
    growing is said to last as long as one should, which the next look at the manifest corrects.
    """
    runs: list[tuple[int, int, int]] = []
    at = 0
    for segment in segments:
        chunks = segment.chunks(lane.id)
        at = chunks[0].start if chunks else at
        length = sum(chunk.duration for chunk in chunks) or round(segment.lead_duration * lane.scale)
        if not segment.complete:
            length = max(length, round(window.cutting.segment * lane.scale))
        if runs and runs[-1][1] == length and runs[-1][0] + length * (runs[-1][2] + 1) == at:
            runs[-1] = (runs[-1][0], length, runs[-1][2] + 1)
        else:
            runs.append((at, length, 0))
        at += length
    return runs


def _wall(segment: Segment) -> Fraction:
    """The wall clock at a segment's start, in seconds."""
    period = segment.period
    chunks = segment.chunks(period.lead)
    at = Fraction(chunks[0].start, period.lanes[period.lead].scale) if chunks else period.origin
    return Fraction(period.wall_at(at), 1_000_000_000)


def _date(seconds: Fraction) -> str:
    return f"{datetime.datetime.fromtimestamp(int(seconds), datetime.UTC):%Y-%m-%dT%H:%M:%SZ}"


def duration(seconds: Fraction) -> str:
    """Seconds as an xs:duration, to the microsecond."""
    return f"PT{round(seconds * 1_000_000) / 1_000_000:f}S"

"""The loop between a source and a publisher, with both of them in memory."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from arclyd.errors import FrameTooLarge
from arclyd.ingest.file.feed import Feed, Report
from arclyd.ingest.file.progress import progress_line
from arclyd.ingest.file.source import Unit
from arclyd.media.track import Track

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


class ListSource:
    """Two tracks of which the second is longer, at 90 kHz and 48 kHz."""

    def __init__(self, *units: Unit) -> None:
        self.tracks = (Track.video("vp8", width=16, height=16), Track.audio("mp3", sample_rate=48000, channels=2))
        self._units = units
        self.passes = 0
        self.keyframes_requested = 0

    def units(self) -> Iterator[Unit]:
        self.passes += 1
        yield from self._units

    def request_keyframe(self) -> None:
        self.keyframes_requested += 1

    def close(self) -> None: ...


@dataclass
class Taken:
    """What a publisher was given."""

    frames: list[dict[str, object]] = field(default_factory=list)
    configs: list[tuple[int, bytes]] = field(default_factory=list)
    limit: int = 1 << 20
    requests: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    stop_after: int = 1 << 30

    def publish(self, track: int, payload: bytes, **facts: object) -> int:
        if len(payload) > self.limit:
            raise FrameTooLarge(len(payload), self.limit)
        self.frames.append({"track": track, "payload": bytes(payload), **facts})
        if len(self.frames) >= self.stop_after:
            self.stop.set()
        return 3

    def set_config(self, track: int, config: bytes, *, width: int = 0, height: int = 0) -> int:
        self.configs.append((track, config))
        return len(self.configs)

    def keyframe_requested(self) -> bool:
        self.requests -= 1
        return self.requests >= 0


def unit(track: int, dts: int, payload: bytes = b"x", *, keyframe: bool = True, **facts: object) -> Unit:
    duration = 3600 if track == 0 else 1152
    return Unit(track, payload, dts, dts, duration, keyframe=keyframe, **facts)  # type: ignore[arg-type] # shorthand


def feed(source: ListSource, taken: Taken, **options: object) -> Feed:
    return Feed(source, taken, taken.stop, **{"paced": False, **options})  # type: ignore[arg-type] # stands in


def test_every_unit_is_published_in_order() -> None:
    taken = Taken()
    feed(ListSource(unit(0, 0), unit(1, 0), unit(0, 3600, droppable=True)), taken).run()
    assert [(f["track"], f["dts"], f["droppable"]) for f in taken.frames] == [
        (0, 0, False),
        (1, 0, False),
        (0, 3600, True),
    ]
    assert not any(f["discontinuity"] for f in taken.frames)


def test_a_loop_goes_on_after_the_longest_track() -> None:
    taken = Taken(stop_after=8)
    source = ListSource(unit(0, 0), unit(1, 0), unit(1, 1152), unit(1, 2304))
    feed(source, taken, loop=True).run()
    assert source.passes == 3  # the flag is looked at before the next unit
    video = [f["dts"] for f in taken.frames if f["track"] == 0]
    assert video == [0, 3456 * 90_000 // 48_000]
    audio = [f["dts"] for f in taken.frames if f["track"] == 1]
    assert audio == [1152 * number for number in range(6)]


def test_a_loop_over_nothing_ends() -> None:
    source = ListSource()
    feed(source, Taken(), loop=True).run()
    assert source.passes == 1


def test_seconds_bound_the_media_time() -> None:
    taken = Taken()
    feed(ListSource(*(unit(0, 900_000 + 3600 * n) for n in range(100))), taken, seconds=Fraction(1)).run()
    assert len(taken.frames) == 25


def test_a_frame_that_is_too_large_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    taken = Taken(limit=10)
    with caplog.at_level(logging.WARNING):
        feed(ListSource(unit(0, 0, b"y" * 11), unit(0, 3600), unit(0, 7200, b"z" * 12)), taken).run()
    assert [f["dts"] for f in taken.frames] == [3600]
    assert len(caplog.records) == 1  # the second came within the same second


def test_a_new_configuration_comes_before_its_frame() -> None:
    taken = Taken()
    feed(ListSource(unit(0, 0), unit(0, 3600, config=b"new")), taken).run()
    assert taken.configs == [(0, b"new")]


def test_requests_for_keyframes_reach_the_source() -> None:
    source = ListSource(unit(0, 0), unit(1, 0), unit(1, 1152), unit(1, 2304))
    feed(source, Taken(requests=3)).run()
    assert source.keyframes_requested == 2  # the first one came with the keyframe that answers it


def test_waiting_for_a_frame_can_be_interrupted() -> None:
    taken = Taken()
    threading.Timer(0.05, taken.stop.set).start()
    feed(ListSource(unit(0, 0), unit(0, 90_000 * 29)), taken, paced=True).run()
    assert len(taken.frames) == 1


def test_it_reports_what_it_did() -> None:
    reports: list[Report] = []
    feed(ListSource(unit(0, 0), unit(1, 0)), Taken(), report=reports.append).run()
    assert (reports[0].bytes, reports[0].pictures, reports[0].subscribers) == (1, 1, 3)


def test_the_progress_line_has_rates_over_its_window() -> None:
    before = Report(0, 0, 0, 0, 0, 0)
    now = Report(62_000_000_000, 2_000_000_000, 500_000, 50, 100, 1)
    assert progress_line("live/x", before, now) == "live/x  00:01:02.0  2.00 Mb/s  25.0 fps  31.00x  1 subscriber"
    assert progress_line("live/x", before, before) == "live/x  00:00:00.0  0 subscribers"


def test_pictures_before_the_first_keyframe_are_left_out() -> None:
    taken = Taken()
    units = [unit(0, 0, b"late", keyframe=False), unit(1, 0, b"sound"), unit(0, 3600, b"key")]
    feed(ListSource(*units, unit(0, 7200, b"next", keyframe=False)), taken).run()
    assert [frame["payload"] for frame in taken.frames] == [b"sound", b"key", b"next"]

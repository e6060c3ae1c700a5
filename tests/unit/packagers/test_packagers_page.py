"""The figures of the page over time, and that all its files are shipped."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from arclyd.packagers.channel import Channel, Settings
from arclyd.packagers.http.figures import KEPT, Gauge
from arclyd.packagers.http.page import ASSETS, LIST, PUBLISH, STREAM
from arclyd.packagers.http.viewers import Viewers

if TYPE_CHECKING:
    from arclyd.packagers.roster import Roster

KEY = "live/cam1"
ROOT = Path(__file__).resolve().parents[3]
WEB = ROOT / "arclyd" / "packagers" / "web"


class Ready(Channel):
    """A channel that has a playlist as soon as it is told so."""

    caught_up = True

    @property
    def ready(self) -> bool:
        return self.caught_up


class Streams:
    """The part of a roster that a gauge asks."""

    def __init__(self) -> None:
        self.shown: list[Channel] = []

    def channels(self) -> list[Channel]:
        return self.shown

    def state(self, key: str) -> tuple[str, ...]:
        return ("publishing",)


def gauge_of(streams: Streams, viewers: Viewers) -> Gauge:
    return Gauge(cast("Roster", streams), viewers)


def test_rates_follow_what_is_received_and_fall_to_nothing_with_it() -> None:
    streams, viewers, channel = Streams(), Viewers(), Ready(KEY, Settings())
    streams.shown = [channel]
    gauge = gauge_of(streams, viewers)
    for second in range(KEPT + 10):
        gauge.look(float(second))
        channel.received.bytes += 1000 + second
        channel.received.pictures += 25
    viewers.seen(KEY, "somebody")
    gauge.look(float(KEPT + 10))
    [figures] = gauge.figures
    assert (figures.key, figures.state, figures.viewers) == (KEY, ("publishing",), 1)
    assert figures.bitrate == 8 * (1000 + KEPT + 9)
    assert figures.history == tuple(8 * (1000 + second) for second in range(10, KEPT + 10))
    assert figures.fps == 25
    for second in range(KEPT + 11, KEPT + 20):
        gauge.look(float(second))
    [figures] = gauge.figures
    assert (figures.bitrate, figures.fps) == (0, 0)


def test_a_late_look_counts_the_time_that_passed() -> None:
    streams, channel = Streams(), Ready(KEY, Settings())
    streams.shown = [channel]
    gauge = gauge_of(streams, Viewers())
    gauge.look(10)
    channel.received.bytes, channel.received.pictures = 3000, 75
    gauge.look(13)
    [figures] = gauge.figures
    assert (figures.bitrate, figures.fps) == (8000, 25)


def test_catching_up_with_the_ring_is_no_bitrate() -> None:
    streams, channel = Streams(), Ready(KEY, Settings())
    channel.caught_up = False
    streams.shown = [channel]
    gauge = gauge_of(streams, Viewers())
    gauge.look(0)
    channel.received.bytes = 30_000_000
    channel.caught_up = True
    gauge.look(1)
    assert gauge.figures[0].history == ()
    channel.received.bytes += 1000
    gauge.look(2)
    assert gauge.figures[0].history == (8000,)


def test_the_minute_goes_on_when_the_stream_comes_back() -> None:
    streams, first, second = Streams(), Ready(KEY, Settings()), Ready(KEY, Settings())
    gauge = gauge_of(streams, Viewers())
    streams.shown = [first]
    gauge.look(0)
    first.received.bytes = 1000
    gauge.look(1)
    streams.shown = [second]
    gauge.look(2)
    second.received.bytes = 2000
    gauge.look(3)
    assert gauge.figures[0].history == (8000, 16000)
    streams.shown = []
    gauge.look(4)
    assert gauge.figures == []


def test_every_file_of_the_page_is_shipped_and_served() -> None:
    globs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["arclyd"]
    shipped = {path for glob in globs for path in (ROOT / "arclyd").glob(glob) if path.is_file()}
    files = {path for path in WEB.rglob("*") if path.is_file()}
    assert files <= shipped
    served = {LIST, PUBLISH, STREAM, *ASSETS}
    assert {path.name for path in files if path.parent == WEB} <= served
    for page in (LIST, PUBLISH, STREAM):
        wanted = re.findall(r'(?:src|href)="([^"./][^"]*)"', (WEB / page).read_text())
        assert wanted
        assert set(wanted) <= served
    for script in WEB.glob("*.js"):
        assert set(re.findall(r'(?:from |import\()"\./([^"]+)"', script.read_text())) <= served


def test_names_of_streams_are_never_taken_for_markup() -> None:
    own = [path.read_text() for path in WEB.iterdir() if path.suffix in {".js", ".html"}]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\son\w+=|style=", "".join(own)
    )

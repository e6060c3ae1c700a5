"""Clocks that are not alike: sources stay in step by what their senders report; and decoding times are made."""

from __future__ import annotations

import itertools
import random

import pytest

from arclyd.media.decoding_order import DecodingTimes
from arclyd.protocols.rtp import rtcp
from arclyd.protocols.rtp.clock import Line, SourceClock
from arclyd.protocols.rtp.packet import RtpPacket
from arclyd.protocols.rtp.statistics import Statistics

BEGAN = 3_900_000_000
"""Seconds of NTP."""


class Sender:
    """A source whose clock goes wrong by ``ppm``; its packets come ``late`` seconds after they were captured."""

    def __init__(self, line: Line, rate: int, ppm: float, late: float, base: int) -> None:
        self.clock = SourceClock(line, rate)
        self.rate = rate
        self.ppm = ppm
        self.late = late
        self.base = base

    def timestamp(self, at: float) -> int:
        return (self.base + round(at * self.rate * (1 + self.ppm / 1e6))) % (1 << 32)

    def send(self, at: float) -> float:
        """A packet captured at ``at``; where it comes to lie on the line, in seconds."""
        return self.clock.place(self.timestamp(at), at + self.late) / self.rate

    def report(self, at: float, error: float = 0.0) -> None:
        ntp = round((BEGAN + at + error) * (1 << 32))
        self.clock.report(rtcp.SenderReport(1, ntp, self.timestamp(at)))


def run(picture: Sender, sound: Sender, seconds: int, error: float = 0.0) -> list[float]:
    """By how much sound is late on the line against the picture, whenever both have a packet; both report every 5 s."""
    chance, off = random.Random(3), []
    for at in range(seconds):
        if at % 5 == 1:
            picture.report(at, chance.uniform(-error, error))
            sound.report(at, chance.uniform(-error, error))
        for part in range(5):
            now = at + part / 5
            off.append(sound.send(now) - picture.send(now))
    return off


def test_half_an_hour_of_clocks_that_drift_apart_stays_in_step() -> None:
    line = Line()
    off = run(Sender(line, 90_000, 100, 0.08, 1 << 31), Sender(line, 48_000, -100, 0.0, 0xFFFF_F000), 1800)
    settled = off[60:]
    assert max(map(abs, settled)) < 0.040
    # Without reports they would be a third of a second apart.
    line = Line()
    picture, sound = Sender(line, 90_000, 100, 0, 0), Sender(line, 48_000, -100, 0, 0)
    assert abs([sound.send(at) - picture.send(at) for at in range(1800)][-1]) > 0.3


def test_reports_that_are_made_in_a_hurry_do_not_shake_the_times() -> None:
    line = Line()
    off = run(Sender(line, 90_000, 0, 0, 5), Sender(line, 44_100, 0, 0, 7), 600, error=0.002)
    assert max(map(abs, off)) < 0.010
    assert len({round(value, 4) for value in off}) < 20


def test_times_rise_while_a_clock_is_followed() -> None:
    line = Line()
    picture, sound = Sender(line, 90_000, 0, 0.09, 0), Sender(line, 48_000, 0, 0, 0)
    placed = []
    picture.send(0)
    for number in range(500):
        placed.append(sound.send(number / 50))
        if number == 50:
            picture.report(1)
            sound.report(1)
    steps = [later - earlier for earlier, later in itertools.pairwise(placed)]
    assert min(steps) > 0.019
    assert max(steps) < 0.021


def test_the_first_report_puts_a_source_in_its_place_at_once_if_it_is_far_off() -> None:
    line = Line()
    picture, sound = Sender(line, 90_000, 0, 2.0, 0), Sender(line, 48_000, 0, 0, 0)
    sound.send(0), picture.send(0)
    picture.report(1), sound.report(1)
    assert abs(sound.send(1.1) - picture.send(1.1)) < 0.001


def test_reports_before_the_first_packet_count() -> None:
    line = Line()
    picture, sound = Sender(line, 90_000, 0, 0.05, 0), Sender(line, 48_000, 0, 0, 0)
    picture.report(0), sound.report(0)
    assert abs(sound.send(0.5) - picture.send(0.5)) < 0.001


@pytest.mark.parametrize("wrong", [-BEGAN, 3600.0, -86_400.0])
def test_a_source_whose_reports_speak_of_another_clock_goes_by_when_it_comes(wrong: float) -> None:
    line = Line()
    picture, sound = Sender(line, 90_000, 0, 0, 0), Sender(line, 48_000, 0, 0, 0)
    for at in range(30):
        picture.report(at)
        sound.report(at, wrong)
        assert abs(sound.send(at) - picture.send(at)) < 0.001
    assert sound.clock.strange != picture.clock.strange


def test_a_sender_whose_clock_is_set_moves_nothing() -> None:
    line = Line()
    picture, sound = Sender(line, 90_000, 0, 0, 0), Sender(line, 48_000, 0, 0, 0)
    for at in range(60):
        jump = 100.0 if at > 30 else 0.0
        picture.report(at, jump)
        sound.report(at, jump)
        placed = sound.send(at), picture.send(at)
        assert placed == pytest.approx((at, at), abs=0.001)


# ------------------------------------------------------------ decoding times


def test_pictures_that_are_shown_as_they_are_decoded_are_decoded_when_they_are_shown() -> None:
    times = DecodingTimes(0, 3600)
    assert [times.place(pts) for pts in (0, 3600, 7200)] == [0, 3600, 7200]


def test_pictures_out_of_order_are_decoded_one_after_the_other_and_in_time() -> None:
    times = DecodingTimes(2, 3600)
    shown = [0, 4, 2, 1, 3, 8, 6, 5, 7, 12, 10, 9, 11]
    placed = [times.place(3600 * pts) for pts in shown]
    assert placed == [3600 * (number - 2) for number in range(len(shown))]
    assert all(dts <= 3600 * pts for dts, pts in zip(placed, shown, strict=True))


def test_an_order_that_was_not_said_is_found_out() -> None:
    times = DecodingTimes(None, 3600)
    shown = [0, 3, 1, 2, 6, 4, 5, 9, 7, 8, 12, 10, 11]
    placed = [times.place(3600 * pts) for pts in shown]
    assert all(later > earlier for earlier, later in itertools.pairwise(placed))
    assert all(dts <= 3600 * pts for dts, pts in zip(placed[4:], shown[4:], strict=True))


def test_times_that_begin_anew_are_followed() -> None:
    times = DecodingTimes(2, 3600)
    for pts in (900_000, 914_400, 907_200):
        times.place(pts)
    assert times.place(0) < 0


# ---------------------------------------------------------------- statistics


def test_a_receiver_reports_what_is_missing() -> None:
    statistics = Statistics(90_000)
    assert statistics.block(0) is None
    for sequence in (65_530, *range(65_533, 65_536), 0, 1, 2, 3):
        statistics.packet(RtpPacket(96, sequence, 0, 77, b"x"), 0.0)
    statistics.sender_report(rtcp.SenderReport(77, 0x1122_3344_5566_7788, 0), 1.0)
    block = statistics.block(1.5)
    assert block == rtcp.ReportBlock(77, 51, 2, 65_539, 0, 0x3344_5566, 32_768)
    second = statistics.block(2.0)
    assert second is not None
    assert second.fraction == 0

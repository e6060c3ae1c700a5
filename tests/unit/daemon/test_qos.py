"""Rates from cumulative counters, with every moment passed in."""

from __future__ import annotations

import random

import pytest

from arclyd.daemon.qos import SECOND, QosWindow, Rate
from tests.unit.daemon.fakes import FakeTrack


class Source:
    """A track whose frames are published at given times; sampled whenever."""

    def __init__(self, size: int = 1000) -> None:
        self.window = QosWindow()
        self.track = FakeTrack(0, 0, 0, (1, 90000))
        self.size = size
        self.first_ns: dict[int, int] = {}

    def publish(self, ns: int) -> None:
        self.track.frames += 1
        self.track.bytes += self.size
        self.track.last_publish_ns = ns
        self.first_ns.setdefault(0, ns)

    def config(self, ns: int) -> None:
        self.track.frames += 1
        self.track.config_frames += 1
        self.track.bytes += 40
        self.track.last_publish_ns = ns

    def sample(self, ns: int, epoch: int = 1) -> None:
        self.window.sample(ns, epoch, [self.track], self.first_ns)

    def run(self, start: int, seconds: float, fps: float, jitter: float = 0.0) -> int:
        """Publish, sampling four times a second at odd moments; returns the end."""
        generator = random.Random(7)
        end, due, sample = start + int(seconds * SECOND), float(start), start
        while due < end:
            while sample <= due:
                self.sample(sample)
                sample += int(SECOND * generator.uniform(0.2, 0.3))
            self.publish(int(due + generator.uniform(0, jitter) * SECOND))
            due += SECOND / fps
        self.sample(end)
        return end


@pytest.mark.parametrize("fps", [5, 23.976, 25, 29.97, 50, 59.94, 2000])
def test_fps_and_bitrate_are_right_whenever_it_is_sampled(fps: float) -> None:
    source = Source(size=2500)
    end = source.run(10 * SECOND, 7.3, fps)
    rate, average = source.window.rate(0, end), source.window.average(0)
    assert rate.fps == pytest.approx(fps, rel=1e-4)
    assert average.fps == pytest.approx(fps, rel=1e-4)
    assert rate.bps == pytest.approx(fps * 2500 * 8, rel=1e-3)
    assert average.bps == pytest.approx(fps * 2500 * 8, rel=1e-3)


def test_five_milliseconds_of_jitter_stay_within_two_percent() -> None:
    source = Source()
    end = source.run(10 * SECOND, 5, 25, jitter=0.005)
    assert source.window.rate(0, end).fps == pytest.approx(25, rel=0.02)


def test_in_real_time_the_scheduler_does_not_show_and_out_of_it_the_truth_does() -> None:
    source = Source()
    generator = random.Random(1)
    for n in range(200):
        source.track.last_dts = n * 3600
        source.publish(10 * SECOND + n * SECOND // 25 + int(generator.uniform(0, 0.02) * SECOND))
        source.sample(source.track.last_publish_ns)
    assert source.window.rate(0, source.track.last_publish_ns).fps == pytest.approx(25)
    for n in range(200, 400):  # twice as fast as real time
        source.track.last_dts = n * 3600
        source.publish(20 * SECOND + n * SECOND // 50)
        source.sample(source.track.last_publish_ns)
    assert source.window.rate(0, source.track.last_publish_ns).fps == pytest.approx(50)


def test_the_seam_of_a_looped_file_stays_within_two_percent() -> None:
    source = Source()
    extra = 0
    for n in range(2000):
        extra += 32 * SECOND // 1000 if n and n % 132 == 0 else 0  # the sound is longer than the picture
        ns = 10 * SECOND + n * SECOND // 25 + extra
        source.track.last_dts = (ns - 10 * SECOND) * 9 // 100_000
        source.publish(ns + random.Random(n).randrange(15_000_000))
        source.sample(source.track.last_publish_ns)
        if n > 100:
            assert source.window.rate(0, source.track.last_publish_ns).fps == pytest.approx(25, rel=0.02)


def test_it_falls_to_zero_within_two_seconds_and_the_average_stays() -> None:
    source = Source()
    end = source.run(10 * SECOND, 3, 25)
    last = source.track.last_publish_ns
    assert source.window.rate(0, last + SECOND).fps > 0
    assert source.window.rate(0, last + 2 * SECOND) == Rate()
    source.sample(end + 2 * SECOND)
    assert source.window.average(0).fps == pytest.approx(25, rel=1e-6)


def test_a_change_of_rate_shows_within_its_window() -> None:
    source = Source()
    end = source.run(10 * SECOND, 4, 50)
    end = source.run(end, 3, 10)
    assert source.window.rate(0, end).fps == pytest.approx(10, rel=0.03)


def test_configuration_frames_count_in_bytes_not_in_fps() -> None:
    source = Source()
    source.sample(10 * SECOND)
    for n in range(50):
        ns = 10 * SECOND + n * SECOND // 25
        source.config(ns)
        source.publish(ns)
        source.sample(ns)
    assert source.window.rate(0, source.track.last_publish_ns).fps == pytest.approx(25)
    assert source.window.rate(0, source.track.last_publish_ns).bps == pytest.approx(25 * 1040 * 8, rel=0.01)


def test_a_stream_that_just_began_shows_its_average() -> None:
    source = Source()
    source.sample(10 * SECOND)
    for n in range(4):
        source.publish(10 * SECOND + n * SECOND // 25)
    source.sample(10 * SECOND + SECOND // 8)
    assert source.window.rate(0, 10 * SECOND + SECOND // 8).fps == pytest.approx(25)


def test_a_new_epoch_starts_over_and_does_not_average_across_the_interruption() -> None:
    source = Source()
    source.run(10 * SECOND, 3, 25)
    source.window.begin(2, [source.track])
    source.sample(20 * SECOND, epoch=1)  # granted, the writer has not begun
    source.first_ns.clear()
    for n in range(30):
        source.publish(60 * SECOND + n * SECOND // 10)
        source.sample(60 * SECOND + n * SECOND // 10, epoch=2)
    assert source.window.rate(0, source.track.last_publish_ns).fps == pytest.approx(10)
    assert source.window.average(0).fps == pytest.approx(10)


def test_an_average_that_begins_amid_a_stream_counts_from_there() -> None:
    source = Source()
    for n in range(100):
        source.publish(SECOND + n * SECOND // 25)
    source.first_ns.clear()
    for n in range(100, 200):
        source.publish(SECOND + n * SECOND // 25)
        source.first_ns.clear()
        source.sample(SECOND + n * SECOND // 25, epoch=4)
    assert source.window.average(0).fps == pytest.approx(25)
    assert source.window.average(0).bps == pytest.approx(25 * 8000, rel=0.02)


def test_an_unknown_track_and_no_sample_are_zero() -> None:
    window = QosWindow()
    assert window.rate(3, 10) == window.average(3) == Rate()


@pytest.mark.parametrize("counter", [(1 << 64) - 1, 0])
def test_a_hostile_regions_counters_give_rates_that_fit_a_message(counter: int) -> None:
    source = Source()
    end = source.run(10 * SECOND, 3, 25)
    source.track.bytes = counter
    source.sample(end)
    for rate in (source.window.rate(0, end), source.window.average(0)):
        assert 0 <= 16 * rate.bps < 1 << 63

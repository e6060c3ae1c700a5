"""Numbers as people read them."""

import pytest

from arclyctl import units


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (812, "812 B"), (1023, "1023 B"), (1024, "1 KiB"), (12_595, "12.3 KiB"), (33_554_432, "32 MiB"),
     (1 << 30, "1 GiB"), ((1 << 20) - 1, "1 MiB"), (5 << 50, "5120 TiB")],
)  # fmt: skip
def test_sizes_are_in_powers_of_1024(count: int, text: str) -> None:
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("bps", "text"), [(0, "0"), (812, "812 b/s"), (64_200, "64.2 kb/s"), (2_310_000, "2.31 Mb/s"), (999_999, "1 Mb/s")]
)
def test_rates_are_in_powers_of_1000(bps: int, text: str) -> None:
    assert units.rate(bps) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 s"),
     (1e-9, "1 ns"), (0.00085, "850 µs"), (0.0035, "3.5 ms"), (0.035, "35 ms"), (0.9996, "1.0 s"), (1.234, "1.2 s"),
     (59.96, "1 min 0 s"), (123, "2 min 3 s"), (3600, "1 h 0 min"), (11_520, "3 h 12 min"), (187_200, "2 d 4 h"),
     (-1.5, "-1.5 s")],
)  # fmt: skip
def test_durations_take_the_unit_that_fits(value: float, text: str) -> None:
    assert units.seconds(value) == text


def test_no_fps_is_a_plain_zero() -> None:
    assert (units.fps(0.0), units.fps(29.97)) == ("0", "29.97")


def test_no_time_is_a_dash() -> None:
    assert (units.every(0.0), units.every(2.0)) == ("-", "2.0 s")
    assert (units.clock(0), units.date(0)) == ("-", "-")
    assert units.clock(1_700_000_000_123).endswith(".123")


def test_counts_have_their_thousands_apart() -> None:
    assert units.count(1_234_567) == "1,234,567"

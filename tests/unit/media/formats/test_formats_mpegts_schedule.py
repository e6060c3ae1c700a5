"""When transport packets are due: evenly between two values of the clock in them, whatever time they came."""

from __future__ import annotations

from arclyd.media.formats.mpegts.schedule import DATAGRAM, MAX_WAITING, Due, Schedule
from tests.ts_maker import TsMaker

MS = 1_000_000


def media(make: TsMaker, packets: int) -> bytes:
    return make.unit(0x100, bytes(packets * 184 - 9))


def stream(make: TsMaker, start: int, values: int, packets: int = 13) -> bytes:
    """A value of the clock every 40 ms, that many packets of media between two."""
    return b"".join(make.clock(start + number * 3600) + media(make, packets) for number in range(values))


def maker() -> TsMaker:
    return TsMaker([(0x100, 0x1B, b"")])


def test_packets_are_spread_over_the_time_between_two_values() -> None:
    dues = list(Schedule().push(stream(maker(), 0, 11), 5 * MS))
    assert len(dues) == 20  # 14 packets in 40 ms, what follows the last value is not known yet
    assert {len(due.data) for due in dues} == {DATAGRAM}
    for number, due in enumerate(dues):
        assert abs(due.at_ns - (5 * MS + (7 * number + 6) * 40 * MS // 14)) <= 2


def test_what_is_given_is_what_came() -> None:
    schedule, make = Schedule(), maker()
    data = stream(make, 1 << 33, 20, 5)
    dues: list[Due] = []
    for at in range(0, len(data), 188 * 3):
        dues += schedule.push(data[at : at + 188 * 3], at)
    dues += schedule.flush(0)
    assert b"".join(due.data for due in dues) == data
    assert [due.at_ns for due in dues] == sorted(due.at_ns for due in dues)


def test_a_clock_that_jumps_begins_anew() -> None:
    schedule, make = Schedule(), maker()
    list(schedule.push(stream(make, 900_000, 5), 0))
    dues = list(schedule.push(stream(make, 0, 5), 200 * MS))
    assert max(due.at_ns for due in dues) <= 200 * MS + 4 * 40 * MS


def test_one_that_is_late_goes_on_from_now() -> None:
    schedule, make = Schedule(), maker()
    list(schedule.push(stream(make, 0, 3), 0))
    dues = list(schedule.push(stream(make, 3 * 3600, 3), 60_000 * MS))
    assert min(due.at_ns for due in dues[2:]) >= 60_000 * MS


def test_without_a_clock_nothing_waits_for_ever() -> None:
    schedule = Schedule()
    dues = list(schedule.push(media(maker(), MAX_WAITING // 188 + 20), 7))
    assert sum(len(due.data) for due in dues) >= MAX_WAITING
    assert {due.at_ns for due in dues} == {7}

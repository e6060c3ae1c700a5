"""The event log: dense numbers, a bounded past, followers that lose what they do not read and are told."""

from __future__ import annotations

from arclyd.control.reports import Event
from arclyd.daemon.events import EventLog


def test_numbers_are_dense_and_the_past_is_bounded() -> None:
    log = EventLog(kept=3)
    for n in range(5):
        log.append(n, "joined", "live/a", n=n)
    past = log.since(1)
    assert [event.seq for event in past] == [3, 4, 5]
    assert [event.missed for event in past] == [2, 0, 0]
    assert log.next_seq == 6
    assert [event.seq for event in log.since(5)] == [5]
    assert log.since(None) == log.since(6) == ()


def test_a_follower_sees_what_comes_and_is_told_what_it_missed() -> None:
    log = EventLog()
    log.append(0, "before")
    follower = log.follow(limit=2)
    for n in range(5):
        log.append(n, f"e{n}")
    first, second = follower.pop(), follower.pop()
    assert first
    assert second
    assert (first.kind, second.kind, follower.pop()) == ("e0", "e1", None)
    log.append(9, "late")
    late = follower.pop()
    assert late
    assert (late.kind, late.missed, late.seq - second.seq) == ("late", 3, 4)
    log.append(9, "next")
    after = follower.pop()
    assert after
    assert after.missed == 0


def test_unfollowing_ends_it() -> None:
    log = EventLog()
    follower = log.follow()
    log.unfollow(follower)
    log.unfollow(follower)
    log.append(0, "x")
    assert follower.pop() is None


def test_the_sink_sees_every_event() -> None:
    seen: list[Event] = []
    log = EventLog(sink=seen.append)
    event = log.append(7, "kicked", "live/a", pid=1)
    assert seen == [event]
    assert event == Event(1, 7, "kicked", "live/a", {"pid": 1})

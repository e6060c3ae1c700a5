"""The kept connection: reports, orders, reconnection, its thread's life, forks."""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING

import pytest

from arclyd.client.exchange import Exchange
from arclyd.client.hub import Hub, process_hub
from arclyd.client.link import Link
from arclyd.control.messages import Ok, Order, Report, Request, Subscribe, Unsubscribe
from arclyd.errors import ArclydError, DaemonUnavailable
from tests.unit.client.fake_daemon import FakeDaemon
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from arclyd.control.connection import Answer


class RecordingParty:
    """Remembers what its link told it."""

    def __init__(self) -> None:
        self.resumed = 0
        self.orders: list[Order] = []
        self.cursor = 0
        self.was_cut = False
        self.link: Link | None = None

    def resume(self) -> None:
        assert self.link is not None
        self.resumed += 1
        self.link.send(Subscribe("live/cam1", resume="ab"), lambda _answer: self.link and self.link.settled())

    def order(self, order: Order) -> None:
        self.orders.append(order)

    def report(self) -> Request | None:
        return Report(1, self.cursor, 0)

    def cut(self) -> None:
        self.was_cut = True


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "s") as fake:
        yield fake
    wait_until(lambda: not hub_threads(), what="the control thread's end")


def hub_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "arclyd-hub"]


def linked(fake: FakeDaemon) -> tuple[Link, RecordingParty]:
    party = RecordingParty()
    party.link = Link(Exchange(fake.path), party, name="test")
    return party.link, party


def test_it_reports_and_reports_at_once_when_asked(fake: FakeDaemon) -> None:
    link, party = linked(fake)
    party.cursor = 7
    link.report_now()
    wait_until(lambda: Report(1, 7, 0) in fake.requests, what="the report asked for")
    party.cursor = 8
    wait_until(lambda: Report(1, 8, 0) in fake.requests, what="the report of the next second")
    link.close()


def test_a_report_without_an_answer_is_not_followed_by_others(fake: FakeDaemon) -> None:
    fake.answer = lambda _request: None
    link, _ = linked(fake)
    link.report_now()
    wait_until(lambda: fake.requests, what="the report")
    before = len(fake.requests)
    for _ in range(3):
        link.report_now()
    answered: list[Answer | ArclydError] = []
    fake.answer = lambda _request: Ok()
    link.post(Unsubscribe(1), answered.append)  # passes through the same thread, after the reports asked for
    wait_until(lambda: any(isinstance(request, Unsubscribe) for request in fake.requests), what="the request after")
    assert [type(request) for request in fake.requests[before:]] == [Unsubscribe]
    link.close()


def test_orders_reach_the_party(fake: FakeDaemon) -> None:
    link, party = linked(fake)
    fake.push(Order("kicked", "live/cam1", 3, "kicked"))
    wait_until(lambda: party.orders, what="the order")
    assert party.orders == [Order("kicked", "live/cam1", 3, "kicked")]
    link.close()


def test_it_comes_back_when_the_connection_is_lost(fake: FakeDaemon) -> None:
    link, party = linked(fake)
    for times in (1, 2, 3):
        fake.drop()
        wait_until(lambda times=times: party.resumed >= times, what="the reconnection")
        wait_until(lambda times=times: fake.connections == times + 1, what="the connection")
    link.close()
    assert Subscribe("live/cam1", resume="ab") in fake.requests


def test_it_comes_back_when_the_daemon_does(tmp_path: Path) -> None:
    fake = FakeDaemon(tmp_path / "s")
    link, party = linked(fake)
    fake.close()
    lost: list[Answer | ArclydError] = []
    wait_until(lambda: link.post(Unsubscribe(1), lost.append) or lost, what="the loss to show")
    assert isinstance(lost[0], DaemonUnavailable)
    with FakeDaemon(tmp_path / "s") as back:
        wait_until(lambda: Subscribe("live/cam1", resume="ab") in back.requests, what="the party on the new daemon")
        link.close()
    assert party.resumed >= 1


def test_a_request_that_was_under_way_fails_when_the_connection_does(fake: FakeDaemon) -> None:
    fake.answer = lambda request: None if isinstance(request, Unsubscribe) else Ok()
    link, _ = linked(fake)
    outcome: list[Answer | ArclydError] = []
    link.post(Unsubscribe(1), outcome.append)
    wait_until(lambda: Unsubscribe(1) in fake.requests, what="the request")
    fake.drop()
    wait_until(lambda: outcome, what="its outcome")
    assert isinstance(outcome[0], DaemonUnavailable)
    link.close()


def test_its_farewell_arrives_before_close_returns(fake: FakeDaemon) -> None:
    link, _ = linked(fake)
    link.close(Unsubscribe(1, "left"))
    assert fake.requests[-1] == Unsubscribe(1, "left")
    link.close(Unsubscribe(1, "again"))
    assert fake.requests[-1] == Unsubscribe(1, "left")


def test_closing_does_not_hang_on_a_daemon_that_does(fake: FakeDaemon) -> None:
    fake.answer = lambda _request: None
    link, _ = linked(fake)
    link.close(Unsubscribe(1, "left"), timeout=0.05)
    wait_until(lambda: link not in process_hub().links(), what="the link's end")


def test_one_thread_serves_all_and_ends_with_the_last(fake: FakeDaemon, tmp_path: Path) -> None:
    with FakeDaemon(tmp_path / "t") as other:
        first, _ = linked(fake)
        second, _ = linked(other)
        assert len(hub_threads()) == 1
        first.close()
        assert len(hub_threads()) == 1
        second.close()
        wait_until(lambda: not hub_threads(), what="the thread's end")
        third, _ = linked(other)
        assert len(hub_threads()) == 1
        third.close()


def test_a_party_that_raises_does_not_stop_the_others(fake: FakeDaemon, tmp_path: Path) -> None:
    with FakeDaemon(tmp_path / "t") as other:
        bad, culprit = linked(fake)
        good, party = linked(other)
        culprit.order = lambda order: 1 / 0  # type: ignore[method-assign] # a bug in one party
        fake.push(Order("kicked", "live/cam1"))
        other.push(Order("kicked", "live/cam1"))
        wait_until(lambda: party.orders, what="the order to the other")
        bad.close()
        good.close()


def test_a_forked_child_has_no_thread_no_connection_and_leaves_the_parents_alone(fake: FakeDaemon) -> None:
    link, party = linked(fake)
    pid = os.fork()
    if pid == 0:
        sound = party.was_cut and link._sock is None and not process_hub().links()
        gc.collect()
        os._exit(0 if sound else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    party.cursor = 99
    link.report_now()
    wait_until(lambda: Report(1, 99, 0) in fake.requests, what="the parent's report")
    assert not party.was_cut
    assert fake.connections == 1
    link.close()


def test_an_interrupt_while_the_thread_starts_leaves_a_hub_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    start, done = threading.Thread.start, threading.Event()

    def interrupted_before(_thread: threading.Thread) -> None:
        raise KeyboardInterrupt

    def interrupted_after(thread: threading.Thread) -> None:
        start(thread)
        raise KeyboardInterrupt

    for at in (interrupted_before, interrupted_after):
        monkeypatch.setattr(threading.Thread, "start", at)
        hub = Hub()
        with pytest.raises(KeyboardInterrupt):
            hub.call_soon(done.set)
        monkeypatch.setattr(threading.Thread, "start", start)
        hub.call_soon(done.set)
        assert done.wait(20)
        done.clear()
        hub.stop()

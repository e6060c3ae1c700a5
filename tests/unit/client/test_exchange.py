"""The blocking exchange and `Control` against a daemon whose answers the test decides."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
from typing import TYPE_CHECKING

import pytest

from arclyd.client.async_control import AsyncControl
from arclyd.client.commands import Question
from arclyd.client.control import Control, connect
from arclyd.client.exchange import Exchange, socket_path
from arclyd.control.messages import EventList, GetEvents, GetVersion, Kick, Ok, Request
from arclyd.control.reports import Event, Health, Version
from arclyd.errors import DaemonUnavailable, InvalidKey, ProtocolError, StreamNotFound, SubscriberNotFound
from tests.unit.client.fake_daemon import FakeDaemon
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = Version("1.2", 1, "1.0", "00000000", 7, "/s", 0)


def answers(request: Request) -> object:
    if isinstance(request, GetVersion):
        return VERSION
    if isinstance(request, Kick):
        return SubscriberNotFound(request.key, request.id)
    if isinstance(request, GetEvents):
        return EventList((Event(1, 0, "joined"),), 2)
    return Ok()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeDaemon]:
    with FakeDaemon(tmp_path / "s", answers) as fake:
        yield fake


def test_a_question_gets_its_answer_or_its_error(fake: FakeDaemon) -> None:
    with connect(fake.path) as control:
        assert control.version() == VERSION
        assert control.request_keyframe("live/cam1") is None
        with pytest.raises(SubscriberNotFound) as caught:
            control.kick("live/cam1", 5)
    assert (caught.value.key, caught.value.id) == ("live/cam1", 5)


def test_an_invalid_key_never_reaches_the_daemon(fake: FakeDaemon) -> None:
    with connect(fake.path) as control, pytest.raises(InvalidKey):
        control.info("../x")
    assert fake.requests == []


def test_a_reply_of_another_kind_is_a_protocol_error(fake: FakeDaemon) -> None:
    fake.answer = lambda _request: Health("healthy", ())
    with connect(fake.path) as control, pytest.raises(ProtocolError):
        control.version()


def test_a_lost_connection_is_an_error_once_and_made_anew(fake: FakeDaemon) -> None:
    with connect(fake.path) as control:
        assert control.version() == VERSION
        fake.drop()
        with pytest.raises(DaemonUnavailable):
            for _ in range(1000):  # the drop is noticed by one of the requests after it
                control.version()
        assert control.version() == VERSION
    assert fake.connections == 2


def test_a_daemon_that_never_answers_is_unavailable(fake: FakeDaemon) -> None:
    fake.answer = lambda _request: None
    with connect(fake.path, timeout=2) as control, pytest.raises(DaemonUnavailable, match="no answer in time"):
        control.version()


def test_where_nobody_listens_the_error_says_so(tmp_path: Path) -> None:
    with pytest.raises(DaemonUnavailable, match="no such socket"):
        connect(tmp_path / "none")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(DaemonUnavailable, match="nobody listens"):
        connect(tmp_path / "dead")
    with pytest.raises(DaemonUnavailable):
        connect("/" + "x" * 200)


def test_events_come_over_a_connection_of_their_own(fake: FakeDaemon) -> None:
    with connect(fake.path) as control:
        events = control.events(since=1)
        wait_until(lambda: fake.connections == 2, what="the second connection")
        assert next(events).seq == 1
        fake.push(Event(2, 0, "left", "live/cam1", {"pid": 3}))
        assert next(events) == Event(2, 0, "left", "live/cam1", {"pid": 3})
        events.close()
        assert list(control.events(since=1, follow=False)) == [Event(1, 0, "joined")]
        control.events()  # dropped at once: its connection goes with it


def test_an_exchange_leaves_no_descriptor_behind(fake: FakeDaemon, tmp_path: Path) -> None:
    Exchange(fake.path).close()  # from here on the fake has all it needs
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        Exchange(fake.path).close()
        with pytest.raises(DaemonUnavailable):
            Exchange(str(tmp_path / "none"))
    # The fake's ends close when its thread comes to it.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, what="every descriptor to be closed")
    assert fake.connections == 6


def test_the_socket_named_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert socket_path("control.sock") == str(tmp_path / "control.sock")
    monkeypatch.setenv("ARCLYD_SOCKET", "/run/there")
    assert socket_path(None) == "/run/there"


def test_both_faces_ask_the_same_questions() -> None:
    def questions(cls: type) -> set[str]:
        return {
            name for name, member in vars(cls).items() if hasattr(member, "__wrapped__") and not name.startswith("_")
        }

    assert questions(Control) == questions(AsyncControl)
    assert {"list_streams", "info", "qos", "gop_index", "subscribers", "health", "version"} <= questions(Control)
    for name in questions(Control):
        assert getattr(Control, name).__doc__, name


def test_a_question_is_data() -> None:
    question = Question(GetVersion(), str)
    assert dataclasses.is_dataclass(question)
    assert question.read(3) == "3"


async def version_twice(path: str) -> list[Version]:
    async with AsyncControl(path) as control:
        with pytest.raises(SubscriberNotFound):
            await control.kick("live/cam1", 5)
        return list(await asyncio.gather(control.version(), control.version()))


async def follow(fake: FakeDaemon) -> list[int]:
    control = AsyncControl(fake.path)
    seen = []
    events = control.events(since=1)
    async for event in events:
        seen.append(event.seq)
        if event.seq == 2:
            break
        fake.push(Event(2, 0, "left"))
    await events.aclose()  # type: ignore[attr-defined] # a generator
    await control.aclose()
    return seen


async def unavailable(path: str) -> None:
    async with AsyncControl(path) as control:
        with pytest.raises(DaemonUnavailable):
            await control.version()


def test_the_awaited_face(fake: FakeDaemon, tmp_path: Path) -> None:
    assert asyncio.run(version_twice(fake.path)) == [VERSION, VERSION]
    assert asyncio.run(follow(fake)) == [1, 2]
    asyncio.run(unavailable(str(tmp_path / "none")))


def test_a_refusal_of_a_stream_keeps_its_facts(fake: FakeDaemon) -> None:
    fake.answer = lambda _request: StreamNotFound("live/cam1")
    with connect(fake.path) as control, pytest.raises(StreamNotFound) as caught:
        control.qos("live/cam1")
    assert caught.value.key == "live/cam1"

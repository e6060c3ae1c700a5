"""`Control`: asking and steering the daemon, blocking."""

from __future__ import annotations

import weakref
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from arclyd.client import commands
from arclyd.client.commands import Question, blocking
from arclyd.client.exchange import Exchange, close_all, socket_path
from arclyd.control.messages import EventList, GetEvents
from arclyd.errors import DaemonUnavailable, ProtocolError

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from arclyd.control.reports import Event

R = TypeVar("R")


def connect(socket: str | os.PathLike[str] | None = None, timeout: float = 5.0, *, name: str | None = None) -> Control:
    """Connect to the daemon on ``socket`` (None: ``ARCLYD_SOCKET``, then the default places).

    ``timeout``: seconds for the connection and for each reply. ``name``: what the daemon's log calls this client.

    Raises:
        DaemonUnavailable: no daemon answers.
    """
    return Control(socket, timeout, name=name)


class Control:
    """A connection to the daemon; `connect` makes one. Not thread-safe.

    Every method raises the error the daemon refused with, or `DaemonUnavailable`. A connection that was
    lost is made anew by the next call.
    """

    def __init__(
        self, socket: str | os.PathLike[str] | None = None, timeout: float = 5.0, *, name: str | None = None
    ) -> None:
        self.socket = socket_path(socket)
        """Path of the control socket in use."""
        self._name = name or ""
        self._timeout = timeout
        self._exchange: Exchange | None = self._open()

    list_streams = blocking(commands.list_streams)
    info = blocking(commands.info)
    metadata = blocking(commands.metadata)
    update_metadata = blocking(commands.update_metadata)
    set_activity = blocking(commands.set_activity)
    qos = blocking(commands.qos)
    gop_index = blocking(commands.gop_index)
    subscribers = blocking(commands.subscribers)
    request_keyframe = blocking(commands.request_keyframe)
    admit = blocking(commands.admit)
    wanted = blocking(commands.wanted)
    tell_connection = blocking(commands.tell_connection)
    kick = blocking(commands.kick)
    end = blocking(commands.end)
    health = blocking(commands.health)
    version = blocking(commands.version)
    apps = blocking(commands.apps)

    def events(self, since: int | None = None, *, follow: bool = True) -> EventStream:
        """Events from number ``since`` on (None: those to come); ``follow``: wait for more, else end there.

        They come over a connection of their own, open from this call on for as long as the iterator lives.
        """
        exchange = self._open()
        try:
            past = exchange.ask(GetEvents(since, follow), EventList).events
        except BaseException:
            exchange.close()
            raise
        return EventStream(exchange, past, follow=follow)

    def ask(self, question: Question[R]) -> R:
        """The answer to one of `arclyd.client.commands`."""
        if self._exchange is None:
            self._exchange = self._open()
        try:
            answer = self._exchange.ask_fds(question.request)
        except (DaemonUnavailable, ProtocolError):
            self.close()
            raise
        close_all(answer.fds)
        return question.read(answer.value)

    def close(self) -> None:
        """Close the connection. Idempotent."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> Exchange:
        return Exchange(self.socket, name=self._name, timeout=self._timeout)


class EventStream:
    """An iterator over events that owns its connection; closed by `close`, ``with`` or its collection."""

    def __init__(self, exchange: Exchange, past: tuple[Event, ...], *, follow: bool) -> None:
        self._exchange = exchange
        self._past = deque(past)
        self._follow = follow
        weakref.finalize(self, exchange.close)

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        if self._past:
            return self._past.popleft()
        while self._follow:
            event = self._exchange.next_event()
            if event is not None:
                return event
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Close the connection; no more events come. Idempotent."""
        self._past.clear()
        self._follow = False
        self._exchange.close()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""`AsyncControl`: asking and steering the daemon from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from arclyd.client import commands
from arclyd.client.commands import Question, awaited
from arclyd.client.exchange import CHUNK, CLIENT, socket_path, unavailable
from arclyd.control.connection import Answer, ClientConnection, Refusal
from arclyd.control.messages import EventList, GetEvents, Request
from arclyd.control.reports import Event
from arclyd.errors import ArclydError, DaemonUnavailable

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator
    from types import TracebackType

R = TypeVar("R")


class AsyncControl:
    """`arclyd.Control` with every method awaited. Connects at the first request; ``async with`` closes it.

    ``socket``: path of the control socket. ``timeout``: seconds for the connection and for each reply.
    Requests of several tasks may overlap.
    """

    def __init__(
        self, socket: str | os.PathLike[str] | None = None, timeout: float = 5.0, *, name: str | None = None
    ) -> None:
        self.socket = socket_path(socket)
        """Path of the control socket in use."""
        self._name = name or ""
        self._timeout = timeout
        self._wire: _Wire | None = None
        self._opening = asyncio.Lock()

    list_streams = awaited(commands.list_streams)
    info = awaited(commands.info)
    metadata = awaited(commands.metadata)
    update_metadata = awaited(commands.update_metadata)
    set_activity = awaited(commands.set_activity)
    qos = awaited(commands.qos)
    gop_index = awaited(commands.gop_index)
    subscribers = awaited(commands.subscribers)
    request_keyframe = awaited(commands.request_keyframe)
    admit = awaited(commands.admit)
    wanted = awaited(commands.wanted)
    tell_connection = awaited(commands.tell_connection)
    kick = awaited(commands.kick)
    end = awaited(commands.end)
    health = awaited(commands.health)
    version = awaited(commands.version)
    apps = awaited(commands.apps)

    async def events(self, since: int | None = None, *, follow: bool = True) -> AsyncIterator[Event]:
        """Events from number ``since`` on (None: those to come); ``follow``: wait for more, else end there.

        They come over a connection of their own, made at the first step of the iteration.
        """
        wire = await _Wire.open(self.socket, self._name, self._timeout)
        try:
            reply = await wire.ask(GetEvents(since, follow))
            for event in reply.events if isinstance(reply, EventList) else ():
                yield event
            while follow:
                yield await wire.next_event()
        finally:
            await wire.close()

    async def ask(self, question: Question[R]) -> R:
        """The answer to one of `arclyd.client.commands`."""
        async with self._opening:
            if self._wire is None or self._wire.lost:
                await self.aclose()
                self._wire = await _Wire.open(self.socket, self._name, self._timeout)
            wire = self._wire
        return question.read(await wire.ask(question.request))

    async def aclose(self) -> None:
        """Close the connection. Idempotent."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def __aenter__(self) -> AsyncControl:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class _Wire:
    """One connection: a task reads, whoever asked is woken. Descriptors can't come: nothing here asks for one."""

    def __init__(self, path: str, name: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._connection = ClientConnection(name=name, client=CLIENT)
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._error: ArclydError | None = None
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._task: asyncio.Task[None]

    @classmethod
    async def open(cls, path: str, name: str, timeout: float) -> _Wire:
        wire = cls(path, name, timeout)
        try:
            async with asyncio.timeout(timeout):
                wire._reader, wire._writer = await asyncio.open_unix_connection(path)
        except OSError as error:  # a TimeoutError is one
            raise unavailable(path, error) from error
        wire._task = asyncio.create_task(wire._read())
        return wire

    @property
    def lost(self) -> bool:
        return self._error is not None

    async def ask(self, request: Request) -> object:
        if self._error is not None:
            raise self._error.with_traceback(None)
        number = self._connection.send_request(request)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            async with asyncio.timeout(self._timeout):
                self._writer.write(self._connection.data_to_send())
                await self._writer.drain()
                return await future
        except OSError as error:
            raise unavailable(self._path, error) from error
        finally:
            self._waiting.pop(number, None)

    async def next_event(self) -> Event:
        event = await self._events.get()
        if event is None:
            assert self._error is not None
            raise self._error.with_traceback(None)
        return event

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):  # it was lost already
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(CHUNK):
                self._connection.receive_data(data)
                while (event := self._connection.next_event()) is not None:
                    self._handle(event)
            self._fail(DaemonUnavailable(self._path, "it closed the connection"))
        except OSError as error:
            self._fail(unavailable(self._path, error))
        except ArclydError as error:
            self._fail(error)

    def _handle(self, event: object) -> None:
        if isinstance(event, Event):
            self._events.put_nowait(event)
        elif isinstance(event, Answer):
            self._settle(event.id, event.value)
        elif isinstance(event, Refusal):
            if event.id == 0:
                raise event.error
            self._settle(event.id, event.error)

    def _settle(self, id: int, outcome: object) -> None:
        future = self._waiting.pop(id, None)
        if future is None or future.done():
            return
        if isinstance(outcome, ArclydError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def _fail(self, error: ArclydError) -> None:
        self._error = error
        for number in list(self._waiting):
            self._settle(number, error)
        self._events.put_nowait(None)

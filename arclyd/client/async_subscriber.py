"""`AsyncSubscriber`: one reader of a stream, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from typing import TYPE_CHECKING, Final

from arclyd.client.subscriber import Lag, Subscriber
from arclyd.errors import EndOfStream
from arclyd.ring._ring import Frame, Gap, Reader, Waiter

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType

    from arclyd.client.observer import Observer
    from arclyd.media.track import Track

TURN: Final = 32
"""Frames in a row after which the other tasks of the loop get their turn."""

FOLLOWING: Final = 0.5
"""Seconds for which one attempt to go on in a stream's next region may keep a thread of the loop's pool."""


class AsyncSubscriber:
    """`arclyd.Subscriber` with its reading awaited; the same arguments.

    It attaches at ``async with``, or at the first frame asked for. One task at a time may read. A
    cancelled read loses nothing.
    """

    def __init__(
        self,
        key: str,
        *,
        start: str | float = "keyframe",
        resync: str = "keyframe",
        max_lag: int | None = None,
        tracks: Iterable[int | str] | None = None,
        observer: Observer | None = None,
        socket: str | os.PathLike[str] | None = None,
        name: str | None = None,
        wait: float = 0.0,
    ) -> None:
        self.key = key
        """The stream key."""
        self._attach: Callable[[], Subscriber] = functools.partial(
            Subscriber,
            key,
            start=start,
            resync=resync,
            max_lag=max_lag,
            tracks=tracks,
            observer=observer,
            socket=socket,
            name=name,
            wait=wait,
        )
        self._subscriber: Subscriber | None = None
        self._bell: _Bell | None = None
        self._closed = False
        self._in_a_row = 0

    async def recv(self, timeout: float | None = None) -> Frame:
        """The next frame; frames lost on the way are counted in `dropped`.

        Raises:
            TimeoutError: none within ``timeout`` seconds.
            EndOfStream: none will come.
        """
        if timeout is not None:
            async with asyncio.timeout(timeout):
                return await self.recv()
        while type(item := await self._next()) is not Frame:
            pass
        return item

    async def recv_raw(self, timeout: float | None = None) -> Frame | Gap:
        """As `recv`, with frames lost as a value: a `Gap` where they were."""
        if timeout is not None:
            async with asyncio.timeout(timeout):
                return await self._next()
        return await self._next()

    async def recv_many(self, max_frames: int, timeout: float | None = None) -> list[Frame]:
        """What is there at once, up to ``max_frames``; waits only for the first. Empty: none in time."""
        try:
            frames = [await self.recv(timeout)]
        except TimeoutError:
            return []
        if max_frames > 1:
            with contextlib.suppress(EndOfStream):  # the next call says so; what came before is still good
                frames += self._attached().recv_many(max_frames - 1, 0)
        return frames

    def __aiter__(self) -> AsyncIterator[Frame]:
        """Every frame from here on; ends when the stream does (`end_reason` says why)."""
        return self

    async def __anext__(self) -> Frame:
        try:
            return await self.recv()
        except EndOfStream:
            raise StopAsyncIteration from None

    @property
    def end_reason(self) -> str | None:
        """Why the stream is over for this reader, once it is."""
        return self._subscriber.end_reason if self._subscriber else None

    @property
    def dropped(self) -> int:
        """Frames lost so far."""
        return self._subscriber.dropped if self._subscriber else 0

    @property
    def lag(self) -> Lag:
        """How far this reader is behind the newest frame."""
        return self._subscriber.lag if self._subscriber else Lag(0, 0, 0.0)

    @property
    def tracks(self) -> list[Track]:
        """The stream's tracks, each with the configuration now in force; empty before it is attached."""
        return self._subscriber.tracks if self._subscriber else []

    @property
    def id(self) -> int:
        """What the daemon calls this reader; 0 before it is attached."""
        return self._subscriber.id if self._subscriber else 0

    async def aclose(self) -> None:
        """Detach. Idempotent."""
        self._closed = True
        bell, self._bell = self._bell, None
        if self._subscriber is not None:
            await asyncio.to_thread(self._subscriber.close)
        if bell is not None:
            bell.close()

    async def __aenter__(self) -> AsyncSubscriber:
        await self._ensure()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _next(self) -> Frame | Gap:
        subscriber = self._subscriber or await self._ensure()
        if self._in_a_row >= TURN:
            self._in_a_row = 0
            await asyncio.sleep(0)
        while (item := subscriber._poll()) is None:
            self._in_a_row = 0
            if subscriber._superseded:
                await asyncio.to_thread(subscriber._follow_within, FOLLOWING)
            else:
                await self._bell_of(subscriber._reader).wait()
        self._in_a_row += 1
        return item

    def _bell_of(self, reader: Reader) -> _Bell:
        bell = self._bell
        if bell is not None and bell.reader is reader:
            return bell
        if bell is not None:
            bell.close()
        self._bell = bell = _Bell(reader)
        weakref.finalize(self, bell.abandon).atexit = False
        return bell

    async def _ensure(self) -> Subscriber:
        if self._closed:
            raise EndOfStream("closed", self.key)
        if self._subscriber is None:
            attaching = asyncio.get_running_loop().run_in_executor(None, self._attach)
            try:
                self._subscriber = await asyncio.shield(attaching)
            except asyncio.CancelledError:
                attaching.add_done_callback(_discard)
                raise
        return self._subscriber

    def _attached(self) -> Subscriber:
        assert self._subscriber is not None
        return self._subscriber


def _discard(attaching: asyncio.Future[Subscriber]) -> None:
    if not attaching.cancelled() and attaching.exception() is None:
        attaching.result()._drop()


class _Bell:
    """Rings in the event loop when ``reader`` has something to say."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._loop = asyncio.get_running_loop()
        self._waiter = Waiter(reader)
        self._rung: asyncio.Future[None] | None = None
        # By weak reference: the loop would keep a subscriber alive that nobody else knows any more.
        self._loop.add_reader(self._waiter.fileno(), _ring, weakref.ref(self))

    async def wait(self) -> None:
        """Until the reader has something to say, or a little earlier. A cancelled wait takes nothing from it."""
        if not self._waiter.arm():
            self._rung = rung = self._loop.create_future()
            await rung

    def ring(self) -> None:
        """It may have: go on, whoever waits."""
        if self._waiter.clear() and self._rung is not None and not self._rung.done():
            self._rung.set_result(None)

    def close(self) -> None:
        """In the loop's thread: no more ringing. Idempotent."""
        if (fd := self._waiter.fileno()) >= 0:
            self._loop.remove_reader(fd)
        self._waiter.close()
        if self._rung is not None and not self._rung.done():
            self._rung.set_result(None)

    def abandon(self) -> None:
        """From wherever: the subscriber was dropped without having been closed."""
        self._waiter.stop()
        with contextlib.suppress(RuntimeError):  # the loop is closed and watches nothing any more
            self._loop.call_soon_threadsafe(self.close)


def _ring(bell: weakref.ref[_Bell]) -> None:
    if (living := bell()) is not None:
        living.ring()

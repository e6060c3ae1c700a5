"""`AsyncSubscriber`: one reader of a stream, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import weakref
from typing import TYPE_CHECKING, Final

from arclyd.client.subscriber import Lag, Subscriber
from arclyd.errors import EndOfStream
from arclyd.ring._ring import Frame, Gap

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable
    from types import TracebackType

    from arclyd.client.observer import Observer
    from arclyd.media.track import Track

TURN: Final = 32
"""Frames in a row after which the other tasks of the loop get their turn."""


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
        self._waiter: _Waiter | None = None
        self._closed = False
        self._in_a_row = 0

    async def recv(self, timeout: float | None = None) -> Frame:
        """The next frame; frames lost on the way are counted in `dropped`.

        Raises:
            TimeoutError: none within ``timeout`` seconds.
            EndOfStream: none will come.
        """
        await self._breathe()
        async with asyncio.timeout(timeout):
            while type(item := await self._next()) is not Frame:
                pass
            return item

    async def recv_raw(self, timeout: float | None = None) -> Frame | Gap:
        """As `recv`, with frames lost as a value: a `Gap` where they were."""
        await self._breathe()
        async with asyncio.timeout(timeout):
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

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while True:
            try:
                frame = await self.recv()
            except EndOfStream:
                return
            yield frame

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
        subscriber, waiter = self._subscriber, self._waiter
        if subscriber is not None:
            await asyncio.to_thread(subscriber.close)  # wakes the waiter's thread, too
        if waiter is not None:
            self._waiter = None
            await waiter.finish()

    async def __aenter__(self) -> AsyncSubscriber:
        await self._ensure()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _next(self) -> Frame | Gap:
        subscriber = self._subscriber or await self._ensure()
        waiter = self._waiter
        while True:
            # The reader has one user at a time: while the thread waits on it, there is nothing to take.
            if waiter is not None and waiter.busy:
                await waiter.wait()
            item = subscriber._poll()
            if item is not None:
                self._in_a_row += 1
                return item
            self._in_a_row = 0
            if waiter is None:
                waiter = self._waiter = _Waiter(subscriber)
                weakref.finalize(self, waiter.abandon).atexit = False
            await waiter.wait()

    async def _breathe(self) -> None:
        if self._in_a_row >= TURN:
            self._in_a_row = 0
            await asyncio.sleep(0)

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


class _Waiter:
    """The one thread that waits on the reader's futex while the event loop does other things."""

    def __init__(self, subscriber: Subscriber) -> None:
        self.busy = False
        """True: the thread waits, or is about to."""
        self._subscriber = subscriber
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._wanted = threading.Semaphore(0)
        self._over = False
        self._ended = asyncio.Event()
        # Not a daemon thread's business to keep a program from exiting: a loop that was left without aclose ends.
        self._thread = threading.Thread(target=self._run, name="arclyd-waiter", daemon=True)
        self._thread.start()

    async def wait(self) -> None:
        """Until the reader has something to say. A cancelled wait goes on in the thread, and is joined by the next."""
        if not self.busy:
            self.busy = True
            self._ready.clear()
            self._wanted.release()
        await self._ready.wait()

    async def finish(self) -> None:
        """End the thread; the subscriber was closed before, so that it waits for nothing."""
        self._over = True
        self._wanted.release()
        await self._ended.wait()
        self._thread.join()

    def abandon(self) -> None:
        """End the thread from wherever: the subscriber was dropped without having been closed."""
        self._over = True
        self._wanted.release()
        self._subscriber._drop()

    def _run(self) -> None:
        while self._wanted.acquire() and not self._over:
            self._subscriber._wait()
            if not self._tell(self._arrived):
                return
        self._tell(self._ended.set)

    def _arrived(self) -> None:
        self.busy = False
        self._ready.set()

    def _tell(self, call: Callable[[], None]) -> bool:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop was closed without aclose
            return False
        return True

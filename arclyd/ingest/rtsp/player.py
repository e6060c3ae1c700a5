"""One client that plays: frames out of the ring as fast as it takes them; what it misses it is not sent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from arclyd import AsyncSubscriber
from arclyd.errors import ArclydError, EndOfStream
from arclyd.ingest.rtsp.outflow import Outflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from arclyd import Frame
    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.rtsp.outflow import Offer
    from arclyd.ingest.rtsp.ways import Way

UNSENT: Final = 256 << 10
"""Bytes that may wait for a client in this process; the ring is where the rest waits."""

AT_ONCE: Final = 16 << 10
LEAST: Final = 1 << 10
PAUSE_SECONDS: Final = 0.002
"""Bytes of datagrams sent at once, and the pause then: of twice as much at once FFmpeg's players, with the buffer they
ask for, lost some. A small datagram takes as much of that as one of `LEAST` bytes."""


class Player:
    """Plays ``key``: of what was offered, the media that have a way.

    Args:
        gateway: of this process.
        key: the stream.
        name: as which it is known to the daemon.
        offer: what was described.
        ways: of each medium that is wanted.
        datagrams: they are sent in datagrams, which have to be paced.
    """

    def __init__(
        self, gateway: Gateway, key: str, name: str, offer: Offer, ways: Mapping[int, Way], *, datagrams: bool
    ) -> None:
        self.key = key
        self._gateway = gateway
        self._subscriber = AsyncSubscriber(key, name=name, socket=gateway.control.socket)
        self._offer = offer
        self._ways = {offer.places[medium]: way for medium, way in ways.items()}
        self._datagrams = datagrams
        self._outflow: Outflow
        self._free = asyncio.Event()
        self._free.set()
        self._paused_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> list[tuple[int, int, int]]:
        """Attach, and wait for the first frame; medium, sequence number and timestamp of where each begins.

        Raises:
            EndOfStream: there is none.
            MediaError: it can't be sent as it was described.
        """
        self._first = await self._subscriber.recv()
        self._outflow = Outflow(self._offer.tracks, self._ways, time.time_ns())
        self._outflow.retrack(self._subscriber.tracks)
        media = {place: medium for medium, place in enumerate(self._offer.places)}
        begun = self._outflow.begin(self._first)
        return [(media[place], sequence, timestamp) for place, sequence, timestamp in begun]

    def start(self, flush: Callable[[], None], close: Callable[[str], None]) -> None:
        """Send. ``flush`` is called when something is queued; ``close`` with the reason of the end."""
        self._task = self._gateway.start(self._run(flush, close))

    def stop(self) -> None:
        """Nobody wants more."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._gateway.start(self._subscriber.aclose())

    def pause(self) -> None:
        """The client takes less than it is sent."""
        self._free.clear()
        self._paused_at = time.monotonic()

    def resume(self) -> None:
        """It took some."""
        self._free.set()
        self._paused_at = None

    def stalled(self, now: float) -> float:
        """Seconds for which the client has taken nothing."""
        return 0.0 if self._paused_at is None else now - self._paused_at

    async def _run(self, flush: Callable[[], None], close: Callable[[str], None]) -> None:
        reason = ""
        try:
            async with contextlib.aclosing(self._subscriber):
                await self._play(flush)
        except EndOfStream as error:
            reason = error.reason
        except ArclydError as error:
            reason = str(error)
        for sent in self._outflow.end():
            self._ways[sent.place].send(sent.data, control=True)
        close(f"the stream is over: {reason}")

    async def _play(self, flush: Callable[[], None]) -> None:
        unpaused = 0
        async for frame in self._frames():
            packets = list(self._outflow.frame(frame))
            if not frame.is_intact():  # it was overwritten while it was copied
                continue
            for sent in packets:
                self._ways[sent.place].send(sent.data, control=sent.control)
                unpaused += max(LEAST, len(sent.data))
                if self._datagrams and unpaused >= AT_ONCE:
                    unpaused = 0
                    await asyncio.sleep(PAUSE_SECONDS)
            flush()
            if not self._free.is_set():
                await self._free.wait()

    async def _frames(self) -> AsyncIterator[Frame]:
        frame, epoch = self._first, self._first.epoch
        del self._first  # what it shows may be overwritten: nobody keeps it
        while True:
            if frame.epoch != epoch:
                epoch = frame.epoch
                self._outflow.retrack(self._subscriber.tracks)
            yield frame
            frame = await self._subscriber.recv()

"""One client that plays: frames out of the ring as fast as it takes them; what it misses it is not sent."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from arclyd import AsyncSubscriber
from arclyd.errors import ArclydError, EndOfStream
from arclyd.ingest.rtmp.feeding import feed

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.ingest.gateway import Gateway
    from arclyd.protocols.rtmp.server import ServerSession

UNSENT: Final = 256 << 10
"""Bytes that may wait for a client in this process; the ring is where the rest waits."""


class Player:
    """Plays ``key`` on message stream ``stream`` of a session."""

    def __init__(
        self, gateway: Gateway, key: str, name: str, session: ServerSession, *, stream: int, fourccs: frozenset[str]
    ) -> None:
        self.key = key
        self.stream = stream
        self._gateway = gateway
        self._name = name
        self._session = session
        self._fourccs = fourccs
        self._transport: asyncio.Transport
        self._free = asyncio.Event()
        self._free.set()
        self._paused_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, transport: asyncio.Transport, close: Callable[[str], None]) -> None:
        """Begin; ``close`` is called with the reason of the end."""
        self._transport = transport
        transport.set_write_buffer_limits(high=UNSENT)
        self._task = self._gateway.start(self._run(close))

    def stop(self) -> None:
        """The connection is gone."""
        if self._task is not None:
            self._task.cancel()

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

    async def _run(self, close: Callable[[str], None]) -> None:
        reason = "it could not go on"
        try:
            await self._play()
        except EndOfStream as error:
            reason = error.reason
        except ArclydError as error:
            reason = str(error)
        finally:
            self._session.end_play(self.stream)
            close(f"the stream is over: {reason}")

    async def _play(self) -> None:
        control = self._gateway.control
        async with AsyncSubscriber(self.key, name=self._name, socket=control.socket) as subscriber:
            async for tags in feed(subscriber, control, self._fourccs):
                for tag in tags:
                    self._session.send_media(tag.type, self.stream, tag.timestamp, tag.body)
                data = self._session.data_to_send()
                if not self._transport.is_closing():  # else the end is about to be told to us
                    self._transport.write(data)
                if not self._free.is_set():
                    await self._free.wait()

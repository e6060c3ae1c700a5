"""One client that plays: frames out of the ring as fast as it takes them; what it misses it is not sent."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from arclyd import AsyncSubscriber
from arclyd.errors import ArclydError, EndOfStream
from arclyd.ingest.rtmp import about
from arclyd.ingest.rtmp.outflow import Outflow
from arclyd.protocols.rtmp.messages import Type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from arclyd.ingest.rtmp.gateway import Gateway
    from arclyd.ingest.rtmp.outflow import Tag
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
        try:
            reason = await self._play()
        except EndOfStream as error:
            reason = error.reason
        except ArclydError as error:
            reason = str(error)
        self._session.end_play(self.stream)
        close(f"the stream is over: {reason}")

    async def _play(self) -> str:
        name, socket = self._name, self._gateway.control.socket
        async with AsyncSubscriber(self.key, name=name, socket=socket) as subscriber:
            frame = await subscriber.recv()
            outflow = Outflow(subscriber.tracks, self._fourccs)
            if not outflow.carries:
                return "no track in it that RTMP could carry"
            self._session.send_media(Type.DATA, self.stream, 0, outflow.metadata())
            self._send(outflow.start())
            await self._colors(outflow)
            epoch = frame.epoch
            while True:
                if frame.epoch != epoch:
                    epoch = frame.epoch
                    outflow.retrack(subscriber.tracks)
                tags = list(outflow.frame(frame.track, frame))
                if frame.is_intact():  # else it was overwritten while it was copied, and the next is a gap
                    self._send(tags)
                    self._flush()
                if not self._free.is_set():
                    await self._free.wait()
                frame = await subscriber.recv()  # what it missed shows in its report to the daemon

    async def _colors(self, outflow: Outflow) -> None:
        tags: Mapping[str, str] = (await self._gateway.control.metadata(self.key)).tags
        if about.COLOR_TAG in tags:
            self._send(outflow.colors(about.color_packet(tags[about.COLOR_TAG])))

    def _send(self, tags: Iterable[Tag]) -> None:
        for tag in tags:
            self._session.send_media(tag.type, self.stream, tag.timestamp, tag.body)

    def _flush(self) -> None:
        self._transport.write(self._session.data_to_send())

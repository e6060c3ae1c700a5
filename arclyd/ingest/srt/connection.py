"""One caller of the gateway, who publishes or plays, and an end with a reason."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from arclyd import AsyncSubscriber
from arclyd.errors import ArclydError, EndOfStream, Unauthorized, WireError
from arclyd.ingest.limits import Bucket
from arclyd.ingest.reception import Reception
from arclyd.ingest.srt import statistics
from arclyd.ingest.ts.feeding import feed
from arclyd.ingest.ts.intake import Intake
from arclyd.serving import host_port

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.srt.reactor import Endpoint, Reactor
    from arclyd.protocols.srt.stream_id import Asked

log: Final = logging.getLogger(__name__)


class _Part(Protocol):
    """What a caller does."""

    def received(self, data: bytes) -> float: ...

    def tick(self, now: float) -> str:
        """About once a second; returns why the connection has to end, if it has to."""

    def stop(self) -> None:
        """The connection is over."""


class Connection:
    """A caller at ``host`` and ``port`` who was let in with what it ``asked`` for."""

    def __init__(self, gateway: Gateway, reactor: Reactor, sock: int, host: str, port: int) -> None:
        self._gateway = gateway
        self.host = host
        self.address = host_port(host, port)
        self._subject = ""
        self._part: _Part | None = None
        self._over = False
        self._endpoint = reactor.attach(sock, self)
        gateway.connections.add(self)
        gateway.tell("connected", self.address)

    def publish(self, asked: Asked) -> None:
        """It is an encoder."""
        self._subject = asked.key
        self._part = _Publishing(self._gateway, self, self._endpoint, asked)

    def play(self, asked: Asked) -> None:
        """It is a player."""
        self._subject = asked.key
        self._part = _Playing(self._gateway, self, self._endpoint, asked)

    def received(self, data: bytes) -> float:
        """Bytes of the caller."""
        return self._part.received(data) if self._part is not None else 0.0

    def tick(self, now: float) -> None:
        """About once a second."""
        if self._part is not None and (reason := self._part.tick(now)):
            self.close(reason)

    def lost(self, reason: str) -> None:
        """The caller is gone."""
        self._end(reason)

    def close(self, reason: str, *, abort: bool = False) -> None:
        """End the connection. Idempotent."""
        del abort  # nothing of what is queued is waited for
        self._endpoint.close()
        self._end(reason)

    def _end(self, reason: str) -> None:
        if self._over:
            return
        self._over = True
        if self._part is not None:
            self._part.stop()
        self._gateway.connections.discard(self)
        self._gateway.census.leave(self.host)
        reason += statistics.summary(self._endpoint.figures())
        log.info("%s: %s: %s", self.address, self._subject, reason)
        self._gateway.tell("disconnected", self.address, self._subject, reason)


def reason_of(error: ArclydError) -> str:
    """What is told of an error."""
    return "not allowed" if isinstance(error, Unauthorized) else str(error)


class _Publishing:
    """A stream on its way in."""

    def __init__(self, gateway: Gateway, connection: Connection, endpoint: Endpoint, asked: Asked) -> None:
        self._gateway = gateway
        self._connection = connection
        self._shown = asked.shown
        self._endpoint = endpoint
        self._packets = 0
        self._heard_at = time.monotonic()
        self._bucket = Bucket(gateway.limits.rate, self._heard_at)
        carriage = statistics.Watched(endpoint.figures).tags
        intake = Intake(None, gateway.limits)
        self._reception = Reception(
            gateway, asked.key, connection.address, self, shown=asked.shown, intake=intake, carriage=carriage
        )

    @property
    def owner(self) -> tuple[str, Mapping[str, str]]:
        """Its address, and what it showed."""
        return self._connection.host, self._shown

    @property
    def heard_at(self) -> float:
        """When packets came last, as far as it is looked for; their bytes are given out later, after the latency."""
        figures = self._endpoint.figures()
        if figures is not None and figures.received != self._packets:
            self._packets, self._heard_at = figures.received, time.monotonic()
        return self._heard_at

    def give_way(self) -> None:
        """The same encoder came back by another connection."""
        self._reception.interrupt()
        self._connection.close("its encoder came back by another connection")

    def received(self, data: bytes) -> float:
        self._reception.receive(data)
        if self._reception.refusal is not None:
            self._connection.close(reason_of(self._reception.refusal))
            return 0.0
        return self._bucket.take(len(data), time.monotonic())

    def tick(self, now: float) -> str:
        if self._reception.refusal is not None:
            return reason_of(self._reception.refusal)
        if now - self.heard_at > self._gateway.limits.idle_seconds:
            return f"nothing came for {self._gateway.limits.idle_seconds:g} s"
        self._reception.tell(now)
        return ""

    def stop(self) -> None:
        # SRT has a word for the end of a connection, none for that of a stream.
        self._reception.fall_silent()


class _Playing:
    """A stream on its way out; what the caller has no room for waits in the ring."""

    def __init__(self, gateway: Gateway, connection: Connection, endpoint: Endpoint, asked: Asked) -> None:
        self._gateway = gateway
        self._connection = connection
        self._endpoint = endpoint
        self._key = asked.key
        self._task: asyncio.Task[None] = gateway.start(self._run())

    def received(self, data: bytes) -> float:
        del data  # a player has nothing to say
        return 0.0

    def tick(self, now: float) -> str:
        self._endpoint.figures()
        since, most = self._endpoint.waiting_since, self._gateway.limits.stalled_seconds
        return f"nothing was taken for {most:g} s" if since is not None and now - since > most else ""

    def stop(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        name = f"{self._gateway.protocol} {self._connection.address}"
        log.info("%s: plays %s", self._connection.address, self._key)
        try:
            async with AsyncSubscriber(self._key, name=name, socket=self._gateway.control.socket) as subscriber:
                async for data in feed(subscriber):
                    await self._endpoint.send(data)
        except EndOfStream as end:
            await self._endpoint.finish()
            self._connection.close(str(end))
        except WireError:
            return  # the caller is gone, which is told as such
        except ArclydError as error:
            self._connection.close(str(error))

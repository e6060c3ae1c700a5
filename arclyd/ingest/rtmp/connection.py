"""One client of the gateway: bytes to events, events to what is done, and an end with a reason."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, cast

from arclyd.control.keys import parse_key
from arclyd.errors import (
    AlreadyPublishing,
    ArclydError,
    InvalidKey,
    PublisherClosed,
    StreamNotFound,
    Unauthorized,
    WireError,
)
from arclyd.ingest.credentials import shown_in_query
from arclyd.ingest.limits import Bucket, acknowledge_now, watch_peer
from arclyd.ingest.rtmp.player import Player
from arclyd.ingest.rtmp.reception import Reception
from arclyd.protocols.rtmp.address import asked_for
from arclyd.protocols.rtmp.chunks import Message, MessageLimits
from arclyd.protocols.rtmp.messages import Data
from arclyd.protocols.rtmp.server import Closed, Connect, Play, Publish, ServerSession
from arclyd.serving import host_port

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from arclyd.ingest.gateway import Gateway

log: Final = logging.getLogger(__name__)

FAREWELL_SECONDS: Final = 30.0
"""For a client to read what is on its way to it, and to close."""

UNREAD: Final = 1 << 20
"""Bytes of answers that a client may leave unread, a frame that is played to it apart: it asks, and takes nothing."""

PING_SECONDS: Final = 20.0


def _told(error: ArclydError) -> str:
    """What a client may know of an error; the log has the rest."""
    for kind, sentence in _TOLD.items():
        if isinstance(error, kind):
            return sentence or str(error)
    return "not possible now"


_TOLD: Final[dict[type[ArclydError], str]] = {
    Unauthorized: "not allowed",
    AlreadyPublishing: "the stream is being published already",
    PublisherClosed: "the stream was ended, or another publisher took it over",
    StreamNotFound: "no such stream",
    InvalidKey: "",
}


class Connection(asyncio.Protocol):
    """Reading pauses while something is decided; what had been read by then waits for it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._session = ServerSession(MessageLimits(gateway.limits.video, gateway.limits.audio))
        self._transport: asyncio.Transport
        self._host = self.address = ""
        self._counted = False
        self._began_at = self.heard_at = self._pinged_at = time.monotonic()
        self._bucket = Bucket(gateway.limits.rate, self.heard_at)
        self._app = ""
        self._shown: Mapping[str, str] = {}
        self._fourccs: frozenset[str] = frozenset()
        self._work: asyncio.Task[None] | None = None
        self._farewell: asyncio.TimerHandle | None = None
        self._backlog: list[object] = []
        self._closing = ""
        self._reception: Reception | None = None
        self._player: Player | None = None

    # ---------------------------------------------------------------- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or turn it away."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        self._host = str(peer[0])
        self.address = host_port(self._host, peer[1])
        problem = self._gateway.census.enter(self._host)
        if problem:
            log.warning("%s: turned away: %s", self.address, problem)
            self._closing = problem
            self._transport.abort()
            return
        self._counted = True
        watch_peer(transport, self._gateway.limits.stalled_seconds)
        self._gateway.connections.add(self)
        self._gateway.tell("connected", self.address)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._closing:
            return
        self.heard_at = now = time.monotonic()
        try:
            self._handle(self._session.receive(data))
        except ArclydError as error:
            self._fail(error)
        self._flush()
        if self._transport.get_write_buffer_size() > UNREAD + (self._gateway.limits.video if self._player else 0):
            self.close("it asks and does not take the answers", abort=True)
        if self._reception is None and self._player is None and not self._closing:  # questions and answers yet
            acknowledge_now(self._transport)
        pause = self._bucket.take(len(data), now)
        if pause and not self._closing:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(pause, self._go_on)

    def pause_writing(self) -> None:
        """The client takes less than it is sent."""
        if self._player is not None:
            self._player.pause()

    def resume_writing(self) -> None:
        """It took some."""
        if self._player is not None:
            self._player.resume()

    def connection_lost(self, error: Exception | None) -> None:
        """The end, whoever wanted it."""
        if self._farewell is not None:
            self._farewell.cancel()
        if not self._counted:
            return
        reason = self._closing or (f"lost: {error}" if error else "the client left")
        self._closing = reason
        self._gateway.connections.discard(self)
        self._gateway.census.leave(self._host)
        subject = ""
        if self._reception is not None:
            subject = self._reception.key
            self._reception.interrupt()
        if self._player is not None:
            subject = self._player.key
            self._player.stop()
        log.info("%s: %s%s", self.address, f"{subject}: " if subject else "", reason)
        self._gateway.tell("disconnected", self.address, subject, reason)

    # ------------------------------------------------------------------ time

    def tick(self, now: float) -> None:
        """About once a second: whoever is over a limit is let go."""
        limits = self._gateway.limits
        if self._closing:
            return
        if self._reception is None and self._player is None:
            if now - self._began_at > limits.start_seconds:
                self.close(f"nothing published or played in {limits.start_seconds:g} s")
        elif self._reception is not None:
            if now - self.heard_at > limits.idle_seconds:
                self.close(f"nothing came for {limits.idle_seconds:g} s")
            else:
                self._reception.tell(now)
        elif self._player is not None and self._player.stalled(now) > limits.stalled_seconds:
            self.close(f"nothing was taken for {limits.stalled_seconds:g} s", abort=True)
        elif now - self._pinged_at > PING_SECONDS:
            self._pinged_at = now
            self._session.ping(int(now * 1000))
            self._flush()

    # ---------------------------------------------------------------- events

    def _handle(self, events: Iterable[object]) -> None:
        for event in events:
            if self._work is not None:
                self._backlog.append(event)
            elif type(event) is Message:
                self._media(event)
            else:
                self._event(event)

    def _media(self, message: Message) -> None:
        reception = self._reception
        if reception is not None and message.stream == reception.stream:
            reception.receive(message)
            if reception.wants_claim:
                self._do(reception.claim())

    def _event(self, event: object) -> None:
        if isinstance(event, Data):
            if self._reception is not None:
                self._reception.data(event)
        elif isinstance(event, Connect):
            self._connect(event)
        elif isinstance(event, Publish):
            self._do(self._publish(event))
        elif isinstance(event, Play):
            self._do(self._play(event))
        elif isinstance(event, Closed):
            self._closed(event)

    def _do(self, work: Coroutine[None, None, None]) -> None:
        """Decide something; nothing more is read meanwhile."""
        self._transport.pause_reading()
        self._work = self._gateway.start(self._done(work))

    async def _done(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except ArclydError as error:
            self._fail(error)
        finally:
            self._work = None
        backlog, self._backlog = self._backlog, []
        if self._closing:
            return
        try:
            self._handle(backlog)
        except ArclydError as error:
            self._fail(error)
        self._flush()
        self._go_on()

    def _go_on(self) -> None:
        if self._work is None and not self._transport.is_closing():
            self._transport.resume_reading()

    # --------------------------------------------------------------- answers

    def _connect(self, event: Connect) -> None:
        self._app, self._fourccs = event.app, event.fourccs
        log.debug("%s: connect to %r by %r", self.address, event.app[:100], event.encoder[:100])
        self._session.accept_connect()

    async def _publish(self, event: Publish) -> None:
        if self._reception is not None or self._player is not None:
            raise WireError("RTMP", "a second stream in one connection")
        key, shown = self._wanted(event.name)
        try:
            reception = await self._reserve(key, shown, event)
        except ArclydError as error:
            self._refuse(event.stream, "NetStream.Publish.BadName", key, error)
            return
        if self._closing:
            reception.interrupt()
            return
        self._reception = reception
        self._session.accept_publish(event)
        log.info("%s: publishes %s", self.address, key)

    async def _reserve(self, key: str, shown: Mapping[str, str], event: Publish) -> Reception:
        """The place of a publisher, if it is this one's to take."""
        parse_key(key)
        self._shown = shown
        reception = Reception(self._gateway, key, self.address, event.stream, self)
        await reception.admit(shown)
        return reception

    @property
    def owner(self) -> tuple[str, Mapping[str, str]]:
        """The client's address, and what it showed."""
        return self._host, self._shown

    def give_way(self) -> None:
        """The same encoder came back by another connection."""
        if self._reception is not None:
            self._reception.interrupt()
        self.close("its encoder came back by another connection", abort=True)

    async def _play(self, event: Play) -> None:
        if self._reception is not None or self._player is not None:
            raise WireError("RTMP", "a second stream in one connection")
        key, shown = self._wanted(event.name)
        try:
            parse_key(key)
            await self._gateway.admit(key, "play", self.address, shown)
        except StreamNotFound as error:
            self._refuse(event.stream, "NetStream.Play.StreamNotFound", key, error)
            return
        except ArclydError as error:
            self._refuse(event.stream, "NetStream.Play.Failed", key, error)
            return
        if self._closing:
            return
        self._session.accept_play(event)
        log.info("%s: plays %s", self.address, key)
        name = f"{self._gateway.protocol} {self.address}"
        self._player = Player(self._gateway, key, name, self._session, stream=event.stream, fourccs=self._fourccs)
        self._player.start(self._transport, self.close)

    def _wanted(self, name: str) -> tuple[str, dict[str, str]]:
        key, query = asked_for(self._app, name)
        return key, shown_in_query(query)

    def _refuse(self, stream: int, code: str, key: str, error: ArclydError) -> None:
        """Say no in RTMP's way."""
        self._session.refuse(stream, code, _told(error))
        self.close(f"refused {key[:200]}: {error}")

    def _fail(self, error: ArclydError) -> None:
        """It can't go on: the encoder is told so where it can be."""
        if self._reception is not None and not isinstance(error, WireError):
            self._session.refuse(self._reception.stream, "NetStream.Publish.BadName", _told(error))
        self.close(str(error))

    def _closed(self, event: Closed) -> None:
        if self._reception is not None and event.stream == self._reception.stream:
            self._reception.end()
            self.close("the encoder ended the stream")
        elif self._player is not None and event.stream == self._player.stream:
            self.close("the player ended it")

    def close(self, reason: str, *, abort: bool = False) -> None:
        """End the connection, after what is queued was sent unless ``abort``; the first reason counts."""
        if self._closing:
            return
        self._closing = reason
        if self._reception is not None:
            self._reception.interrupt()
        if abort:
            self._transport.abort()
            return
        self._flush()
        if self._transport.can_write_eof():
            # What still comes is read and thrown away: else the kernel would throw away what the client has to read.
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()
        self._farewell = asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self._transport.abort)

    def _flush(self) -> None:
        if data := self._session.data_to_send():
            self._transport.write(data)

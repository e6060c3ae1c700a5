"""One client of the gateway: bytes to events, events to what is done, and an end with a reason."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from arclyd import AsyncSubscriber
from arclyd.control.keys import parse_key
from arclyd.errors import (
    AlreadyPublishing,
    ArclydError,
    EndOfStream,
    InvalidKey,
    MediaError,
    PublisherClosed,
    StreamNotFound,
    Unauthorized,
    WireError,
)
from arclyd.ingest.credentials import shown_in_header, shown_in_query
from arclyd.ingest.limits import Bucket, watch_peer
from arclyd.ingest.rtsp.outflow import Offer
from arclyd.ingest.rtsp.player import UNSENT, Player
from arclyd.ingest.rtsp.reception import Reception
from arclyd.ingest.rtsp.ways import Channels, Ports
from arclyd.protocols.rtsp import tunnel
from arclyd.protocols.rtsp.address import asked_for
from arclyd.protocols.rtsp.authentication import Authentication
from arclyd.protocols.rtsp.messages import Interleaved
from arclyd.protocols.rtsp.server import (
    TIMEOUT_SECONDS,
    Announce,
    Describe,
    Pause,
    Play,
    Record,
    ServerSession,
    Setup,
    Teardown,
    Tunnel,
)
from arclyd.protocols.rtsp.transport import Transport
from arclyd.protocols.rtsp.tunnel import TunnelDecoder
from arclyd.serving import host_port

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Mapping

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.rtsp.ways import Way
    from arclyd.protocols.rtsp.messages import Request

log: Final = logging.getLogger(__name__)

FAREWELL_SECONDS: Final = 30.0
"""For a client to read what is on its way to it, and to close."""

REPORT_SECONDS: Final = 5.0
"""Between two words to a sender on how its packets come (RFC 3550, 6.2)."""

TRIES: Final = 4
"""Times a client may be asked who it is."""

_STATUS: Final[dict[type[ArclydError], int]] = {
    Unauthorized: 401,
    StreamNotFound: 404,
    InvalidKey: 404,
    EndOfStream: 404,
    AlreadyPublishing: 403,
    PublisherClosed: 403,
    MediaError: 415,
    WireError: 415,
}
"""What a client is told of an error; the log has the rest."""


def _status(error: ArclydError) -> int:
    return next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 503)


class Connection(asyncio.Protocol):
    """Reading pauses while something is decided; what had been read by then waits for it."""

    def __init__(self, gateway: Gateway, ports: range | None, tunnels: dict[str, Connection]) -> None:
        self._gateway = gateway
        self._ports = ports
        self._tunnels = tunnels
        self._tunnel = ""
        """What ties this connection, which gives answers only, to the one that brings the requests."""
        self._partner: Connection | None = None
        """The connection that gives the answers to what this one brings."""
        self._decoder = TunnelDecoder()
        self._session = ServerSession()
        self._authentication = Authentication()
        self._transport: asyncio.Transport
        self._host = self.address = self._local = ""
        self._counted = False
        self._began_at = self.heard_at = self._reported_at = time.monotonic()
        self._bucket = Bucket(gateway.limits.rate, self.heard_at)
        self._shown: Mapping[str, str] = {}
        self._tries = 0
        self._key = ""
        self._offer: Offer | None = None
        self._ways: dict[int, Way] = {}
        self._channels: dict[int, tuple[int, bool]] = {}
        self._work: asyncio.Task[None] | None = None
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
        self._local = str((transport.get_extra_info("sockname") or ("",))[0])
        problem = self._gateway.census.enter(self._host)
        if problem:
            log.warning("%s: turned away: %s", self.address, problem)
            self._closing = problem
            self._transport.abort()
            return
        self._counted = True
        self._transport.set_write_buffer_limits(high=UNSENT)
        watch_peer(transport, self._gateway.limits.stalled_seconds)
        self._gateway.connections.add(self)
        self._gateway.tell("connected", self.address)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        if self._closing:
            return
        self.heard_at = now = time.monotonic()
        if self._partner is not None:
            self._bring(self._partner, data)
        elif not self._tunnel:
            self._take(data)
        pause = self._bucket.take(len(data), now)
        if pause and not self._closing:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(pause, self._go_on)

    def _take(self, data: bytes) -> None:
        """Bytes of RTSP."""
        self.heard_at = time.monotonic()
        try:
            self._handle(self._session.receive(data))
        except ArclydError as error:
            self.close(str(error))
        self._flush()

    def _bring(self, partner: Connection, data: bytes) -> None:
        """Bytes of a tunnel."""
        try:
            decoded = self._decoder.receive(data)
        except ArclydError as error:
            self.close(str(error))
            return
        if decoded and not partner.closing:
            partner._take(decoded)

    @property
    def closing(self) -> bool:
        """It is over, or about to be."""
        return bool(self._closing)

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
        if not self._counted:
            return
        reason = self._closing or (f"lost: {error}" if error else "the client left")
        self._closing = reason
        self._gateway.connections.discard(self)
        self._gateway.census.leave(self._host)
        if self._tunnel and self._tunnels.get(self._tunnel) is self:
            del self._tunnels[self._tunnel]
        self._let_go()
        log.info("%s: %s%s", self.address, f"{self._key}: " if self._key else "", reason)
        self._gateway.tell("disconnected", self.address, self._key, reason)

    def _let_go(self) -> None:
        if self._reception is not None:
            self._reception.interrupt()
        if self._player is not None:
            self._player.stop()
        for way in self._ways.values():
            way.close()

    # ------------------------------------------------------------------ time

    def tick(self, now: float) -> None:
        """About once a second: whoever is over a limit is let go."""
        limits = self._gateway.limits
        if self._closing:
            return
        if self._partner is not None:
            if self._partner.closing:
                self.close("its tunnel is over")
        elif self._player is not None:
            if self._player.stalled(now) > limits.stalled_seconds:
                self.close(f"nothing was taken for {limits.stalled_seconds:g} s", abort=True)
            elif self._in_datagrams and now - self.heard_at > TIMEOUT_SECONDS:
                self.close(f"nothing was heard for {TIMEOUT_SECONDS} s")
        elif self._reception is None or not self._session.recording:
            if now - self._began_at > limits.start_seconds and now - self.heard_at > limits.start_seconds:
                self.close(f"nothing published or played in {limits.start_seconds:g} s")
        elif now - self.heard_at > limits.idle_seconds:
            self.close(f"nothing came for {limits.idle_seconds:g} s")
        else:
            self._tend(self._reception, now)

    def _tend(self, reception: Reception, now: float) -> None:
        try:
            reception.tick(now)
        except ArclydError as error:
            self.close(str(error))
            return
        if now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            for medium, report in reception.intake.reports(now):
                if medium in self._ways:
                    self._ways[medium].send(report, control=True)
            self._flush()

    @property
    def _in_datagrams(self) -> bool:
        return any(isinstance(way, Ports) for way in self._ways.values())

    # ---------------------------------------------------------------- events

    def _handle(self, events: Iterable[object]) -> None:
        for event in events:
            if self._work is not None:
                self._backlog.append(event)
            elif type(event) is Interleaved:
                if (found := self._channels.get(event.channel)) is not None:
                    self._packet(found[0], event.payload, control=found[1])
            else:
                self._event(event)

    def _event(self, event: object) -> None:
        if isinstance(event, Announce):
            self._do(event.request, self._announce(event))
        elif isinstance(event, Describe):
            self._do(event.request, self._describe(event))
        elif isinstance(event, Setup):
            self._do(event.request, self._setup(event))
        elif isinstance(event, Record):
            self._record(event)
        elif isinstance(event, Play):
            self._do(event.request, self._play(event))
        elif isinstance(event, Pause):
            self._pause()
        elif isinstance(event, Teardown):
            self._teardown()
        elif isinstance(event, Tunnel):
            self._enter_tunnel(event.request)

    def _enter_tunnel(self, request: Request) -> None:
        """RTSP in HTTP: this connection is for the answers, or for the requests."""
        cookie = tunnel.cookie(request)
        name = f"{self._host} {cookie}"
        if cookie and request.method == "GET" and name not in self._tunnels:
            self._tunnel = name
            self._tunnels[name] = self
            self._transport.write(tunnel.GRANTED)
        elif cookie and request.method == "POST" and name in self._tunnels:
            self._partner = self._tunnels[name]
            self._bring(self._partner, request.body + self._session.rest())
        else:
            self._transport.write(tunnel.REFUSED)
            self.close(f"HTTP {request.method} {request.url[:80]}")

    def _datagram(self, medium: int, data: bytes, *, control: bool) -> None:
        """A packet in a datagram; what is above the rate is not heard."""
        if not self._bucket.take(len(data), time.monotonic()):
            self._packet(medium, data, control=control)

    def _packet(self, medium: int, data: bytes, *, control: bool) -> None:
        """A packet of the client's, however it came."""
        self.heard_at = now = time.monotonic()
        if self._reception is None or self._closing:
            return
        try:
            self._reception.receive(medium, data, now, control=control)
        except ArclydError as error:
            self.close(str(error))

    def _do(self, request: Request, work: Coroutine[None, None, None]) -> None:
        """Decide something; nothing more is read meanwhile."""
        self._transport.pause_reading()
        self._work = self._gateway.start(self._done(request, work))

    async def _done(self, request: Request, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except ArclydError as error:
            self._refuse(request, error)
        finally:
            self._work = None
        if self._closing:
            self._let_go()
            return
        backlog, self._backlog = self._backlog, []
        try:
            self._handle(backlog)
        except ArclydError as error:
            self.close(str(error))
        self._flush()
        self._go_on()

    def _go_on(self) -> None:
        if self._work is None and not self._transport.is_closing():
            self._transport.resume_reading()

    # --------------------------------------------------------------- answers

    async def _announce(self, event: Announce) -> None:
        key, self._shown = self._asked(event.request)
        parse_key(key)
        reception = Reception(self._gateway, key, self.address, self, description=event.description, fail=self._fail)
        await reception.admit(self._shown)
        self._reception, self._key = reception, key
        self._session.accept_announce(event)

    async def _describe(self, event: Describe) -> None:
        offer = await self._offered(event.request)
        self._session.accept_describe(event, offer.description)

    async def _offered(self, request: Request) -> Offer:
        """What may be played of the stream that is asked for. Raises what it is refused with."""
        key, shown = self._asked(request)
        if self._offer is not None and key == self._key:
            return self._offer
        parse_key(key)
        await self._gateway.admit(key, "play", self.address, shown)
        name = f"{self._gateway.protocol} {self.address}"
        async with AsyncSubscriber(key, name=name, socket=self._gateway.control.socket) as subscriber:
            offer = Offer(subscriber.tracks, key)
        for reason in offer.left_out:
            log.info("%s: a track of %s is not sent: %s", self.address, key, reason)
        self._offer, self._key = offer, key
        return offer

    async def _setup(self, event: Setup) -> None:
        medium = event.medium
        if self._reception is None and self._offer is None:
            offer = await self._offered(event.request)  # a client that did not ask what there is
            medium = self._session.offer(event, offer.description)
        if medium is None:
            self._session.refuse(event.request, 404)
            return
        for wanted in event.transports:
            if wanted.unicast and not wanted.secure and (wanted.tcp or wanted.client_port is not None):
                self._session.accept_setup(event, medium, await self._open(medium, wanted))
                return
        self._session.refuse(event.request, 461)

    async def _open(self, medium: int, wanted: Transport) -> Transport:
        """Make way for the packets of a medium; what the client is told of it."""
        if (before := self._ways.pop(medium, None)) is not None:
            before.close()
        if wanted.tcp:
            return self._open_channels(medium, wanted)
        assert wanted.client_port is not None
        ports = Ports.bind(self._local, self._host, self._ports)
        self._ways[medium] = ports
        ports.tell(wanted.client_port)
        await ports.open(partial(self._datagram, medium))
        return Transport(tcp=False, client_port=wanted.client_port, server_port=ports.numbers, mode=wanted.mode)

    def _open_channels(self, medium: int, wanted: Transport) -> Transport:
        pair = wanted.interleaved or (2 * medium, 2 * medium + 1)
        if any(channel in self._channels and self._channels[channel][0] != medium for channel in pair):
            pair = next((at, at + 1) for at in range(0, 256, 2) if not {at, at + 1} & self._channels.keys())
        self._channels |= {pair[0]: (medium, False), pair[1]: (medium, True)}
        self._ways[medium] = Channels(*pair, self._session.send_packet)
        if self._reception is not None:
            self._reception.intake.keep_order(medium)
        return Transport(tcp=True, interleaved=pair, mode=wanted.mode)

    def _record(self, event: Record) -> None:
        assert self._reception is not None
        self._reception.intake.only(self._ways)
        self._session.accept_record(event)
        log.info("%s: publishes %s", self.address, self._key)

    async def _play(self, event: Play) -> None:
        if self._offer is None:
            self._session.refuse(event.request, 455)
            return
        name = f"{self._gateway.protocol} {self.address}"
        self._player = Player(self._gateway, self._key, name, self._offer, self._ways, datagrams=self._in_datagrams)
        info = await self._player.begin()
        self._session.accept_play(event, info)
        self._flush()
        log.info("%s: plays %s", self.address, self._key)
        self._player.start(self._flush, self.close)

    def _pause(self) -> None:
        if self._player is not None:
            self._player.stop()
            self._player = None

    def _teardown(self) -> None:
        if self._reception is not None:
            self._reception.end(time.monotonic())
            self._part("the encoder ended the stream")
        else:
            self._part("the player ended it")

    def _part(self, reason: str) -> None:
        """It is over, and the client knows: it is left to it to close, since some take our doing so for a fault."""
        self._closing = reason
        self._let_go()
        self._flush()
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self._transport.abort)

    # ------------------------------------------------------------ who it is

    def _asked(self, request: Request) -> tuple[str, dict[str, str]]:
        """The stream a request is about, and what credentials it carries."""
        asked = asked_for(request.url)
        shown = shown_in_query(asked.query) | shown_in_header(request.get("Authorization"))
        return asked.key, shown | self._authentication.shown(request, time.monotonic())

    @property
    def owner(self) -> tuple[str, Mapping[str, str]]:
        """The client's address, and as whom it showed itself."""
        user = self._shown.get("user")
        return self._host, {"user": user} if user and "digest" in self._shown else self._shown

    def give_way(self) -> None:
        """The same encoder came back by another connection."""
        if self._reception is not None:
            self._reception.interrupt()
        self.close("its encoder came back by another connection", abort=True)

    def _refuse(self, request: Request, error: ArclydError) -> None:
        """Say no in RTSP's way; who did not show who it is may try again."""
        status = _status(error)
        if status == 401 and self._tries < TRIES:
            self._tries += 1
            now = time.monotonic()
            stale = self._authentication.is_stale(request, now)
            self._session.refuse(request, 401, self._authentication.challenge(now, stale=stale))
            return
        self._session.refuse(request, status)
        self.close(f"refused {asked_for(request.url).key[:200]}: {error}")

    def _fail(self, error: ArclydError) -> None:
        """The daemon does not let it go on."""
        self.close(str(error))

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
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self._transport.abort)

    def _flush(self) -> None:
        if (data := self._session.data_to_send()) and not self._transport.is_closing():
            self._transport.write(data)

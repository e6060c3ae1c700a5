"""WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep) over HTTP: offers, answers, candidates that come later, ends."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from aiohttp import web

from arclyd import http_guard
from arclyd.control.keys import parse_key
from arclyd.errors import (
    AlreadyPublishing,
    ArclydError,
    EndOfStream,
    InvalidKey,
    MediaError,
    StreamNotFound,
    Unauthorized,
    WireError,
)
from arclyd.ingest.credentials import shown_in_header, shown_in_query
from arclyd.ingest.webrtc.aiortc_engine import MOST_OFFER, AiortcEngine
from arclyd.ingest.webrtc.session import Session, Visitor
from arclyd.ingest.webrtc.socket import SharedSockets
from arclyd.ingest.webrtc.trickle import Fragment

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.limits import Limits
    from arclyd.ingest.webrtc.engine import Engine, IceServer, Peer

log: Final = logging.getLogger(__name__)

SDP: Final = "application/sdp"
TRICKLE: Final = "application/trickle-ice-sdpfrag"
LEFT_OUT: Final = "Arclyd-Left-Out"
"""Header of an answer: tracks of the stream that are not sent, and why."""

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "OPTIONS, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": f"Location, Link, ETag, Accept-Patch, {LEFT_OUT}",
    "Access-Control-Max-Age": "86400",
}
"""Pages of any origin publish and play; who may is told by tokens, not by where a page comes from."""

FAREWELL_SECONDS: Final = 2.0
"""At the end, for connections to say goodbye."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a gateway listens, and what it tells browsers.

    ``host``, ``port``: of HTTP; no host: all addresses. ``media``: address (None: all) and port of UDP (None: that of
    HTTP). ``public``: addresses it is reached by from elsewhere. ``servers``: for ICE, its own and the browsers'.
    """

    host: str | None
    port: int
    tls: ssl.SSLContext | None = None
    media: tuple[str | None, int | None] = (None, None)
    public: tuple[str, ...] = ()
    servers: tuple[IceServer, ...] = ()
    keyframe_seconds: float = 2.0


class Desk:
    """Answers requests."""

    def __init__(self, gateway: Gateway, engine: Engine, place: Place) -> None:
        self._gateway = gateway
        self._engine = engine
        self._place = place
        self._sessions: dict[str, Session] = {}
        self._links = [_link(server) for server in place.servers]

    def routes(self) -> list[web.RouteDef]:
        """Where it answers."""
        resource = "/{app}/{name}/{way:whip|whep}"
        return [
            web.post(resource, self._offer),
            web.options(resource, self._options),
            web.patch(f"{resource}/{{id}}", self._patch),
            web.delete(f"{resource}/{{id}}", self._delete),
            web.options(f"{resource}/{{id}}", self._options),
        ]

    async def close(self) -> None:
        """End every connection."""
        ending = list(self._sessions.values())
        for session in ending:
            session.close("the gateway ends")
        closing = [session.closing for session in ending if session.closing is not None]
        if closing:
            await asyncio.wait(closing, timeout=FAREWELL_SECONDS)

    # ---------------------------------------------------------------- requests

    async def _options(self, _request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"Accept-Post": SDP, "Accept-Patch": TRICKLE})

    async def _offer(self, request: web.Request) -> web.Response:
        key = f"{request.match_info['app']}/{request.match_info['name']}"
        try:
            parse_key(key)
        except InvalidKey as error:
            return _refusal(404, str(error))
        if request.content_type != SDP:
            return _refusal(415, f"an offer is {SDP}")
        try:
            offer = (await request.read()).decode()
        except UnicodeDecodeError:
            return _refusal(400, "the offer is no text")
        visitor = _visitor(request)
        if problem := self._gateway.census.enter(visitor.host):
            return _refusal(503, problem)
        session = Session(
            self._gateway, key, visitor, ended=self._forget, keyframe_seconds=self._place.keyframe_seconds
        )
        self._sessions[session.id] = session
        self._gateway.connections.add(session)
        try:
            return await self._answer(session, request.match_info["way"], offer)
        except ArclydError as error:
            session.close(f"refused: {error}")
            return _refused(error, shown=bool(visitor.shown))
        except BaseException:
            session.close("the client left")
            raise

    async def _answer(self, session: Session, way: str, offer: str) -> web.Response:
        left_out: Sequence[str] = ()
        peer: Peer
        if way == "whip":
            peer = await session.publish(self._engine, offer)
        else:
            peer, left_out = await session.play(self._engine, offer)
        response = web.Response(status=201, text=peer.answer, content_type=SDP)
        response.headers["Location"] = f"/{session.key}/{way}/{session.id}"
        response.headers["ETag"] = f'"{peer.tag}"'
        response.headers["Accept-Patch"] = TRICKLE
        for link in self._links:
            response.headers.add("Link", link)
        if left_out:
            response.headers[LEFT_OUT] = "; ".join(left_out)
        return response

    async def _patch(self, request: web.Request) -> web.Response:
        """Candidates that come later (RFC 9725, 4.3). A restart of ICE is refused: the engine knows none."""
        session = self._of(request)
        if request.content_type != TRICKLE:
            return _refusal(415, f"candidates are {TRICKLE}")
        if request.headers.get("If-Match", f'"{session.tag}"') not in {f'"{session.tag}"', "*"}:
            return _refusal(412, "that is another ICE session")
        try:
            fragment = Fragment.parse((await request.read()).decode())
        except (UnicodeDecodeError, WireError) as error:
            return _refusal(400, str(error))
        if request.headers.get("If-Match") == "*":
            return _refusal(422, "ICE is not restarted here: make a new offer")
        await session.candidates(fragment.candidates)
        return web.Response(status=204)

    async def _delete(self, request: web.Request) -> web.Response:
        self._of(request).end()
        return web.Response(status=200)

    def _of(self, request: web.Request) -> Session:
        session = self._sessions.get(request.match_info["id"])
        part = request.match_info
        if session is None or session.key != f"{part['app']}/{part['name']}":
            raise web.HTTPNotFound(text="no such session\n")
        return session

    def _forget(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is not None:
            self._gateway.connections.discard(session)
            self._gateway.census.leave(session.visitor.host)


def _visitor(request: web.Request) -> Visitor:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    host, port = (str(peer[0]), int(peer[1])) if peer else ("", 0)
    here = request.transport.get_extra_info("sockname") if request.transport else None
    local = bool(host) and (ip_address(host.partition("%")[0]).is_loopback or bool(here and here[0] == host))
    shown = shown_in_header(request.headers.get("Authorization", "")) | shown_in_query(request.query)
    return Visitor(host, port, shown, local)


def _link(server: IceServer) -> str:
    """RFC 9725, 4.6."""
    text = f'<{server.url}>; rel="ice-server"'
    if server.user:
        text += f'; username="{server.user}"; credential="{server.password}"; credential-type="password"'
    return text


def _refused(error: ArclydError, *, shown: bool) -> web.Response:
    """What an error is in HTTP; the log has the rest."""
    match error:
        case Unauthorized():
            return _refusal(403 if shown else 401, "not allowed")
        case AlreadyPublishing():
            return _refusal(409, "the stream is being published already")
        case StreamNotFound() | EndOfStream():
            return _refusal(404, "no such stream")
        case WireError():
            return _refusal(400, str(error))
        case MediaError():
            return _refusal(406, str(error))
    return _refusal(503, "not possible now")


def _refusal(status: int, reason: str) -> web.Response:
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="arclyd"'
    if status == 503:
        headers["Retry-After"] = "5"
    return web.Response(status=status, text=f"{reason}\n", headers=headers)


async def _common_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "arclyd"
    response.headers.update(CORS)


@asynccontextmanager
async def listening(gateway: Gateway, place: Place) -> AsyncIterator[tuple[str, int]]:
    """Listen while entered; gives the address in use."""
    for name in ("aioice", "aiortc"):  # they tell of every address that is tried
        logging.getLogger(name).setLevel(logging.WARNING)
    media_host, media_port = place.media
    sockets = SharedSockets(media_host, place.port if media_port is None else media_port, place.public)
    desk = Desk(gateway, AiortcEngine(sockets, place.servers), place)
    await sockets.open()
    try:
        async with _serving(desk, gateway.limits, place) as address:
            yield address
            await desk.close()
    finally:
        sockets.close()


@asynccontextmanager
async def _serving(desk: Desk, limits: Limits, place: Place) -> AsyncIterator[tuple[str, int]]:
    app = web.Application(client_max_size=MOST_OFFER)
    app.router.add_routes(desk.routes())
    app.on_response_prepare.append(_common_headers)
    guard = http_guard.Guard(http_guard.Limits(limits.connections, idle_seconds=limits.start_seconds))
    app.middlewares.append(guard.middleware)
    async with guard.serving(app, place.host, place.port, tls=place.tls) as server:
        yield server.sockets[0].getsockname()[:2]

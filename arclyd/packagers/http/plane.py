"""What is served of each stream, by the last part of its path."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from arclyd.control import tokens
from arclyd.control.keys import parse_key
from arclyd.errors import InvalidKey, MediaError
from arclyd.packagers import names
from arclyd.packagers.dash.mpd import CLOCK, manifest
from arclyd.packagers.hls.media_playlist import Report, Style, last_part, media_playlist
from arclyd.packagers.hls.multivariant import multivariant
from arclyd.packagers.hls.transport import transport_segment, transportable
from arclyd.packagers.http import answers
from arclyd.packagers.http.endless import Endless
from arclyd.packagers.http.release import Sent
from arclyd.packagers.http.snapshot import Snapshots
from arclyd.packagers.roster import whole
from arclyd.packagers.variant import Variant
from arclyd.packagers.wall import timestamp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arclyd.packagers.channel import Channel
    from arclyd.packagers.http.viewers import Viewers
    from arclyd.packagers.roster import Roster
    from arclyd.packagers.window import Segment

    Handler = Callable[[web.Request, Channel], Awaitable[web.StreamResponse]]

PATIENCE: Final = 3
"""Target durations a request waits for what it asks for (RFC 8216bis, 6.2.5.2)."""

FARTHEST: Final = 2
"""Segments ahead of the newest that may be waited for (6.2.5.2)."""

MOST_TEXTS: Final = 1024
"""Playlists kept as they were sent last, so that a thousand viewers cost one, also where each has a token."""

MOST_TRANSPORTS: Final = 16
"""MPEG-TS segments kept as they were made: viewers ask for the same newest ones."""


class Plane:
    """Answers requests for ``/APP/NAME/FILE`` from the channels of ``roster``, and counts ``viewers``.

    ``clock_ns``: tells the wall clock.
    """

    def __init__(self, roster: Roster, viewers: Viewers, clock_ns: Callable[[], int]) -> None:
        self._roster = roster
        self._viewers = viewers
        self._clock_ns = clock_ns
        self._texts: dict[tuple[str, ...], tuple[object, answers.Text]] = {}
        self._transports: dict[tuple[str, int], bytes] = {}
        self._snapshots = Snapshots()
        self._watched = Endless()
        self._fixed: dict[str, Handler] = {
            names.MULTIVARIANT: self._multivariant,
            names.TRANSPORT_MULTIVARIANT: self._multivariant,
            names.MANIFEST: self._manifest,
            CLOCK: self._clock,
            "live.ts": self._endless,
            "live.flv": self._endless,
            "snapshot.jpg": self._snapshot,
        }

    def routes(self) -> list[web.RouteDef]:
        """Where it answers."""
        return [web.get("/{app}/{name}/{file}", self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request for a file of a stream."""
        channel = self._channel(request)
        file = request.match_info["file"]
        fixed = self._fixed.get(file)
        if fixed is not None:
            return await fixed(request, channel)
        if (lane := names.read_playlist(file)) is not None or file == names.TRANSPORT_PLAYLIST:
            self._viewers.seen(channel.key, _viewer(request))
            return await self._media_playlist(request, channel, lane)
        return await self._media(request, channel, file)

    def _channel(self, request: web.Request) -> Channel:
        key = f"{request.match_info['app']}/{request.match_info['name']}"
        try:
            parse_key(key)
        except InvalidKey:
            raise web.HTTPNotFound from None
        channel = self._roster.channel(key)
        if channel is None and request.match_info["file"] in self._fixed:  # there are variants of it alone
            channel = next(iter(self._roster.renditions(key)), None)
        if channel is None:
            raise web.HTTPNotFound
        return channel

    def _variants(self, request: web.Request, channel: Channel) -> list[Variant]:
        """The renditions of what is asked for, which is ``channel`` or has no stream of its own name."""
        asked = request.match_info["name"]
        key = f"{request.match_info['app']}/{asked}"
        found = [Variant(_folder(asked, each), each.variant, each.window) for each in self._roster.renditions(key)]
        return found or [Variant("", channel.variant, channel.window)]  # it ended meanwhile

    # -------------------------------------------------- playlists and manifests

    async def _multivariant(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        await self._ready(channel)
        transport = request.match_info["file"] == names.TRANSPORT_MULTIVARIANT
        variants = self._variants(request, channel)
        return self._text(
            request,
            [each.window.stamp for each in variants],
            lambda query: multivariant(variants, transport=transport, query=query),
            answers.HLS,
        ).answer(request, filling=_token(request))

    async def _manifest(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        self._viewers.seen(channel.key, _viewer(request))
        await self._ready(channel)
        variants, low_latency = self._variants(request, channel), channel.settings.low_latency
        return self._text(
            request,
            [each.window.stamp for each in variants],
            lambda query: manifest(variants, low_latency=low_latency, query=query),
            answers.DASH,
        ).answer(request, filling=_token(request))

    async def _media_playlist(self, request: web.Request, channel: Channel, lane: int | None) -> web.StreamResponse:
        await self._ready(channel)
        window = channel.window
        periods = {id(segment.period): segment.period for segment in window.segments}.values()
        if not any(lane in period.lanes if lane is not None else transportable(period) for period in periods):
            raise web.HTTPNotFound
        token, sent = _token(request), False

        def send() -> None:
            nonlocal sent
            sent = self._listed(request, channel, lane).send(request, f"max-age={window.target}", token)

        blocked = await self._block(request, channel, lane, send)
        if sent:
            return Sent()
        caching = f"max-age={window.target}" if blocked else answers.CHANGING
        return self._listed(request, channel, lane).answer(request, caching, token)

    def _listed(self, request: web.Request, channel: Channel, lane: int | None) -> answers.Text:
        """The playlist of a lane as it is now."""
        window = channel.window
        skip = request.query.get("_HLS_skip") in {"YES", "v2"}
        others = self._roster.renditions(whole(channel.key))

        def make(query: str) -> str:
            style = Style(lane, low_latency=channel.settings.low_latency, skip=skip, query=query)
            return media_playlist(window, style, _reports(channel, lane, others, query))

        stamp = [window.stamp, *(each.window.stamp for each in others)]
        return self._text(request, stamp, make, answers.HLS, variety="skip" if skip else "")

    def _text(
        self, request: web.Request, stamp: object, make: Callable[[str], str], content_type: str, *, variety: str = ""
    ) -> answers.Text:
        """The text of ``make`` as it was made last, if ``stamp`` is the same.

        ``make``: is told what is appended to every URI, where a viewer has a token: with a hole for it.
        """
        asked = request.match_info
        query = f"?{tokens.PARAMETER}={answers.HOLE}" if _token(request) else ""
        name = (asked["app"], asked["name"], asked["file"], variety, query)
        known = self._texts.get(name)
        if known is None or known[0] != stamp:
            if len(self._texts) >= MOST_TEXTS:
                self._texts.clear()
            known = self._texts[name] = (stamp, answers.Text(make(query), content_type))
        return known[1]

    async def _clock(self, _request: web.Request, _channel: Channel) -> web.StreamResponse:
        """The time, for players whose own clock is off."""
        return web.Response(text=timestamp(self._clock_ns()), headers={"Cache-Control": "no-store"})

    # ---------------------------------------------------------------- waiting

    async def _block(self, request: web.Request, channel: Channel, lane: int | None, send: Callable[[], None]) -> bool:
        """Hold the request until the playlist has what it asks for; True: it asked for something (6.2.5.2).

        ``send``: called in the moment the playlist that was waited for is there.
        """
        number, part = _whole(request, "_HLS_msn"), _whole(request, "_HLS_part")
        if number is None:
            if part is not None:
                raise web.HTTPBadRequest
            return False
        window = channel.window
        if number > window.next_number + FARTHEST:
            raise web.HTTPBadRequest
        counted = window.period.lead if lane is None and window.period else lane or 0
        await self._wait(channel, lambda: window.ended or window.has(number, part, counted), send)
        return True

    async def _ready(self, channel: Channel) -> None:
        await self._wait(channel, lambda: channel.ready)

    @staticmethod
    async def _wait(channel: Channel, condition: Callable[[], bool], at_once: Callable[[], None] | None = None) -> None:
        if condition():
            return
        seconds = PATIENCE * float(channel.window.target or channel.settings.cutting.segment)
        try:
            async with asyncio.timeout(seconds):
                await channel.until(condition, at_once)
        except TimeoutError:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"}) from None

    # ------------------------------------------------------------------ media

    def _holding(self, channel: Channel, file: str) -> Channel:
        """The channel, or the one of the stream before it, if what is asked for is of that one."""
        earlier = self._roster.earlier(channel.key)
        if earlier is None:
            return channel
        if (init := names.read_init(file)) is not None:
            return channel if channel.window.lane_named(init) else earlier
        return earlier if names.life_of(file) == earlier.window.id != channel.window.id else channel

    async def _media(self, request: web.Request, channel: Channel, file: str) -> web.StreamResponse:
        channel = self._holding(channel, file)
        window = channel.window
        if (init := names.read_init(file)) is not None:
            found = window.lane_named(init)
            if found is None:
                raise web.HTTPNotFound
            return await answers.media(request, [found.init], answers.MP4 if found.is_video else answers.SOUND_MP4)
        self._viewers.seen(channel.key, _viewer(request))
        if (transport := names.read_transport(file)) is not None:
            return await self._transport(request, channel, *transport)
        named = names.read_media(file)
        if named is None or named.id != window.id:
            raise web.HTTPNotFound
        part = named.part
        if part is not None and named.number == window.next_number:
            await self._wait(channel, lambda: window.ended or window.reached(named.number, part))
        segment = window.segment(named.number)
        if segment is None or named.lane not in segment.period.lanes:
            raise web.HTTPNotFound
        content_type = answers.MP4 if segment.period.lanes[named.lane].is_video else answers.SOUND_MP4
        if part is None and not segment.complete:
            return await _growing(request, channel, segment, named.lane, content_type)
        pieces = [chunk.data for index, chunk in segment.part_chunks(named.lane) if part in {None, index}]
        if not pieces:
            raise web.HTTPNotFound
        return await answers.media(request, pieces, content_type)

    async def _transport(self, request: web.Request, channel: Channel, life: str, number: int) -> web.StreamResponse:
        segment = channel.window.segment(number)
        if life != channel.window.id or segment is None or not segment.complete:
            raise web.HTTPNotFound
        if not transportable(segment.period):
            raise web.HTTPNotFound
        made = self._transports.get((life, number)) or transport_segment(segment)
        self._transports[life, number] = made
        if len(self._transports) > MOST_TRANSPORTS:
            del self._transports[next(iter(self._transports))]
        return await answers.media(request, [made], answers.TS)

    async def _endless(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        name = request.match_info["file"].partition(".")[2]
        headers = {"Content-Type": answers.TS if name == "ts" else answers.FLV, "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        if request.method == "HEAD":
            return response
        with self._viewers.connected(channel.key):
            try:
                async for data in self._watched.watch(channel, name):
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(data)
            except MediaError as error:
                if response.prepared:
                    raise
                raise web.HTTPNotAcceptable(text=str(error)) from error
            except ConnectionError:  # the viewer left
                return response
        if not response.prepared:
            raise web.HTTPNotFound
        return response

    async def _snapshot(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        try:
            picture = await self._snapshots.newest(channel)
        except MediaError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        if picture is None:
            raise web.HTTPNotFound
        return await answers.media(request, [picture], answers.JPEG, "max-age=1")


async def _growing(
    request: web.Request, channel: Channel, segment: Segment, lane: int, content_type: str
) -> web.StreamResponse:
    """A segment that is being made, chunk by chunk as they come: what low-latency DASH fetches."""
    response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": answers.UNCHANGING})
    await response.prepare(request)
    sent = 0
    while True:
        chunks = segment.chunks(lane)
        for chunk in chunks[sent:]:
            await response.write(chunk.data)
        sent = len(chunks)
        if segment.complete:
            return response
        if channel.over:  # what is cut off must not be taken for the whole
            if request.transport is not None:
                request.transport.abort()
            return response
        await channel.until(partial(_has_more, channel, segment, lane, sent))


def _has_more(channel: Channel, segment: Segment, lane: int, sent: int) -> bool:
    return segment.complete or channel.over or len(segment.chunks(lane)) > sent


def _reports(channel: Channel, lane: int | None, renditions: list[Channel], query: str) -> list[Report]:
    """The other playlists a player may switch to."""
    reports: list[Report] = []
    for rendition in renditions if lane is not None else ():
        folder = _folder(channel.name, rendition)
        period = rendition.window.period
        reports += [
            Report(folder + names.playlist(other) + query, *last_part(rendition.window, other))
            for other in (period.lanes if period else ())
            if other != lane or rendition is not channel
        ]
    return reports


def _folder(name: str, rendition: Channel) -> str:
    """Where the files of ``rendition`` lie, seen from those of the stream ``name``."""
    return "" if rendition.name == name else f"../{rendition.name}/"


def _token(request: web.Request) -> str:
    """The viewer's token, to be said again with what its player fetches next."""
    token = request.query.get(tokens.PARAMETER, "")
    return token if tokens.looks_like_one(token) else ""


def _viewer(request: web.Request) -> str:
    """One viewer as far as it can be told from another: its token, or its address and what it says it is."""
    agent = request.headers.get("User-Agent", "")[:200]
    return request.query.get(tokens.PARAMETER, "")[:100] + f" {_address(request)} {agent}"


def _address(request: web.Request) -> str:
    """Where a request comes from; a proxy on this machine is believed who it asks for."""
    remote = request.remote or ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    if forwarded and remote in {"127.0.0.1", "::1", "::ffff:127.0.0.1"}:
        return forwarded.rpartition(",")[2].strip()[:64]
    return remote


def _whole(request: web.Request, name: str) -> int | None:
    """A number of the query.

    Raises:
        HTTPBadRequest: it is none.
    """
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise web.HTTPBadRequest
    return int(text)

"""What is served of each stream, by the last part of its path."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from arclyd.control.keys import parse_key
from arclyd.errors import InvalidKey
from arclyd.packagers import names
from arclyd.packagers.hls.media_playlist import Report, Style, last_part, media_playlist
from arclyd.packagers.hls.multivariant import Variant, multivariant
from arclyd.packagers.http import answers

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from arclyd.packagers.channel import Channel
    from arclyd.packagers.roster import Roster

    Handler = Callable[[web.Request, Channel], Awaitable[web.StreamResponse]]

PATIENCE: Final = 3
"""Target durations a request waits for what it asks for (RFC 8216bis, 6.2.5.2)."""

FARTHEST: Final = 2
"""Segments ahead of the newest that may be waited for (6.2.5.2)."""


class Plane:
    """Answers requests for ``/APP/NAME/FILE`` from the channels of ``roster``."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._texts: dict[tuple[str, ...], tuple[object, answers.Text]] = {}
        self._fixed: dict[str, Handler] = {
            names.MULTIVARIANT: self._multivariant,
            names.TRANSPORT_MULTIVARIANT: self._multivariant,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request for a file of a stream."""
        channel = self._channel(request)
        file = request.match_info["file"]
        fixed = self._fixed.get(file)
        if fixed is not None:
            return await fixed(request, channel)
        if (lane := names.read_playlist(file)) is not None or file == names.TRANSPORT_PLAYLIST:
            return await self._media_playlist(request, channel, lane)
        return await self._media(request, channel, file)

    def _channel(self, request: web.Request) -> Channel:
        key = f"{request.match_info['app']}/{request.match_info['name']}"
        try:
            parse_key(key)
        except InvalidKey:
            raise web.HTTPNotFound from None
        channel = self._roster.channel(key)
        if channel is None:
            raise web.HTTPNotFound
        return channel

    # -------------------------------------------------------------- playlists

    async def _multivariant(self, request: web.Request, channel: Channel) -> web.StreamResponse:
        await self._ready(channel)
        transport = request.match_info["file"] == names.TRANSPORT_MULTIVARIANT
        renditions = self._roster.renditions(channel.key)
        query = ""
        text = multivariant([self._variant(channel, each) for each in renditions], transport=transport, query=query)
        return answers.Text(text, answers.HLS).answer(request)

    @staticmethod
    def _variant(channel: Channel, rendition: Channel) -> Variant:
        if rendition is channel:
            return Variant("", "source", rendition.window)
        name = rendition.key.partition("/")[2]
        return Variant(f"../{name}/", name.partition("~")[2] or name, rendition.window)

    async def _media_playlist(self, request: web.Request, channel: Channel, lane: int | None) -> web.StreamResponse:
        await self._ready(channel)
        window = channel.window
        period = window.period
        assert period is not None
        if lane is not None and not any(lane in segment.period.lanes for segment in window.segments):
            raise web.HTTPNotFound
        blocked = await self._block(request, channel, lane)
        skip = request.query.get("_HLS_skip") in {"YES", "v2"}
        style = Style(lane, low_latency=channel.settings.low_latency, skip=skip)
        text = media_playlist(window, style, self._reports(channel, lane))
        caching = f"max-age={window.target}" if blocked else answers.CHANGING
        return answers.Text(text, answers.HLS).answer(request, caching)

    def _reports(self, channel: Channel, lane: int | None) -> list[Report]:
        """The other playlists a player may switch to."""
        if lane is None:
            return []
        reports = []
        for rendition in self._roster.renditions(channel.key.partition("~")[0]):
            folder = "" if rendition is channel else f"../{rendition.key.partition('/')[2]}/"
            period = rendition.window.period
            lanes = period.lanes if period else ()
            reports += [
                Report(folder + names.playlist(other), *last_part(rendition.window, other))
                for other in lanes
                if other != lane or rendition is not channel
            ]
        return reports

    async def _block(self, request: web.Request, channel: Channel, lane: int | None) -> bool:
        """Hold the request until the playlist has what it asks for; True: it asked for something (6.2.5.2)."""
        number, part = _whole(request, "_HLS_msn"), _whole(request, "_HLS_part")
        if number is None:
            if part is not None:
                raise web.HTTPBadRequest
            return False
        window = channel.window
        if number > window.next_number + FARTHEST:
            raise web.HTTPBadRequest
        counted = window.period.lead if lane is None and window.period else lane or 0
        await self._wait(channel, lambda: window.ended or window.has(number, part, counted))
        return True

    async def _ready(self, channel: Channel) -> None:
        await self._wait(channel, lambda: channel.ready)

    @staticmethod
    async def _wait(channel: Channel, condition: Callable[[], bool]) -> None:
        seconds = PATIENCE * float(channel.window.target or channel.settings.cutting.segment)
        try:
            async with asyncio.timeout(seconds):
                await channel.until(condition)
        except TimeoutError:
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"}) from None

    # ------------------------------------------------------------------ media

    async def _media(self, request: web.Request, channel: Channel, file: str) -> web.StreamResponse:
        window = channel.window
        if (init := names.read_init(file)) is not None:
            lane = window.lane_named(init)
            if lane is None:
                raise web.HTTPNotFound
            return answers.media(request, [lane.init], answers.MP4 if lane.is_video else answers.SOUND_MP4)
        named = names.read_media(file)
        if named is None or named.id != window.id:
            raise web.HTTPNotFound
        part = named.part
        if part is not None and named.number == window.next_number:
            await self._wait(channel, lambda: window.ended or window.reached(named.number, part))
        segment = window.segment(named.number)
        if segment is None or named.lane not in segment.period.lanes:
            raise web.HTTPNotFound
        if named.part is None:
            pieces = [chunk.data for chunk in segment.chunks(named.lane)] if segment.complete else []
        else:
            pieces = [chunk.data for index, chunk in segment.part_chunks(named.lane) if index == named.part]
        if not pieces:
            raise web.HTTPNotFound
        is_video = segment.period.lanes[named.lane].is_video
        return answers.media(request, pieces, answers.MP4 if is_video else answers.SOUND_MP4)


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

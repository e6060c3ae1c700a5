"""The page: a list of the streams at ``/``, a player for each at ``/APP/NAME``, and the figures both show."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

from arclyd.control import tokens
from arclyd.control.keys import parse_key
from arclyd.errors import InvalidKey
from arclyd.packagers.http import answers
from arclyd.packagers.http.admission import admits

if TYPE_CHECKING:
    from arclyd.packagers.http.figures import Gauge
    from arclyd.packagers.roster import Roster

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{}; "
    "media-src 'self' blob:; base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
)
"""A page may load what is here, speak to the WebRTC gateway that was named, and nothing else. ``blob:`` is how a player
in JavaScript feeds a video element."""

HTML: Final = {
    "Referrer-Policy": "no-referrer",  # the address may hold a token
    "Cross-Origin-Opener-Policy": "same-origin",
}

LIST: Final = "list.html"
STREAM: Final = "stream.html"
PUBLISH: Final = "publish.html"

ASSETS: Final = {
    "style.css": "text/css; charset=utf-8",
    "capture.js": "text/javascript; charset=utf-8",
    "direct.js": "text/javascript; charset=utf-8",
    "feed.js": "text/javascript; charset=utf-8",
    "figures.js": "text/javascript; charset=utf-8",
    "list.js": "text/javascript; charset=utf-8",
    "player.js": "text/javascript; charset=utf-8",
    "plot.js": "text/javascript; charset=utf-8",
    "publish.js": "text/javascript; charset=utf-8",
    "signal.js": "text/javascript; charset=utf-8",
    "stream.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "hls.min.mjs": "text/javascript; charset=utf-8",
}
"""What the pages load. Their paths have one part, a stream's two: none hides another."""

VENDOR: Final = frozenset({"hls.min.mjs"})
"""Of others, in a folder with their licences."""


class _Asset:
    """A file of the package, with a tag by which a browser keeps it."""

    def __init__(self, name: str, content_type: str, headers: dict[str, str]) -> None:
        folder = ("web", "vendor") if name in VENDOR else ("web",)
        body = resources.files("arclyd.packagers").joinpath(*folder, name).read_bytes()
        self._text = answers.Text(body, content_type)
        self._tag = hashlib.sha256(body).hexdigest()[:16]
        self._headers = headers

    def answer(self, request: web.Request, status: int = 200) -> web.Response:
        """The file, or that it is the one the browser has."""
        known = {tag.value for tag in request.if_none_match or ()}
        if status == 200 and known & {self._tag, "*"}:
            response = web.Response(status=304, headers={"Cache-Control": answers.CHANGING})
        else:
            response = self._text.answer(request)
            response.set_status(status)
        response.headers.update(self._headers)
        response.headers["ETag"] = f'W/"{self._tag}"'  # weak: the same for the compressed file
        return response


class Page:
    """Answers requests for pages, their files and the figures of ``gauge``.

    ``roster``: knows which streams there are. ``secret``: figures need a token made with it. ``webrtc``: the gateway by
    which browsers publish and play at once: its URL, ``:PORT`` where it is on this host, or None.
    """

    def __init__(self, roster: Roster, gauge: Gauge, secret: bytes | None, webrtc: str | None = None) -> None:
        self._roster = roster
        self._gauge = gauge
        self._secret = secret
        html = {**HTML, "Content-Security-Policy": POLICY.format(_sources(webrtc))}
        self._list = _Asset(LIST, answers.HTML, html)
        self._stream = _Asset(STREAM, answers.HTML, html)
        self._publish = _Asset(PUBLISH, answers.HTML, html)
        self._gateways = answers.Text(json.dumps({"webrtc": webrtc}), answers.JSON)
        self._assets = {name: _Asset(name, kind, {}) for name, kind in ASSETS.items()}
        self._texts: tuple[object, dict[tuple[str, ...], answers.Text]] = (None, {})

    def routes(self) -> list[web.RouteDef]:
        """Where it answers."""
        return [
            web.get("/", self._show_list),
            web.get("/publish", self._show_publish),
            web.get("/streams.json", self._show_figures),
            web.get("/gateways.json", self._show_gateways),
            *(web.get(f"/{name}", partial(self._show_asset, name)) for name in self._assets),
            web.get("/{app}/{name}", self._show_stream),
        ]

    async def _show_list(self, request: web.Request) -> web.StreamResponse:
        return self._list.answer(request)

    async def _show_publish(self, request: web.Request) -> web.StreamResponse:
        return self._publish.answer(request)

    async def _show_gateways(self, request: web.Request) -> web.StreamResponse:
        return self._gateways.answer(request)

    async def _show_asset(self, name: str, request: web.Request) -> web.StreamResponse:
        return self._assets[name].answer(request)

    async def _show_stream(self, request: web.Request) -> web.StreamResponse:
        """A stream's own page, also where there is none: it says so, and waits for it."""
        key = f"{request.match_info['app']}/{request.match_info['name']}"
        try:
            parse_key(key)
        except InvalidKey:
            raise web.HTTPNotFound from None
        if not admits(self._secret, key, _token(request)):
            return self._stream.answer(request, 403)
        return self._stream.answer(request, 200 if self._roster.channel(key) else 404)

    async def _show_figures(self, request: web.Request) -> web.StreamResponse:
        """Of all streams the token opens, or of the one named ``?stream=KEY``."""
        wanted, token = request.query.get("stream"), _token(request)
        shown = [
            figures
            for figures in self._gauge.figures
            if wanted in {None, figures.key} and admits(self._secret, figures.key, token)
        ]
        if not shown and not admits(self._secret, wanted or "", token):
            raise web.HTTPForbidden
        if self._texts[0] is not self._gauge.figures:
            self._texts = (self._gauge.figures, {})
        texts, keys = self._texts[1], tuple(figures.key for figures in shown)
        if keys not in texts:
            texts[keys] = answers.Text(json.dumps({"streams": [asdict(figures) for figures in shown]}), answers.JSON)
        return texts[keys].answer(request, "no-store")


def _sources(webrtc: str | None) -> str:
    """What a page may speak to besides this server, as its policy says it."""
    if not webrtc:
        return ""
    if webrtc.startswith(":"):
        return f" http://*{webrtc} https://*{webrtc}"
    parts = urlsplit(webrtc)
    return f" {parts.scheme}://{parts.netloc}"


def _token(request: web.Request) -> str:
    return request.query.get(tokens.PARAMETER, "")

"""Responses with what every one of them needs: content type, caching, ranges, compression."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

HLS: Final = "application/vnd.apple.mpegurl"
DASH: Final = "application/dash+xml"
MP4: Final = "video/mp4"
SOUND_MP4: Final = "audio/mp4"
TS: Final = "video/mp2t"
FLV: Final = "video/x-flv"
JPEG: Final = "image/jpeg"
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"

UNCHANGING: Final = "public, max-age=86400, immutable"
"""For names that never mean anything else."""
CHANGING: Final = "no-cache"

LEAST_GZIPPED: Final = 500
"""Bytes of a text below which compressing it saves no packet."""


class Text:
    """A playlist, manifest or page as it is sent, compressed once for all who take it so. ``text``: bytes are UTF-8."""

    def __init__(self, text: str | bytes, content_type: str) -> None:
        self._plain = text.encode() if isinstance(text, str) else text
        self._type = content_type
        self._gzipped: bytes | None = None

    def answer(self, request: web.Request, caching: str = CHANGING) -> web.Response:
        """The response to ``request``."""
        headers = {"Content-Type": self._type, "Cache-Control": caching, "Vary": "Accept-Encoding"}
        if len(self._plain) < LEAST_GZIPPED or "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=self._plain, headers=headers)
        if self._gzipped is None:
            self._gzipped = gzip.compress(self._plain, 5, mtime=0)
        return web.Response(body=self._gzipped, headers={**headers, "Content-Encoding": "gzip"})


def media(request: web.Request, pieces: Sequence[Buffer], content_type: str, caching: str = UNCHANGING) -> web.Response:
    """Bytes whole, or the one range asked for (RFC 9110, 14).

    Raises:
        HTTPRequestRangeNotSatisfiable: none of it is there.
    """
    body = b"".join(pieces)
    headers = {"Content-Type": content_type, "Cache-Control": caching, "Accept-Ranges": "bytes"}
    wanted = request.headers.get("Range")
    if wanted is None:
        return web.Response(body=body, headers=headers)
    span = byte_range(wanted, len(body))
    if span is None:  # not understood: as if it had not been said
        return web.Response(body=body, headers=headers)
    first, last = span
    if first > last:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{len(body)}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
    return web.Response(status=206, body=body[first : last + 1], headers=headers)


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a Range header on ``size`` bytes; last before first: nothing of it is there.

    None: several ranges, another unit or nonsense, which a server may ignore (RFC 9110, 14.2).
    """
    unit, equals, spec = text.strip().partition("=")
    first, dash, last = spec.strip().partition("-")
    digits = (first + last).isascii() and (first or "0").isdigit() and (last or "0").isdigit()
    if unit.strip().lower() != "bytes" or not equals or not dash or not digits or not (first or last):
        return None
    if len(first) > 19 or len(last) > 19:
        return (size, size - 1)
    if not first:
        return (max(0, size - int(last)), size - 1) if int(last) else (size, size - 1)
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) if last else size - 1, size - 1)

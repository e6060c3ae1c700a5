"""Responses with what every one of them needs: content type, caching, ranges, compression."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from typing import TYPE_CHECKING, Final

from aiohttp import web

from arclyd.packagers.http import release

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

CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range, *",
    "Access-Control-Expose-Headers": "Content-Length, Content-Range, Date",
    "Access-Control-Max-Age": "86400",
}
"""Players come from pages of any origin; nothing here depends on cookies."""

COMMON: Final = {"Server": "arclyd", "X-Content-Type-Options": "nosniff", **CORS}
"""Headers of every answer."""

HOLE: Final = "\ue000"
"""Stands in a text for what is each viewer's own: no key, name or number has a character for private use in it."""

UNCHANGING: Final = "public, max-age=86400, immutable"
"""For names that never mean anything else."""
CHANGING: Final = "no-cache"

SLICE: Final = 1 << 16
"""Bytes that are handed to a connection at once: a client that does not read holds no more than twice as many."""

LEAST_GZIPPED: Final = 500
"""Bytes of a text below which compressing it saves no packet."""


class Text:
    """A playlist, manifest or page as it is sent, compressed once for all who take it so.

    ``text``: bytes are UTF-8. Where it has a `HOLE`, each viewer's own ``filling`` comes there.
    """

    def __init__(self, text: str | bytes, content_type: str) -> None:
        self._plain = text.encode() if isinstance(text, str) else text
        self._type = content_type
        self._gzipped: bytes | None = None
        self._whole: dict[tuple[bool, str], bytes] = {}

    def answer(self, request: web.Request, caching: str = CHANGING, filling: str = "") -> web.Response:
        """The response to ``request``."""
        headers, body = self._encoded(caching, filling, zipped=_takes_gzip(request))
        return web.Response(body=body, headers=headers)

    def send(self, request: web.Request, caching: str, filling: str = "") -> bool:
        """Send the same response at once; False: it is one for the ordinary way (`release.send`)."""
        zipped = _takes_gzip(request)
        whole = None if filling else self._whole.get((zipped, caching))
        if whole is None:
            headers, body = self._encoded(caching, filling, zipped=zipped)
            whole = release.serialized({**headers, **COMMON}, body)
            if not filling:
                self._whole[zipped, caching] = whole
        return release.send(request, whole)

    def _encoded(self, caching: str, filling: str, *, zipped: bool) -> tuple[dict[str, str], bytes]:
        """Headers and body."""
        headers = {"Content-Type": self._type, "Cache-Control": caching, "Vary": "Accept-Encoding"}
        plain = self._plain.replace(HOLE.encode(), filling.encode())
        if len(plain) < LEAST_GZIPPED or not zipped:
            return headers, plain
        headers["Content-Encoding"] = "gzip"
        if filling:  # one viewer's alone
            return headers, _quickly_gzipped(plain)
        if self._gzipped is None:
            self._gzipped = gzip.compress(plain, 5, mtime=0)
        return headers, self._gzipped


def _quickly_gzipped(data: bytes) -> bytes:
    """Compressed with a window of 8 KiB, which holds a playlist: 14 us for one of 5 kB, where 32 KiB take 114."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 16 + 13, 6)  # 16: as gzip
    return compressor.compress(data) + compressor.flush()


def _takes_gzip(request: web.Request) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")


async def media(
    request: web.Request, pieces: Sequence[Buffer], content_type: str, caching: str = UNCHANGING
) -> web.StreamResponse:
    """Bytes whole, or the one range asked for (RFC 9110, 14). What is large goes out slice by slice as it is taken.

    Raises:
        HTTPRequestRangeNotSatisfiable: none of it is there.
    """
    size = sum(memoryview(piece).nbytes for piece in pieces)
    headers = {"Content-Type": content_type, "Cache-Control": caching, "Accept-Ranges": "bytes"}
    wanted = request.headers.get("Range")
    span = None if wanted is None else byte_range(wanted, size)
    if span is None:  # not asked for, or not understood: as if it had not been said
        return await _sent(request, 200, headers, pieces, size)
    first, last = span
    if first > last:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    return await _sent(request, 206, headers, [memoryview(b"".join(pieces))[first : last + 1]], last + 1 - first)


async def _sent(
    request: web.Request, status: int, headers: dict[str, str], pieces: Sequence[Buffer], size: int
) -> web.StreamResponse:
    if size <= SLICE:
        return web.Response(status=status, headers=headers, body=b"".join(pieces))
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = size
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    with contextlib.suppress(ConnectionError):  # the viewer left
        for piece in pieces:
            view = memoryview(piece)
            for at in range(0, len(view), SLICE):
                await response.write(view[at : at + SLICE])
    return response


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

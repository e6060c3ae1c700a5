"""Answers that go out in the moment their playlist is there, before anything else that waits for that gets its turn.

Hundreds of viewers wait for the same part. What aiohttp does for each answer takes ten times as long as sending it, so
that the last of them would wait for the making of all the others' answers: here all are sent first.
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http import HttpVersion11

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.abc import AbstractStreamWriter


class Sent(web.StreamResponse):
    """What a handler returns whose answer is on its way already: nothing is left to be sent, the connection stays."""

    @property
    def keep_alive(self) -> bool:
        """Only who keeps its connection is answered so."""
        return True

    async def prepare(self, _request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing: the header was sent."""
        return None

    async def write_eof(self, _data: bytes = b"") -> None:
        """Nothing: the body was sent."""


def serialized(headers: Mapping[str, str], body: bytes) -> bytes:
    """A whole answer of status 200 (RFC 9112, 2.1), as one connection after the other may have it."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    dated = f"Content-Length: {len(body)}\r\nDate: {formatdate(usegmt=True)}\r\n\r\n"
    return "\r\n".join(["HTTP/1.1 200 OK", *lines, dated]).encode() + body


def send(request: web.Request, answer: bytes) -> bool:
    """Send a whole answer; False: this request is one for the ordinary way.

    That is another method or version, a connection that is to end after it, is gone, or has yet to take what was sent.
    """
    transport = request.transport
    ordinary = request.method != "GET" or request.version != HttpVersion11 or not request.keep_alive
    if ordinary or transport is None or transport.is_closing() or transport.get_write_buffer_size():
        return False
    transport.write(answer)
    return True

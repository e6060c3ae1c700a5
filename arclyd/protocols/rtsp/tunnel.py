"""RTSP within HTTP, as QuickTime hid it from proxies: answers come by a GET, requests go by a POST, in base64."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from arclyd.protocols.rtsp.messages import Request

TYPE: Final = "application/x-rtsp-tunnelled"

GRANTED: Final = (
    f"HTTP/1.0 200 OK\r\nServer: arclyd\r\nCache-Control: no-store\r\nPragma: no-cache\r\nContent-Type: {TYPE}\r\n\r\n"
).encode()
"""The answer to a GET; what follows is RTSP."""

REFUSED: Final = b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_GROUP: Final = 4


def cookie(request: Request) -> str:
    """What ties a POST to its GET; empty: it is another kind of request."""
    tunnelled = TYPE in (request.get("Accept"), request.get("Content-Type"))
    return request.get("x-sessioncookie")[:128] if tunnelled else ""


class TunnelDecoder:
    """Bytes out of base64 in pieces of any size; each message has been encoded by itself, padding and all."""

    def __init__(self) -> None:
        self._rest = b""

    def receive(self, data: bytes) -> bytes:
        """What is complete. Raises `WireError`: no base64."""
        text = self._rest + b"".join(data.split())
        whole = len(text) - len(text) % _GROUP
        self._rest = text[whole:]
        try:
            return b"".join(
                binascii.a2b_base64(text[at : at + _GROUP], strict_mode=True) for at in range(0, whole, _GROUP)
            )
        except binascii.Error as error:
            raise WireError("RTSP", f"a tunnel with something else in it than base64: {error}") from None

"""What a server asks of clients that have to show who they are, and what they showed (RFC 2617, RFC 7616).

A nonce is one connection's, for a while: an answer that was overheard is worth nothing in another connection. Whether
an answer is right is for whoever has the passwords to say; here only what the nonce has to do with is judged.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from arclyd.protocols import digest

if TYPE_CHECKING:
    from arclyd.protocols.rtsp.messages import Fields, Request

REALM: Final = "arclyd"
NONCE_SECONDS: Final = 300.0
"""For which a nonce can be answered."""


class Authentication:
    """One connection's. ``basic``: passwords in the clear are asked for, too, where nothing else is known."""

    def __init__(self, *, basic: bool = True) -> None:
        self._basic = basic
        self._nonce = ""
        self._until = 0.0
        self._count = 0

    def challenge(self, now: float, *, stale: bool = False) -> Fields:
        """The fields of an answer 401. ``now``: seconds. The last of a kind is the one that everybody knows."""
        if not self._nonce or now > self._until - NONCE_SECONDS / 2:
            self._nonce, self._until, self._count = os.urandom(16).hex(), now + NONCE_SECONDS, 0
        asked = [
            digest.Challenge(REALM, self._nonce, algorithm, qop=True, stale=stale).serialize()
            for algorithm in ("SHA-256", "MD5")
        ]
        if self._basic:
            asked.append(f'Basic realm="{REALM}"')
        return tuple(("WWW-Authenticate", value) for value in asked)

    def is_stale(self, request: Request, now: float) -> bool:
        """True: it carries an answer to a nonce that is not this connection's, or no longer: another one helps."""
        nonce = digest.parameters(_digest(request)).get("nonce", "")
        return bool(_digest(request)) and (not self._nonce or nonce != self._nonce or now > self._until)

    def shown(self, request: Request, now: float) -> dict[str, str]:
        """The answer to a digest that a request carries, for who has the passwords; empty: none that counts.

        It has to be to this connection's nonce, in time, for what is requested, and not one that came before.
        """
        text = _digest(request)
        said = digest.parameters(text)
        if not text or self.is_stale(request, now) or said.get("realm") != REALM:
            return {}
        if _path(said.get("uri", "")) != _path(request.url):
            return {}
        if "qop" in said:
            count = _count(said.get("nc", ""))
            if count <= self._count:
                return {}
            self._count = count
        return {"user": said.get("username", ""), "digest": text[: digest.MOST], "method": request.method}


def _digest(request: Request) -> str:
    scheme, _, text = request.get("Authorization").partition(" ")
    return text if scheme.lower() == "digest" else ""


def _path(url: str) -> str:
    """What is meant, however it is written: with the server's name or without."""
    _, mark, rest = url.partition("://")
    return (rest.partition("/")[2] if mark else url).strip("/")


def _count(text: str) -> int:
    try:
        return int(text, 16) if len(text) <= 8 else 0
    except ValueError:
        return 0

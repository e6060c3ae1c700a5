"""Tokens: who has one for a stream may have it until it expires, over HTTP and by every gateway.

A token is ``EXPIRES:MAC``: Unix seconds, a colon, and the HMAC-SHA-256 in hexadecimal digits of ``KEY:EXPIRES`` under
the server's secret. It holds for the renditions ``KEY~VARIANT`` as well, since a player moves between them.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

PARAMETER: Final = "token"

MIN_SECRET: Final = 16
"""Bytes of a secret that tokens are made with: a shorter one can be guessed from one token."""

_HEX: Final = frozenset("0123456789abcdef")


def issue(secret: bytes, key: str, expires: int) -> str:
    """A token for ``key`` until ``expires``, Unix seconds."""
    return f"{expires}:{_mac(secret, key, expires)}"


def is_valid(secret: bytes, key: str, token: str, now: float) -> bool:
    """True: ``token`` opens ``key`` at ``now``, Unix seconds. The comparison takes the same time for any token."""
    expires, _, mac = token.partition(":")
    if not (expires.isascii() and expires.isdigit() and len(expires) < 16):
        return False
    right = hmac.compare_digest(mac.encode(), _mac(secret, key, int(expires)).encode())
    return right and now < int(expires)


def looks_like_one(text: str) -> bool:
    """True: nothing in ``text`` could break out of a URL in a playlist."""
    expires, colon, mac = text.partition(":")
    return bool(colon) and len(text) < 100 and expires.isascii() and expires.isdigit() and set(mac) <= _HEX


def _mac(secret: bytes, key: str, expires: int) -> str:
    whole, _, _ = key.partition("~")
    return hmac.new(secret, f"{whole}:{expires}".encode(), hashlib.sha256).hexdigest()

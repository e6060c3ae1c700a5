"""What a connection shows for the daemon to judge, as its protocol carries it."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CREDENTIALS: Final = ("user", "pass", "secret", "token")
"""What a URL's query may carry."""

MOST: Final = 1024
"""Characters of one."""


def shown_in_query(query: Mapping[str, str]) -> dict[str, str]:
    """Those in a query."""
    return {name: query[name][:MOST] for name in CREDENTIALS if name in query}


def shown_in_header(authorization: str) -> dict[str, str]:
    """Those in an ``Authorization`` field: Basic (RFC 7617) and Bearer (RFC 6750, 2.1); none of what can't be read."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return {"token": text.strip()[:MOST]}
    if scheme.lower() != "basic":
        return {}
    try:
        user, _, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return {"user": user[:MOST], "pass": password[:MOST]}

"""Where a stream is on an RTMP server: the parts of ``rtmp://host:port/app/name?user=…``, and of a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping

PORTS: Final = {"rtmp": 1935, "rtmps": 443}
"""Usual ports by scheme; that of RTMPS is the one services listen on."""

MAX_PARAMETERS: Final = 16


@dataclass(frozen=True, slots=True)
class Address:
    """A stream elsewhere. ``name`` may carry a query, which is the server's business, and is not shown."""

    host: str
    port: int
    app: str
    name: str = field(repr=False)
    tls: bool = False

    @classmethod
    def parse(cls, url: str) -> Address:
        """Take a URL apart; the application is all but the last part of its path.

        Raises:
            WireError: not such a URL.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise WireError("RTMP", f"a URL that is none: {error}") from None
        app, slash, name = parts.path.strip("/").rpartition("/")
        if parts.scheme not in PORTS or not parts.hostname or not slash:
            raise WireError("RTMP", "a URL is rtmp://HOST/APP/NAME, or rtmps://…")
        if parts.query:
            name = f"{name}?{parts.query}"
        return cls(parts.hostname, port or PORTS[parts.scheme], app, name, parts.scheme == "rtmps")

    @property
    def scheme(self) -> str:
        """What the URL began with."""
        return "rtmps" if self.tls else "rtmp"

    @property
    def url(self) -> str:
        """The application's URL (``tcUrl``)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}/{self.app}"

    def __str__(self) -> str:
        return self.url  # to services the name is a secret


def asked_for(app: str, name: str) -> tuple[str, Mapping[str, str]]:
    """The stream key that a client means, and what it carried in the query of either part.

    The key is checked by nobody here. ``app`` may be left empty by clients that put all into ``name``.
    """
    app, _, app_query = app.partition("?")
    name, _, name_query = name.partition("?")
    path = "/".join(part for part in (app.strip("/"), name.strip("/")) if part)
    return path, dict(_pairs(app_query) + _pairs(name_query))


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.replace("?", "&"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        return []

"""RTSP's URLs: of a server elsewhere, of a stream here, and of a medium in either."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PORTS: Final = {"rtsp": 554, "rtspu": 554, "rtsps": 322}
"""By scheme (RFC 2326, 3.2; RFC 7826, 22.4)."""

_TRACK: Final = re.compile(r"/?(?:track|stream)(?:id)?=?(\d{1,3})/?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """A stream of a server elsewhere; ``url`` without the credentials, which are never shown."""

    host: str
    port: int
    tls: bool
    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``rtsp://[USER:PASSWORD@]HOST[:PORT]/…``; a password may have any sign in it but a slash.

        Raises:
            WireError: it is none.
        """
        scheme, mark, rest = text.partition("://")
        scheme = scheme.lower()
        if not mark or scheme not in PORTS:
            raise WireError("RTSP", "a URL is rtsp://HOST/… or rtsps://HOST/…")
        authority, slash, path = rest.partition("/")
        credentials, at, place = authority.rpartition("@")
        user, _, password = credentials.partition(":") if at else ("", "", "")
        try:
            parts = urlsplit(f"//{place}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host:
            raise WireError("RTSP", f"no host in {scheme}://{place}")
        url = f"{'rtsp' if scheme == 'rtspu' else scheme}://{place}{slash}{path}"
        return cls(host, port or PORTS[scheme], scheme == "rtsps", url, unquote(user), unquote(password))

    def __str__(self) -> str:
        """The URL without its query, where cameras want the password."""
        return self.url.partition("?")[0]


class Asked(NamedTuple):
    """What a client asks for: a stream's key, and the query."""

    key: str
    query: Mapping[str, str]


def asked_for(url: str) -> Asked:
    """The stream that a URL names here, whatever medium of it is meant."""
    path = url
    if "://" in url:
        path = url.partition("://")[2].partition("/")[2]
    path, _, query = path.partition("?")
    if not query:
        path = _TRACK.sub("", path)
    found = dict(parse_qsl(_TRACK.sub("", query), max_num_fields=32)) if query.count("&") < 32 else {}
    return Asked(unquote(path).strip("/"), {name: value.rstrip("/") for name, value in found.items()})


def resolve(base: str, control: str) -> str:
    """The URL that ``control`` of a description is, at ``base`` (RFC 2326, C.1.1), as servers mean it.

    They do not follow RFC 3986: what is not absolute is put behind the base, query and all.
    """
    if not control or control == "*":
        return base
    if "://" in control[:12]:
        return control
    return base + control if base.endswith("/") else f"{base}/{control.lstrip('/')}"


def medium_of(url: str, base: str, controls: Sequence[str], taken: Sequence[int]) -> int | None:
    """Which medium a client means that sets up ``url``; ``controls`` of all, ``taken``: those that are set up.

    What can't be told is the next one: clients set them up in order.
    """
    wanted = url.rstrip("/")
    for place, control in enumerate(controls):
        if control and wanted in (resolve(base, control).rstrip("/"), control.rstrip("/")):
            return place
    for place, control in enumerate(controls):
        if control and wanted.endswith("/" + control.strip("/")):
            return place
    if (match := _TRACK.search(wanted)) and int(match[1]) < len(controls) and int(match[1]) not in taken:
        return int(match[1])
    return next((place for place in range(len(controls)) if place not in taken), None)

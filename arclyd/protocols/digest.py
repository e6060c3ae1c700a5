"""HTTP Digest access authentication (RFC 7616, RFC 2617): who has a password shows so without saying it."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHMS: Final[Mapping[str, str]] = MappingProxyType({"MD5": "md5", "SHA-256": "sha256"})
"""By their names in a header, what hashlib calls them. MD5 is what cameras have, weak as it is."""

_PARAMETER: Final = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]*))\s*(?:,|$)')
MOST: Final = 4096
"""Characters of a header."""


def parameters(text: str) -> dict[str, str]:
    """The parameters of a challenge or an answer to one, names in lower case; up to where they can't be read."""
    found: dict[str, str] = {}
    at, text = 0, text[:MOST]
    while match := _PARAMETER.match(text, at):
        name, quoted, plain = match.groups()
        found.setdefault(name.lower(), re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain)
        at = match.end()
        if at >= len(text):
            break
    return found


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for (RFC 7616, 3.3)."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    opaque: str = ""
    qop: bool = False
    stale: bool = False

    @classmethod
    def parse(cls, text: str) -> Challenge | None:
        """Read the value of a ``WWW-Authenticate`` field, after the word Digest; None: of a kind not known here."""
        said = parameters(text)
        named = said.get("algorithm", "MD5").upper()
        if named not in ALGORITHMS or "nonce" not in said:
            return None
        qops = [word.strip().lower() for word in said.get("qop", "").split(",") if word.strip()]
        if qops and "auth" not in qops:
            return None
        stale = said.get("stale", "").lower() == "true"
        return cls(said.get("realm", ""), said["nonce"], named, said.get("opaque", ""), bool(qops), stale)

    def serialize(self) -> str:
        """The field's value."""
        more = f', opaque="{_quoted(self.opaque)}"' if self.opaque else ""
        more += ', qop="auth"' if self.qop else ""
        more += ", stale=true" if self.stale else ""
        realm, nonce = _quoted(self.realm), _quoted(self.nonce)
        return f'Digest realm="{realm}", nonce="{nonce}", algorithm={self.algorithm}{more}'

    def answer(self, user: str, password: str, *, method: str, uri: str, count: int, cnonce: str) -> str:
        """The value of an ``Authorization`` field that shows the password.

        ``count``: how many times the nonce was answered, this one included; ``cnonce``: a nonce of one's own.
        """
        said = {"username": user, "realm": self.realm, "nonce": self.nonce, "uri": uri}
        if self.qop:
            said |= {"qop": "auth", "nc": f"{count:08x}", "cnonce": cnonce}
        said["algorithm"] = self.algorithm
        said["response"] = response(said, password, method)
        if self.opaque:
            said["opaque"] = self.opaque
        bare = {"qop", "nc", "algorithm"}
        return "Digest " + ", ".join(
            f"{name}={value}" if name in bare else f'{name}="{_quoted(value)}"' for name, value in said.items()
        )


def response(said: Mapping[str, str], password: str, method: str) -> str:
    """The digest that goes with the other parameters of an answer (RFC 7616, 3.4.1); empty: an algorithm not known."""
    name = ALGORITHMS.get(said.get("algorithm", "MD5").upper())
    if name is None:
        return ""

    def hashed(*parts: str) -> str:
        return hashlib.new(name, ":".join(parts).encode(), usedforsecurity=False).hexdigest()

    secret = hashed(said.get("username", ""), said.get("realm", ""), password)
    request = hashed(method, said.get("uri", ""))
    if "qop" in said:
        return hashed(
            secret, said.get("nonce", ""), said.get("nc", ""), said.get("cnonce", ""), said["qop"].lower(), request
        )
    return hashed(secret, said.get("nonce", ""), request)


def is_right(said: Mapping[str, str], password: str, method: str) -> bool:
    """True: an answer's digest was made with that password, for that method. Takes the same time if it is wrong."""
    wanted = response(said, password, method)
    given = said.get("response", "").lower()
    return bool(wanted) and hmac.compare_digest(wanted.encode(), given.encode("utf-8", "replace"))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

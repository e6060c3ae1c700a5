"""Which clients of gateways may publish and play: by where they come from, a password, a secret, a token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from arclyd.control import tokens
from arclyd.protocols import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

Open = Literal["all", "loopback", "none"]

ACTIONS: Final = ("publish", "play")


@dataclass(frozen=True, slots=True)
class Access:
    """One application's rule for one action. ``open``: who needs no credentials; the rest lets in who shows it."""

    open: Open = "loopback"
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)
    token_secret: bytes | None = field(default=None, repr=False)

    @property
    def summary(self) -> str:
        """The rule without its secrets."""
        ways = [("password", self.users), ("secret", self.secret), ("token", self.token_secret)]
        return ", ".join([f"open: {self.open}", *(way for way, known in ways if known)])

    def problem(self, key: str, address: str, shown: Mapping[str, str], now: float) -> str:
        """Why a client at ``address`` (host:port; empty: a local process) is not let in; empty: it is.

        ``shown``: the credentials it showed. ``now``: Unix seconds.
        """
        if self.open == "all" or (self.open == "loopback" and is_loopback(address)):
            return ""
        if "token" in shown and self.token_secret:
            return "" if tokens.is_valid(self.token_secret, key, shown["token"], now) else "wrong or expired token"
        if "secret" in shown and self.secret:
            return "" if _same(shown["secret"], self.secret) else "wrong secret"
        if "digest" in shown and self.users:
            said = digest.parameters(shown["digest"])
            known = self.users.get(said.get("username", ""))
            right = digest.is_right(said, known if known is not None else self.summary, shown.get("method", ""))
            return "" if right and known is not None else "wrong user or password"
        if "user" in shown and self.users:
            known = self.users.get(shown["user"])
            right = _same(shown.get("pass", ""), known if known is not None else self.summary)
            return "" if right and known is not None else "wrong user or password"
        if not (self.users or self.secret or self.token_secret):
            return f"only {self.open if self.open != 'none' else 'nobody'} may, by configuration"
        return "no credentials of a kind that is asked for"


def is_loopback(address: str) -> bool:
    """True: that host:port is this host's own, as is one that is none."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return not address
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def _same(one: str, other: str) -> bool:
    """Compare in a time that tells nothing, the length included."""
    return hmac.compare_digest(*(hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (one, other)))

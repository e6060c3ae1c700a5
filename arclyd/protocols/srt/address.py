"""Where a stream is on an SRT server: ``srt://host:port?streamid=…&latency=…``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from arclyd.errors import WireError
from arclyd.protocols.srt.stream_id import MAX_BYTES

LATENCY_MS: Final = 120
"""Milliseconds, libsrt's own default; the longer one of both sides counts."""
MAX_LATENCY_MS: Final = 60_000

PASSPHRASE: Final = range(10, 80)
"""Bytes of one (API reference, SRTO_PASSPHRASE)."""

_KEY_BYTES: Final = ("16", "24", "32")
_KNOWN: Final = frozenset({"streamid", "latency", "passphrase", "passphrase_file", "pbkeylen", "mode"})


@dataclass(frozen=True, slots=True)
class Address:
    """A stream elsewhere. ``latency``: ms. ``passphrase``, or ``passphrase_file`` where it is: empty, not encrypted.

    ``key_bytes``: of the AES key, 0 for the server's choice.
    """

    host: str
    port: int
    stream_id: str = field(default="", repr=False)
    latency: int = LATENCY_MS
    passphrase: bytes = field(default=b"", repr=False)
    passphrase_file: str = ""
    key_bytes: int = 0

    def __str__(self) -> str:
        return f"srt://{self.where}"  # to servers the stream id is a secret

    @property
    def where(self) -> str:
        """Host and port."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Address:
        """Take a URL apart; a stream id may stand in it as it is, "#" and all, or percent-encoded.

        Raises:
            WireError: not such a URL.
        """
        base, _, query = url.partition("?")
        try:
            parts = urlsplit(base)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise WireError("SRT", f"a URL that is none: {error}") from None
        if parts.scheme != "srt" or not host or not port or parts.path.strip("/") or parts.fragment:
            raise WireError("SRT", "a URL is srt://HOST:PORT?streamid=…")
        said = _said(query)
        for name in said.keys() - _KNOWN:
            raise WireError("SRT", f"a URL has no {name[:40]!r}; there are {', '.join(sorted(_KNOWN))}")
        if said.get("mode", "caller") != "caller":
            raise WireError("SRT", "only the mode caller makes a connection; `arclyd listen srt` takes them")
        if "passphrase" in said and "passphrase_file" in said:
            raise WireError("SRT", "passphrase or passphrase_file, not both")
        if len(said.get("streamid", "").encode()) > MAX_BYTES:
            raise WireError("SRT", f"a stream id of more than {MAX_BYTES} bytes")
        if said.get("pbkeylen", "16") not in _KEY_BYTES:
            raise WireError("SRT", f"pbkeylen is one of {', '.join(_KEY_BYTES)}")
        return cls(
            host,
            port,
            said.get("streamid", ""),
            _latency(said.get("latency")),
            checked_passphrase(said["passphrase"].encode()) if "passphrase" in said else b"",
            said.get("passphrase_file", ""),
            int(said.get("pbkeylen", 0)),
        )


def checked_passphrase(passphrase: bytes) -> bytes:
    """The passphrase, if it is one that SRT takes. Raises `WireError`."""
    if len(passphrase) not in PASSPHRASE or b"\0" in passphrase:
        raise WireError("SRT", f"a passphrase has {PASSPHRASE[0]} to {PASSPHRASE[-1]} bytes")
    return passphrase


def _said(query: str) -> dict[str, str]:
    said = {}
    for item in filter(None, query.split("&")):
        name, _, value = item.partition("=")
        said[name] = unquote(value)
    return said


def _latency(text: str | None) -> int:
    if text is None:
        return LATENCY_MS
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) <= MAX_LATENCY_MS):
        raise WireError("SRT", f"latency is milliseconds, at most {MAX_LATENCY_MS}")
    return int(text)

"""What a caller asks for in its stream id, in both syntaxes that are in use.

The standard one is that of SRT's Access Control Guidelines, ``#!::r=app/name,m=publish,u=user,s=password``. The short
one is ``publish:app/name``, ``publish:app/name:user:password`` or ``publish:app/name:token=…``, with ``read``, ``play``
or ``request`` for a player; a bare ``app/name`` is a player's. Nothing is percent-encoded in either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_BYTES: Final = 512
"""Of a stream id, by libsrt (API reference, SRTO_STREAMID)."""

_STANDARD: Final = "#!::"
_SHOWN: Final = ("user", "pass", "secret", "token")


class Mode(Enum):
    """What a caller wants to do."""

    PUBLISH = "publish"
    PLAY = "play"
    BOTH = "bidirectional"


_STANDARD_MODES: Final = {"request": Mode.PLAY, "publish": Mode.PUBLISH, "bidirectional": Mode.BOTH}
_SHORT_MODES: Final = {"publish": Mode.PUBLISH, **dict.fromkeys(("read", "play", "request"), Mode.PLAY)}


@dataclass(frozen=True, slots=True)
class Asked:
    """A stream ``key``, which is checked by nobody here, and the credentials ``shown`` for it."""

    key: str
    mode: Mode
    shown: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse(text: str) -> Asked:
    """Read a stream id.

    Raises:
        WireError: it names no stream, or says something that is not known.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise WireError("SRT", f"a stream id of more than {MAX_BYTES} bytes")
    if text.startswith(_STANDARD):
        return _standard(text.removeprefix(_STANDARD))
    if text.startswith("#!"):
        raise WireError("SRT", "a stream id in a syntax that is not known")
    return _short(text)


def _standard(text: str) -> Asked:
    said = dict(_pairs(text.split(",")))
    if said.get("t", "stream") != "stream":
        raise WireError("SRT", f"not a stream is asked for, but {said['t'][:20]!r}")
    mode = _STANDARD_MODES.get(said.get("m", "request"))
    if mode is None:
        raise WireError("SRT", f"no mode is {said['m'][:20]!r}")
    key, shown = _resource(said.get("r", ""))
    shown |= {name: said[name] for name in _SHOWN if name in said}
    if "u" in said:
        shown["user"] = said["u"]
    if "s" in said:  # where nobody is named it is the stream's own
        shown["pass" if "user" in shown else "secret"] = said["s"]
    return Asked(key, mode, shown)


def _short(text: str) -> Asked:
    word, colon, rest = text.partition(":")
    if not colon:
        key, shown = _resource(text)
        return Asked(key, Mode.PLAY, shown)
    mode = _SHORT_MODES.get(word)
    if mode is None:
        raise WireError("SRT", f"a stream id begins with publish: or read:, not with {word[:20]!r}")
    resource, _, credentials = rest.partition(":")
    key, shown = _resource(resource)
    user, colon, password = credentials.partition(":")
    if colon and user.partition("=")[0] not in _SHOWN:  # a token has a colon in it
        shown |= {"user": user, "pass": password}
    else:
        shown |= _credentials(credentials)
    return Asked(key, mode, shown)


def _resource(text: str) -> tuple[str, dict[str, str]]:
    """The key, and what servers of other makes have behind a "?"."""
    path, _, query = text.partition("?")
    if not path.strip("/"):
        raise WireError("SRT", "a stream id that names no stream")
    return path.strip("/"), _credentials(query)


def _credentials(query: str) -> dict[str, str]:
    said = dict(_pairs(query.split("&")))
    return {name: said[name] for name in _SHOWN if name in said}


def _pairs(items: Iterable[str]) -> Iterable[tuple[str, str]]:
    for item in items:
        name, equals, value = item.partition("=")
        if equals:
            yield name, value

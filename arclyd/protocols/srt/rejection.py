"""Why a caller is refused, in numbers and in words (SRT Access Control Guidelines, "Rejection codes")."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from arclyd.errors import (
    AlreadyPublishing,
    ArclydError,
    DaemonUnavailable,
    InvalidKey,
    LimitReached,
    StreamNotFound,
    Unauthorized,
    WireError,
)


class Reject(IntEnum):
    """The codes that are given here."""

    BAD_REQUEST = 1400
    UNAUTHORIZED = 1401
    OVERLOAD = 1402
    FORBIDDEN = 1403
    NOT_FOUND = 1404
    BAD_MODE = 1405
    CONFLICT = 1409
    INTERNAL = 1500
    DOWN = 1503


_OF: Final[tuple[tuple[type[ArclydError], Reject], ...]] = (
    (StreamNotFound, Reject.NOT_FOUND),
    (AlreadyPublishing, Reject.CONFLICT),
    (InvalidKey, Reject.BAD_REQUEST),
    (WireError, Reject.BAD_REQUEST),
    (LimitReached, Reject.OVERLOAD),
    (DaemonUnavailable, Reject.DOWN),
)


def rejection(error: ArclydError, *, shown: bool) -> Reject:
    """The code for an error; ``shown``: the caller showed credentials, which were the wrong ones then."""
    if isinstance(error, Unauthorized):
        return Reject.FORBIDDEN if shown else Reject.UNAUTHORIZED
    return next((code for kind, code in _OF if isinstance(error, kind)), Reject.INTERNAL)


_WORDS: Final = {
    # Of libsrt itself (srt.h, SRT_REJECT_REASON).
    1: "a system call failed",
    2: "the server rejected the connection",
    3: "no resources are left",
    4: "what it said in the handshake makes no sense",
    5: "too many callers wait to be taken",
    7: "it is closing",
    8: "the versions of SRT do not go together",
    10: "wrong passphrase",
    11: "one side has a passphrase, the other has none",
    12: "one side is in live mode, the other is not",
    13: "the congestion controls do not go together",
    14: "the packet filters do not go together",
    16: "no answer in time",
    # Of applications.
    1000: "the server refuses",
    1001: "the server does not know a key of the stream id",
    1002: "the server can't have that path",
    1003: "the server knows no such host",
    1400: "the server does not understand the stream id",
    1401: "the server wants credentials",
    1402: "the server is overloaded",
    1403: "the credentials are not allowed that",
    1404: "the server has no such stream",
    1405: "the server does not do that with this stream",
    1406: "the server can't do it as asked for",
    1409: "the stream is being published already",
    1415: "the server does not take that kind of media",
    1423: "the stream is locked",
    1424: "the server's session failed",
    1500: "an error inside of the server",
    1501: "the server can't do that",
    1502: "the server behind the server failed",
    1503: "the service is down",
    1505: "the server wants another version",
    1507: "the server has no room left",
}


def in_words(code: int) -> str:
    """What a code that a server gave means, for people."""
    return f"{_WORDS.get(code, 'refused')} ({code})"

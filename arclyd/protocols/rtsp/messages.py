"""Requests, responses and interleaved packets (RFC 2326, 4 to 7 and 10.12): out of bytes, and into them."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_HEAD: Final = 16 << 10
"""Bytes of a message before its body."""

MOST_BODY: Final = 128 << 10
"""Bytes of a body: descriptions, and parameters."""

MOST_FIELDS: Final = 128
VERSION: Final = "RTSP/1.0"
REASONS: Final[Mapping[int, str]] = MappingProxyType(
    {
        200: "OK",
        301: "Moved Permanently",
        302: "Found",
        400: "Bad Request",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        413: "Request Entity Too Large",
        415: "Unsupported Media Type",
        453: "Not Enough Bandwidth",
        454: "Session Not Found",
        455: "Method Not Valid in This State",
        456: "Header Field Not Valid for Resource",
        457: "Invalid Range",
        459: "Aggregate Operation Not Allowed",
        461: "Unsupported Transport",
        500: "Internal Server Error",
        501: "Not Implemented",
        503: "Service Unavailable",
        505: "RTSP Version Not Supported",
        551: "Option not supported",
    }
)
"""Of RFC 2326, 7.1.1, those that are used here."""

_MARK: Final = 0x24
_HEAD: Final = 4

Fields = tuple[tuple[str, str], ...]


class _WithFields:
    """What requests and responses have in common."""

    __slots__ = ()
    fields: Fields

    def get(self, name: str, default: str = "") -> str:
        """The first field of that name, case aside."""
        wanted = name.lower()
        return next((value for found, value in self.fields if found.lower() == wanted), default)

    def all(self, name: str) -> list[str]:
        """All fields of that name."""
        wanted = name.lower()
        return [value for found, value in self.fields if found.lower() == wanted]


@dataclass(frozen=True, slots=True)
class Request(_WithFields):
    """A request; ``version`` as it stands in its first line: HTTP's where somebody tunnels."""

    method: str
    url: str
    fields: Fields = ()
    body: bytes = b""
    version: str = VERSION

    def serialize(self) -> bytes:
        """The request as it is sent."""
        return _written(f"{self.method} {self.url} {self.version}", self.fields, self.body)


@dataclass(frozen=True, slots=True)
class Response(_WithFields):
    """A response."""

    status: int
    fields: Fields = ()
    body: bytes = b""
    reason: str = ""
    version: str = VERSION

    def serialize(self) -> bytes:
        """The response as it is sent."""
        reason = self.reason or REASONS.get(self.status, "Error")
        return _written(f"{self.version} {self.status} {reason}", self.fields, self.body)


@dataclass(frozen=True, slots=True)
class Interleaved:
    """A packet among the messages (10.12)."""

    channel: int
    payload: bytes

    def serialize(self) -> bytes:
        """The packet as it is sent."""
        return bytes((_MARK, self.channel)) + len(self.payload).to_bytes(2, "big") + self.payload


Message = Request | Response | Interleaved


def _written(first: str, fields: Fields, body: bytes) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in fields)]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "\r\n")).encode() + body


class MessageReader:
    """Takes bytes, gives messages; what lies between them and is none of one is passed over in a client's name.

    Args:
        strict: garbage between messages ends it; else it is skipped, as a client has to with many a camera.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self._strict = strict
        self._data = bytearray()
        self._head: Request | Response | None = None
        self._body = 0
        self._looked = 0

    @property
    def held(self) -> int:
        """Bytes kept of a message that is not complete."""
        return len(self._data)

    def rest(self) -> bytes:
        """What was not read yet: it belongs to another protocol from here on."""
        data = bytes(self._data)
        self._data.clear()
        return data

    def receive(self, data: bytes) -> Iterator[Message]:
        """Messages out of ``data``; to be iterated to the end before more is received. Raises `WireError`."""
        self._data += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        if self._head is not None:
            return self._with_body()
        self._skip()
        if not self._data:
            return None
        if self._data[0] == _MARK:
            return self._packet()
        end, size = self._end_of_head()
        if end < 0:
            if len(self._data) > MOST_HEAD:
                raise WireError("RTSP", f"a message whose head has more than {MOST_HEAD} bytes")
            return None
        if end > MOST_HEAD:
            raise WireError("RTSP", f"a message whose head has {end} bytes")
        head = bytes(self._data[:end])
        del self._data[: end + size]
        self._looked = 0
        self._head, self._body = _read_head(head)
        return self._with_body()

    def _with_body(self) -> Message | None:
        head = self._head
        assert head is not None
        if len(self._data) < self._body:
            return None
        body = bytes(self._data[: self._body])
        del self._data[: self._body]
        self._head = None
        if not body:
            return head
        if isinstance(head, Request):
            return Request(head.method, head.url, head.fields, body, head.version)
        return Response(head.status, head.fields, body, head.reason, head.version)

    def _packet(self) -> Interleaved | None:
        if len(self._data) < _HEAD:
            return None
        size = _HEAD + int.from_bytes(self._data[2:_HEAD], "big")
        if len(self._data) < size:
            return None
        packet = Interleaved(self._data[1], bytes(self._data[_HEAD:size]))
        del self._data[:size]
        return packet

    def _skip(self) -> None:
        """Pass over empty lines before a message (RFC 2068, 4.1), and what else is none where that is tolerated."""
        at = 0
        while at < len(self._data) and self._data[at] in b"\r\n\t \0":
            at += 1
        if not self._strict and at < len(self._data) and self._data[at] != _MARK:
            while at < len(self._data) and self._data[at] != _MARK and not _may_begin(self._data, at):
                at += 1
        if at:
            del self._data[:at]
            self._looked = 0

    def _end_of_head(self) -> tuple[int, int]:
        """Where the empty line begins that ends a head, and its size; -1: it is not there yet."""
        start = max(0, self._looked - 3)
        self._looked = len(self._data)
        found = [(place, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (place := self._data.find(mark, start)) >= 0]
        return min(found, default=(-1, 0))


def _may_begin(data: bytearray, at: int) -> bool:
    """A message may begin here: letters that a client can expect, as far as there are any."""
    there = bytes(data[at : at + 5])
    return any(word.startswith(there) for word in (b"RTSP/", b"OPTIO", b"GET_P", b"SET_P", b"REDIR"))


def _read_head(head: bytes) -> tuple[Request | Response, int]:
    """A message without its body, and the size of that."""
    lines = head.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and fields:  # a field goes on (RFC 2068, 4.2)
            name, value = fields[-1]
            fields[-1] = name, f"{value} {line.strip()}".strip()
            continue
        name, colon, value = line.partition(":")
        if colon and name.strip():
            fields.append((name.strip(), value.strip()))
    if len(fields) > MOST_FIELDS:
        raise WireError("RTSP", f"a message with {len(fields)} fields")
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    known = tuple((name, value) for name, value in fields if name.lower() != "content-length")
    first = _first_line(lines[0].strip(), known)
    tunnels = isinstance(first, Request) and first.version.startswith("HTTP/")  # whose length is made up
    return first, 0 if tunnels else _length(lengths)


def _length(values: list[str]) -> int:
    if not values:
        return 0
    text = values[0]
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or any(value != text for value in values):
        raise WireError("RTSP", f"Content-Length {text[:40]!r}")
    if int(text) > MOST_BODY:
        raise WireError("RTSP", f"a body of {text} bytes")
    return int(text)


def _first_line(line: str, fields: Fields) -> Request | Response:
    words = line.split(None, 2)
    if len(words) >= 2 and words[0].upper().startswith("RTSP/"):
        status = words[1]
        if not (status.isascii() and status.isdigit() and len(status) == 3):
            raise WireError("RTSP", f"status {status[:20]!r}")
        return Response(int(status), fields, reason=words[2] if len(words) > 2 else "", version=words[0])
    if len(words) == 3 and "/" in words[2] and words[0].replace("_", "").isalpha():
        return Request(words[0], words[1], fields, version=words[2])
    raise WireError("RTSP", f"neither a request nor a response: {line[:60]!r}")

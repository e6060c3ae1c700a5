"""Messages as bytes and back: a ``u32`` big-endian length, then one msgpack map.

Encoding gives a whole framed message, decoding takes the body `Deframer` cut out.
Whatever a peer sends is checked here, in this order: length, msgpack with bounds
on depth and collections, the envelope, then the fields against the dataclass.
Everything wrong is a `ProtocolError` whose sentence says what; nothing else leaves.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import msgpack
import msgspec

from arclyd.control.messages import REQUESTS, Order, Request
from arclyd.control.reports import Event
from arclyd.error_maps import from_wire, to_wire
from arclyd.errors import ArclydError, ProtocolError

MAX_REQUEST: Final = 1 << 20
"""Longest message to the daemon, in bytes."""

MAX_HELLO: Final = 1 << 14
"""Longest message to the daemon from a peer that has not said hello, in bytes."""

MAX_REPLY: Final = 16 << 20
"""Longest message from the daemon, in bytes: a list of some thousand streams."""

MAX_DEPTH: Final = 12
"""Deepest nesting of a message; the deepest there is (streams, qos, tracks, time_base) needs 8."""

MAX_ITEMS: Final = 65_536
"""Most entries of one array or map."""

MAX_ID: Final = (1 << 63) - 1
"""Largest request id."""

MAX_FDS: Final = 4
"""Most descriptors with one reply."""

MAX_OFFERED: Final = 1
"""Most descriptors with one request: the region that a publisher brings back."""

if TYPE_CHECKING:
    from collections.abc import Mapping

_LENGTH: Final = struct.Struct(">I")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it came, with ``fds`` descriptors; ``request``: a `ProtocolError` if only its envelope was sound."""

    id: int
    request: Request | ProtocolError
    fds: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply with its fields still untyped (`decode_value` types them) and the number of descriptors with it."""

    id: int
    fields: dict[str, object]
    fds: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """The refusal of request ``id``; 0: of the connection as a whole."""

    id: int
    error: ArclydError


class Deframer:
    """Cuts a byte stream into message bodies; holds at most one message of ``limit`` bytes and what follows it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def receive_data(self, data: bytes) -> None:
        """Take the next bytes of the stream, cut anywhere."""
        self._buffer += data

    def next_body(self) -> bytes | None:
        """The next whole message body, or None until there is one.

        Raises:
            ProtocolError: the length announced is zero or above the limit.
        """
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if not 0 < length <= self.limit:
            raise ProtocolError(f"a message of {length} bytes (1 to {self.limit} are allowed)")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_LENGTH.size : end])
        del self._buffer[:end]
        return body

    @property
    def pending(self) -> int:
        """Bytes held that are not yet a whole message."""
        return len(self._buffer)


def encode_request(id: int, request: Request, fds: int = 0) -> bytes:
    """The framed bytes of one request."""
    envelope: dict[str, object] = {"id": id, "op": request.op, "args": request}
    if fds:
        envelope["fds"] = fds
    return _frame(envelope, MAX_REQUEST)


def encode_reply(id: int, value: object, fds: int = 0) -> bytes:
    """The framed bytes of a reply; ``value`` is a dataclass of `arclyd.control.messages`."""
    envelope: dict[str, object] = {"id": id, "ok": value}
    if fds:
        envelope["fds"] = fds
    return _frame(envelope, MAX_REPLY)


def encode_error(id: int, error: ArclydError) -> bytes:
    """The framed bytes of a refusal."""
    return _frame({"id": id, "error": to_wire(error)}, MAX_REPLY)


def encode_event(event: Event) -> bytes:
    """The framed bytes of one pushed event."""
    return _frame({"event": event}, MAX_REPLY)


def encode_order(order: Order) -> bytes:
    """The framed bytes of an order to one attached party."""
    return _frame({"order": order}, MAX_REPLY)


def decode_request(body: bytes) -> Call:
    """The request in a message body.

    A sound envelope with an unknown ``op`` or unfit fields gives a `Call` that carries the `ProtocolError`, so
    that it can be answered; anything less raises it.
    """
    envelope = _unpack(body)
    number = _integer(envelope, "id", 1, MAX_ID)
    op, args = envelope.get("op"), envelope.get("args", {})
    cls = REQUESTS.get(op) if isinstance(op, str) else None
    fds = _integer(envelope, "fds", 0, MAX_OFFERED) if "fds" in envelope else 0
    try:
        if cls is None:
            raise ProtocolError(f"unknown request {str(op)[:64]!r}")
        return Call(number, decode_value(args, cls), fds)
    except ProtocolError as error:
        return Call(number, error, fds)


def decode_from_daemon(body: bytes) -> Reply | Failure | Event | Order:
    """What the daemon said in a message body."""
    envelope = _unpack(body)
    if "event" in envelope:
        return decode_value(envelope["event"], Event)
    if "order" in envelope:
        return decode_value(envelope["order"], Order)
    number = _integer(envelope, "id", 0, MAX_ID)
    if "error" in envelope:
        return Failure(number, _error(envelope["error"]))
    fields = envelope.get("ok")
    if not isinstance(fields, dict):
        raise ProtocolError("a message that is no reply, error, event or order")
    return Reply(number, fields, _integer(envelope, "fds", 0, MAX_FDS) if "fds" in envelope else 0)


def decode_value(fields: object, cls: type[T]) -> T:
    """``fields`` as the dataclass ``cls``; unknown fields are ignored, so that a newer peer may say more.

    Raises:
        ProtocolError: a field is missing or of another type; the sentence names it.
    """
    try:
        return msgspec.convert(fields, type=cls, strict=True)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"{getattr(cls, 'op', '') or cls.__name__}: {error}") from None


def _frame(envelope: Mapping[str, object], limit: int) -> bytes:
    try:
        body = msgspec.msgpack.encode(envelope)
    except (TypeError, ValueError, OverflowError) as error:  # UnicodeEncodeError is a ValueError
        raise ProtocolError(f"not encodable: {error}") from None
    if len(body) > limit:
        raise ProtocolError(f"a message of {len(body)} bytes (1 to {limit} are allowed)")
    return _LENGTH.pack(len(body)) + body


def _unpack(body: bytes) -> dict[str, object]:
    try:
        value = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            max_array_len=MAX_ITEMS,
            max_map_len=MAX_ITEMS,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"not msgpack: {str(error)[:120] or type(error).__name__}") from None
    if not isinstance(value, dict):
        raise ProtocolError(f"a message is a map, not {type(value).__name__}")
    _check_depth(value)
    return value


def _check_depth(value: object) -> None:
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return
    raise ProtocolError(f"nested deeper than {MAX_DEPTH}")


def _containers(value: object) -> list[object]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict | list)]


def _integer(envelope: Mapping[str, object], name: str, low: int, high: int) -> int:
    value = envelope.get(name)
    if type(value) is not int or not low <= value <= high:  # a bool is an int for isinstance
        raise ProtocolError(f"{name!r} must be an integer from {low} to {high}")
    return value


@dataclass(frozen=True, slots=True)
class _Error:
    code: str
    message: str
    facts: dict[str, str | int | float | bool | None]


def _error(fields: object) -> ArclydError:
    said = decode_value(fields, _Error)
    error = from_wire(said.code, said.message, said.facts)
    try:
        str(error)
    except (TypeError, ValueError, AttributeError):  # facts of the wrong types: the peer's own sentence will do
        return ArclydError(said.message)
    return error

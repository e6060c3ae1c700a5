"""Control messages that are well-formed msgpack and of the wrong shape, made from the protocol's own dataclasses.

A message is right first and then bent: a field of another type, at the edge of its range, missing, or one too many.
"""

from __future__ import annotations

import dataclasses
import functools
import struct
import types
import typing
from typing import TYPE_CHECKING, Any

import msgpack

from arclyd.control import messages, reports
from arclyd.control.messages import REQUESTS

if TYPE_CHECKING:
    from tests.fuzz.source import Source

KEYS = ("live/fuzz", "live/absent", "", "live", "../etc/passwd", "live/" + "x" * 65, "a/b/c", "live/\x00", "live/é")
WORDS = (*KEYS, "recording", "left", "replace", "reject", "video", "audio", "data", "0" * 32, "\n\x1b[31m", "é" * 300)
NUMBERS = (0, 1, -1, 2, 255, 256, 65_536, 1 << 20, 1 << 31, 1 << 32, 1 << 62, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1)
FLOATS = (0.0, -0.0, 1.5, float("nan"), float("inf"), float("-inf"), 1e308, 5e-324)
RAW = tuple(
    bytes.fromhex(code)
    for code in (
        "c1",  # the one byte that is no msgpack
        "a2c328",  # text that is not UTF-8
        "d9ff",  # text longer than the message
        "dd7fffffff",  # arrays and maps of two thousand million
        "df7fffffff",
        "c6ffffffff",
        "d4ff00",  # extension types, the timestamp among them
        "d6ff00000000",
        "c70005",
        "c700ff",
        "c9ffffffff01",
        "81c0c0",  # keys that are no text
        "8190c0",
        "81c40161c0",
        "92a161",  # an array that stops
        "cfffffffffffffffff",
        "cb7ff8000000000000",
    )
)
DEEP = (1, 11, 12, 13, 500, 1100, 100_000)

FROM_DAEMON: tuple[type, ...] = (
    reports.Event,
    messages.Order,
    *(request.reply for request in REQUESTS.values()),
)


class Raw(bytes):
    """msgpack as it is, to be put into a message unencoded."""


def request(source: Source, number: int) -> bytes:
    """The body of one request, right or bent, with ``number`` as its id unless that is bent, too."""
    op = source.choice(tuple(REQUESTS))
    envelope: dict[object, object] = {"id": number, "op": op, "args": _value(source, REQUESTS[op])}
    return pack(_bend_map(source, envelope))


def from_daemon(source: Source) -> bytes:
    """The body of one message from a daemon: a reply, refusal, event or order, right or bent."""
    cls = source.choice(FROM_DAEMON)
    said = _value(source, cls)
    if source.chance(60):
        code = source.choice(_codes())
        facts = {source.choice(_facts()): _anything(source, 1) for _ in range(source.integer() % 4)}
        said = {"code": code, "message": source.choice(WORDS), "facts": facts}
    kind = source.choice(("ok", "event", "order", "error"))
    envelope: dict[object, object] = {"id": source.integer() % 6, kind: said}
    if source.chance(40):
        envelope["fds"] = source.choice(NUMBERS)
    return pack(_bend_map(source, envelope))


def pack(value: object) -> bytes:
    """``value`` as msgpack; a `Raw` in it stands for itself."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, dict):
        return _head(0x80, 0xDF, len(value)) + b"".join(pack(part) for item in value.items() for part in item)
    if isinstance(value, list | tuple):
        return _head(0x90, 0xDD, len(value)) + b"".join(map(pack, value))
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def _head(short: int, long: int, count: int) -> bytes:
    return bytes((short | count,)) if count < 16 else struct.pack(">BI", long, count)


@functools.cache
def _codes() -> tuple[str, ...]:
    return tuple(sorted({cls.code for cls in _error_classes()}))


@functools.cache
def _facts() -> tuple[str, ...]:
    names = {name for cls in _error_classes() for name in cls.__init__.__code__.co_varnames}
    return tuple(sorted(names))


def _error_classes() -> list[Any]:
    from arclyd import errors  # noqa: PLC0415 - beside its one use

    found: list[Any] = [errors.ArclydError]
    for cls in found:
        found += cls.__subclasses__()
    return [cls for cls in found if hasattr(cls.__init__, "__code__")]


# ------------------------------------------------------------ right, then bent


def _value(source: Source, annotation: Any) -> object:
    """A value for a field of that type; one in eight is not."""
    if source.chance(24):
        return _anything(source, 0)
    if dataclasses.is_dataclass(annotation):
        return _bend_map(source, _fields(source, annotation))
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return _value(source, source.choice(args))
    if origin is tuple:
        items = args[:1] * (source.integer() % 3) if args[-1] is Ellipsis else args
        return [_value(source, item) for item in items]
    if origin is dict:
        return {source.choice(WORDS): _value(source, args[1]) for _ in range(source.integer() % 4)}
    return _plain(source, annotation)


def _plain(source: Source, annotation: Any) -> object:
    if annotation is bool:
        return source.chance(128)
    if annotation is int:
        return source.integer() % 5 if source.chance(128) else source.choice(NUMBERS)
    if annotation is float:
        return source.choice(FLOATS)
    if annotation is str:
        return source.choice(WORDS)
    return None if annotation is type(None) else _anything(source, 0)


def _fields(source: Source, cls: Any) -> dict[object, object]:
    hints = _hints(cls)
    fields: dict[object, object] = {}
    for field in dataclasses.fields(cls):
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if not (optional and source.chance(100)):
            fields[field.name] = _value(source, hints[field.name])
    return fields


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _bend_map(source: Source, fields: dict[object, object]) -> dict[object, object] | Raw:
    if not source.chance(40):
        return fields
    how = source.integer() % 5
    if how == 0 and fields:
        del fields[source.choice(tuple(fields))]
    elif how == 1:
        fields[_anything_to_name(source)] = _anything(source, 0)
    elif how == 2 and fields:
        fields[source.choice(tuple(fields))] = _anything(source, 0)
    elif how == 3:
        return Raw(pack(fields)[: 1 + source.integer(2) % 200])
    else:
        pairs = list(fields.items()) * 2  # every name twice
        return Raw(_head(0x80, 0xDF, len(pairs)) + b"".join(pack(part) for item in pairs for part in item))
    return fields


def _anything_to_name(source: Source) -> object:
    return source.choice(("op", "id", "args", "key", "fds", "", "\x00", b"key", 7, None, True, 1.5, "x" * 5000))


def _anything(source: Source, depth: int) -> object:
    kind = source.integer() % 10
    if kind >= 8 and depth < 3:
        items = [_anything(source, depth + 1) for _ in range(source.integer() % 4)]
        return items if kind == 8 else {str(place): item for place, item in enumerate(items)}
    simple: tuple[object, ...] = (
        source.choice(NUMBERS),
        source.choice(WORDS),
        source.choice(FLOATS),
        Raw(source.choice(RAW)),
        source.bytes(source.integer() % 40),
        source.choice((None, True, False)),
        _nested(source.choice(DEEP), map_=source.chance(128)),
        Raw(source.bytes(source.integer() % 12)),
    )
    return simple[kind % 8]


def _nested(depth: int, *, map_: bool) -> Raw:
    return Raw((b"\x81\xa1a" if map_ else b"\x91") * depth + b"\xc0")

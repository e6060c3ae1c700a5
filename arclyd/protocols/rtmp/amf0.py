"""AMF 0 (Adobe's Action Message Format, AMF 0, 2007): the values that RTMP's commands and metadata are made of.

A value that says that AMF 3 follows (avmplus-object, 3.1) is read by `amf3`; nothing is written that way.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from arclyd.errors import WireError
from arclyd.protocols.rtmp.amf3 import MAX_DEPTH, MAX_VALUES, Amf3Reader, Value

_DOUBLE: Final = struct.Struct(">d")
_NUMBER, _BOOLEAN, _STRING, _OBJECT = 0, 1, 2, 3
_NULL, _UNDEFINED, _REFERENCE, _ECMA_ARRAY, _END, _STRICT_ARRAY = 5, 6, 7, 8, 9, 10
_DATE, _LONG_STRING, _UNSUPPORTED, _XML, _TYPED_OBJECT, _AMF3 = 11, 12, 13, 15, 16, 17


class Array(dict[str, Value]):
    """A mapping that is written as an ECMA array (2.10), as metadata are by custom."""


def decode(data: bytes) -> list[Value]:
    """Every value in ``data``, one after the other.

    Raises:
        WireError: it is no AMF 0, or more than a sender could want to say.
    """
    reader = _Reader(data)
    values = []
    while not reader.at_end:
        values.append(reader.value(0))
    return values


def encode(*values: Value) -> bytes:
    """``values`` one after the other."""
    return b"".join(map(_encode, values))


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._count = 0
        self._complex: list[Value] = []

    @property
    def at_end(self) -> bool:
        return self._position >= len(self._data)

    def value(self, depth: int) -> Value:
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_VALUES:
            raise WireError("AMF", f"nested deeper than {MAX_DEPTH}, or more than {MAX_VALUES} values")
        marker = self._take(1)[0]
        if marker in (_OBJECT, _ECMA_ARRAY, _TYPED_OBJECT, _STRICT_ARRAY):
            return self._container(marker, depth)
        if marker == _NUMBER:
            return float(_DOUBLE.unpack(self._take(8))[0])
        if marker == _BOOLEAN:
            return self._take(1) != b"\0"
        if marker == _STRING:
            return self._text(2)
        if marker in (_LONG_STRING, _XML):
            return self._text(4)
        if marker in (_NULL, _UNDEFINED, _UNSUPPORTED):
            return None
        return self._rare(marker)

    def _rare(self, marker: int) -> Value:
        if marker == _DATE:
            return float(_DOUBLE.unpack(self._take(10)[:8])[0])
        if marker == _REFERENCE:
            place = int.from_bytes(self._take(2), "big")
            if place >= len(self._complex):
                raise WireError("AMF", f"a reference to object {place} of {len(self._complex)}")
            return None  # the object it refers to is there once already, and could hold itself
        if marker == _AMF3:
            reader = Amf3Reader(self._data, self._position)
            value = reader.value()
            self._position = reader.position
            return value
        raise WireError("AMF", f"no value of type {marker}")

    def _container(self, marker: int, depth: int) -> Value:
        self._complex.append(None)
        if marker == _STRICT_ARRAY:
            count = int.from_bytes(self._take(4), "big")
            if count > len(self._data) - self._position:
                raise WireError("AMF", f"an array of {count} values in {len(self._data)} bytes")
            return [self.value(depth + 1) for _ in range(count)]
        if marker == _ECMA_ARRAY:
            self._take(4)  # the count is a hint (2.10)
        elif marker == _TYPED_OBJECT:
            self._text(2)
        return self._members(depth, Array() if marker == _ECMA_ARRAY else {})

    def _members(self, depth: int, into: dict[str, Value]) -> dict[str, Value]:
        while True:
            name = self._text(2)
            if not name and self._data[self._position : self._position + 1] in (bytes((_END,)), b""):
                self._position += 1
                return into
            into[name] = self.value(depth + 1)

    def _text(self, width: int) -> str:
        return self._take(int.from_bytes(self._take(width), "big")).decode("utf-8", "replace")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        if len(taken) < size:
            raise WireError("AMF", "cut off")
        self._position += size
        return taken


def _encode(value: Value) -> bytes:
    if value is None:
        return bytes((_NULL,))
    if isinstance(value, bool):
        return bytes((_BOOLEAN, value))
    if isinstance(value, int | float):
        return bytes((_NUMBER,)) + _DOUBLE.pack(value)
    if isinstance(value, str):
        raw = value.encode()
        if len(raw) > 0xFFFF:
            return bytes((_LONG_STRING,)) + struct.pack(">I", len(raw)) + raw
        return bytes((_STRING,)) + _short(raw)
    if isinstance(value, Mapping):
        head = bytes((_ECMA_ARRAY,)) + struct.pack(">I", len(value)) if isinstance(value, Array) else bytes((_OBJECT,))
        members = b"".join(_short(name.encode()) + _encode(member) for name, member in value.items())
        return head + members + bytes((0, 0, _END))
    return bytes((_STRICT_ARRAY,)) + struct.pack(">I", len(value)) + b"".join(map(_encode, value))


def _short(raw: bytes) -> bytes:
    if len(raw) > 0xFFFF:
        raise WireError("AMF", f"a name of {len(raw)} bytes")
    return struct.pack(">H", len(raw)) + raw

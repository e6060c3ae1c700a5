"""AMF 3 (Adobe's Action Message Format, AMF 3, 2013), read only: some players of Flash's line speak it in commands."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from arclyd.errors import WireError

Value = None | bool | float | str | Mapping[str, "Value"] | Sequence["Value"]
"""What a value of AMF 0 or 3 becomes: undefined and null are None, dates milliseconds, XML text, objects mappings."""

MAX_DEPTH: Final = 16
MAX_VALUES: Final = 4096
"""In one message; a connect has some dozens."""

_DOUBLE: Final = struct.Struct(">d")
_UNDEFINED, _NULL, _FALSE, _TRUE, _INTEGER, _NUMBER, _STRING, _XML_DOC, _DATE, _ARRAY, _OBJECT, _XML, _BYTES = range(13)


class Amf3Reader:
    """Reads values of ``data`` from ``position`` on, which moves; what refers back to an object becomes None.

    Raises:
        WireError: no AMF 3.
    """

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self.position = position
        self._strings: list[str] = []
        self._traits: list[tuple[bool, list[str]]] = []
        self._count = 0

    def value(self, depth: int = 0) -> Value:
        """The next value."""
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_VALUES:
            raise WireError("AMF", f"nested deeper than {MAX_DEPTH}, or more than {MAX_VALUES} values")
        marker = self._take(1)[0]
        if marker <= _TRUE:
            return None if marker <= _NULL else marker == _TRUE
        if marker == _INTEGER:
            number = self._u29()
            return float(number - (1 << 29) if number >> 28 else number)
        if marker == _NUMBER:
            return float(_DOUBLE.unpack(self._take(8))[0])
        if marker == _STRING:
            return self._string()
        return self._complex(marker, depth)

    def _complex(self, marker: int, depth: int) -> Value:
        if marker > _BYTES:
            raise WireError("AMF", f"no value of type {marker} in AMF 3")
        head = self._u29()
        if not head & 1:
            return None
        if marker == _DATE:
            return float(_DOUBLE.unpack(self._take(8))[0])
        if marker in (_XML_DOC, _XML):
            return self._take(head >> 1).decode("utf-8", "replace")
        if marker == _BYTES:
            self._take(head >> 1)
            return None
        return self._array(head >> 1, depth) if marker == _ARRAY else self._object(head >> 1, depth)

    def _array(self, count: int, depth: int) -> Value:
        named = self._members(depth)
        if count > len(self._data) - self.position:
            raise WireError("AMF", f"an array of {count} values in {len(self._data)} bytes")
        dense = [self.value(depth + 1) for _ in range(count)]
        return named or dense

    def _object(self, head: int, depth: int) -> Value:
        is_dynamic, names = self._traits_of(head)
        members: dict[str, Value] = {name: self.value(depth + 1) for name in names}
        return {**members, **self._members(depth)} if is_dynamic else members

    def _traits_of(self, head: int) -> tuple[bool, list[str]]:
        if not head & 1:
            if head >> 1 >= len(self._traits):
                raise WireError("AMF", "a reference to traits that are not there")
            return self._traits[head >> 1]
        if head & 2:
            raise WireError("AMF", "an object that only its own class can read")
        self._string()
        count = head >> 3
        if count > len(self._data) - self.position:
            raise WireError("AMF", f"an object of {count} members in {len(self._data)} bytes")
        traits = bool(head & 4), [self._string() for _ in range(count)]
        self._traits.append(traits)
        return traits

    def _members(self, depth: int) -> dict[str, Value]:
        members: dict[str, Value] = {}
        while name := self._string():
            members[name] = self.value(depth + 1)
        return members

    def _string(self) -> str:
        head = self._u29()
        if not head & 1:
            if head >> 1 >= len(self._strings):
                raise WireError("AMF", "a reference to a string that is not there")
            return self._strings[head >> 1]
        text = self._take(head >> 1).decode("utf-8", "replace")
        if text:
            self._strings.append(text)
        return text

    def _u29(self) -> int:
        number = 0
        for place in range(4):
            byte = self._take(1)[0]
            if place == 3:
                return number << 8 | byte
            number = number << 7 | byte & 0x7F
            if not byte & 0x80:
                return number
        raise AssertionError

    def _take(self, size: int) -> bytes:
        taken = self._data[self.position : self.position + size]
        if len(taken) < size:
            raise WireError("AMF", "cut off")
        self.position += size
        return taken

"""What RTMP's messages say: commands, data, and the numbers of the protocol (5.4, 6.2, 7.1)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from math import isfinite
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError
from arclyd.protocols.rtmp import amf0
from arclyd.protocols.rtmp.chunks import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.protocols.rtmp.amf3 import Value


class Type(IntEnum):
    """Types of messages."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_SIZE = 5
    PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20
    AGGREGATE = 22


class Control(IntEnum):
    """Events of user control messages (7.1.7)."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    PING_REQUEST = 6
    PING_RESPONSE = 7


DYNAMIC: Final = 2
"""Limit type of Set Peer Bandwidth (5.4.5): the peer may take it as it likes."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command (7.1.1): its name, its transaction (0: no answer is wanted), what follows, and its message stream."""

    name: str
    transaction: float
    values: tuple[Value, ...]
    stream: int = 0

    def object(self, place: int = 0) -> Mapping[str, Value]:
        """The value at ``place`` where that is an object; else an empty one."""
        value = self.values[place] if len(self.values) > place else None
        return value if isinstance(value, Mapping) else {}

    def text(self, place: int) -> str:
        """The value at ``place`` where that is text; else an empty one."""
        value = self.values[place] if len(self.values) > place else None
        return value if isinstance(value, str) else ""

    def number(self, place: int) -> float | None:
        """The value at ``place`` where that is a number that can be one of anything: finite."""
        value = self.values[place] if len(self.values) > place else None
        return value if isinstance(value, float) and isfinite(value) else None

    def serialize(self) -> Message:
        """The command as a message."""
        return Message(Type.COMMAND, self.stream, 0, amf0.encode(self.name, self.transaction, *self.values))


@dataclass(frozen=True, slots=True)
class Data:
    """A data message (7.1.2): its name and what follows."""

    name: str
    values: tuple[Value, ...]
    timestamp: int = 0

    def serialize(self, stream: int) -> Message:
        """As a message of that message stream."""
        return Message(Type.DATA, stream, self.timestamp, amf0.encode(self.name, *self.values))


def read_command(message: Message) -> Command:
    """The command in a message. Raises `WireError`."""
    values = amf0.decode(_amf0_of(message, Type.COMMAND_AMF3))
    if not values or not isinstance(values[0], str):
        raise WireError("RTMP", "a command without a name")
    number = values[1] if len(values) > 1 and isinstance(values[1], float) else 0.0
    return Command(values[0], number, tuple(values[2:]), message.stream)


def read_data(message: Message) -> Data:
    """The data in a message, what was said to be set (``@setDataFrame``) by its own name. Raises `WireError`."""
    values = amf0.decode(_amf0_of(message, Type.DATA_AMF3))
    if values and values[0] == "@setDataFrame":
        values = values[1:]
    if not values or not isinstance(values[0], str):
        raise WireError("RTMP", "data without a name")
    return Data(values[0], tuple(values[1:]), message.timestamp)


def _amf0_of(message: Message, with_byte: Type) -> bytes:
    """The values of a message; those of the AMF 3 types have a byte before them and are AMF 0 all the same."""
    raw = bytes(message.payload)
    return raw[1:] if message.type == with_byte and raw[:1] == b"\0" else raw


def number(type: Type, value: int) -> Message:
    """A protocol control message of one 32-bit number (5.4)."""
    return Message(type, 0, 0, struct.pack(">I", value))


def peer_bandwidth(value: int) -> Message:
    """Set Peer Bandwidth (5.4.5), dynamic."""
    return Message(Type.PEER_BANDWIDTH, 0, 0, struct.pack(">IB", value, DYNAMIC))


def user_control(event: Control, value: int) -> Message:
    """A user control message about one number: a message stream, or a time."""
    return Message(Type.USER_CONTROL, 0, 0, struct.pack(">HI", event, value))


def u32(message: Message, at: int = 0) -> int:
    """The number in a message. Raises `WireError`."""
    if len(message.payload) < at + 4:
        raise WireError("RTMP", f"a message of type {message.type} with {len(message.payload)} bytes")
    return int.from_bytes(message.payload[at : at + 4], "big")


def iter_aggregate(message: Message) -> Iterator[Message]:
    """The messages in an aggregate (7.1.6), each as FLV tags are, their times shifted to the aggregate's."""
    view = memoryview(message.payload)
    shift: int | None = None
    while len(view) >= 11:
        size = int.from_bytes(view[1:4], "big")
        timestamp = int.from_bytes(view[4:7], "big") | view[7] << 24
        shift = message.timestamp - timestamp if shift is None else shift
        if len(view) < 11 + size:
            raise WireError("RTMP", "an aggregate that is cut off")
        yield Message(view[0], message.stream, (timestamp + shift) & 0xFFFF_FFFF, view[11 : 11 + size])
        view = view[11 + size + 4 :]

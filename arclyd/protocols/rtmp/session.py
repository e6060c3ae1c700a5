"""What both sides of an RTMP connection have in common: handshake, control messages, acknowledgements, sending."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Final

from arclyd.protocols.rtmp import messages
from arclyd.protocols.rtmp.chunks import ChunkReader, ChunkWriter, Message, MessageLimits
from arclyd.protocols.rtmp.messages import Command, Control, Data, Type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.protocols.rtmp.handshake import Handshake

CHUNK_SIZE: Final = 65_536
"""Of what is sent, and by example of what FFmpeg sends: few headers, and sound waits for half a second at 1 Mb/s."""

WINDOW: Final = 2_500_000
"""Bytes after which the other side is to acknowledge, and which it is taken to mean until it says its own."""

_CONTROL_CHUNKS: Final = 2
_COMMAND_CHUNKS: Final = 3
_STATUS_CHUNKS: Final = 5
_CHUNKS: Final = {Type.AUDIO: 4, Type.VIDEO: 6, Type.DATA: 5}
_MEDIA: Final = frozenset((int(Type.AUDIO), int(Type.VIDEO)))


class Session(ABC):
    """One side of a connection. `receive` bytes and look at the events; send what `data_to_send` gives.

    An event is a `Message` of audio or video, `Data`, or what the side's own class adds.
    """

    def __init__(self, handshake: Handshake, limits: MessageLimits | None = None) -> None:
        self._handshake = handshake
        self._reader = ChunkReader(limits)
        self._writer = ChunkWriter()
        self._out: list[bytes] = []
        self._received = self._acknowledged = 0
        self._window = WINDOW

    @property
    def held(self) -> int:
        """Bytes kept of messages that are not complete."""
        return self._reader.held

    def receive(self, data: bytes) -> Iterator[object]:
        """Events out of ``data``; to be iterated to the end before more is received. Raises `WireError`."""
        if not self._handshake.done:
            self._out.append(self._handshake.receive(data))
            if not self._handshake.done:
                return
            data = self._handshake.rest
            self.begin()
        self._received += len(data)
        if self._received - self._acknowledged >= self._window >> 1:
            self._acknowledged = self._received
            self._control(messages.number(Type.ACKNOWLEDGEMENT, self._received & 0xFFFF_FFFF))
        for message in self._reader.receive(data):
            if message.type in _MEDIA:
                yield message
            else:
                yield from self._other(message)

    def begin(self) -> None:  # noqa: B027 - a server has nothing to say first
        """The handshake is over."""

    @abstractmethod
    def command(self, command: Command) -> Iterator[object]:
        """Answer a command, and make events of it."""

    def data_to_send(self) -> bytes:
        """What is to be sent; it is handed out once."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def send_media(self, type: Type, stream: int, timestamp: int, payload: bytes | memoryview) -> None:
        """Queue one message of audio, video or data."""
        message = Message(type, stream, timestamp, payload)
        self._out.append(self._writer.serialize(_CHUNKS[type], message))

    def send_data(self, stream: int, data: Data) -> None:
        """Queue a data message."""
        self._out.append(self._writer.serialize(_CHUNKS[Type.DATA], data.serialize(stream)))

    def ping(self, now_ms: int) -> None:
        """Queue a ping: the other side answers it, if it lives."""
        self._control(messages.user_control(Control.PING_REQUEST, now_ms & 0xFFFF_FFFF))

    def _other(self, message: Message) -> Iterator[object]:
        if message.type in (Type.COMMAND, Type.COMMAND_AMF3):
            yield from self.command(messages.read_command(message))
        elif message.type in (Type.DATA, Type.DATA_AMF3):
            yield messages.read_data(message)
        elif message.type == Type.AGGREGATE:
            yield from (part for part in messages.iter_aggregate(message) if part.type in _MEDIA)
        elif message.type == Type.WINDOW_SIZE:
            self._window = max(2, messages.u32(message))
        elif message.type == Type.PEER_BANDWIDTH:
            self._control(messages.number(Type.WINDOW_SIZE, messages.u32(message)))
        elif message.type == Type.USER_CONTROL:
            self._user_control(message)

    def _user_control(self, message: Message) -> None:
        if bytes(message.payload[:2]) == struct.pack(">H", Control.PING_REQUEST):
            self._control(messages.user_control(Control.PING_RESPONSE, messages.u32(message, 2)))

    def _control(self, message: Message) -> None:
        self._out.append(self._writer.serialize(_CONTROL_CHUNKS, message))

    def _say(self, command: Command) -> None:
        chunks = _STATUS_CHUNKS if command.stream else _COMMAND_CHUNKS
        self._out.append(self._writer.serialize(chunks, command.serialize()))

    def _set_chunk_size(self, size: int) -> None:
        self._control(messages.number(Type.SET_CHUNK_SIZE, size))
        self._writer.size = size

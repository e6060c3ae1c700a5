"""Chunks (RTMP 1.0, 5.3): messages cut into pieces that interleave, out of any split of the bytes and back.

The reader does little for each chunk and nothing for each byte: a message that lies in one piece is a view of what was
received, and a run of small chunks of one message is checked and joined by three slices.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_CHUNK: Final = 128
"""Bytes of a chunk until it is told otherwise (5.4.1)."""

MAX_CHUNK: Final = (1 << 24) - 1
"""A chunk is no longer than a message (5.4.1)."""

ESCAPE: Final = 0xFF_FFFF
"""In place of a timestamp: it follows in 32 bits (5.3.1.3)."""

MAX_STREAMS: Final = 64
"""Chunk streams of one connection; encoders use three to eight."""

SET_CHUNK_SIZE: Final = 1
ABORT: Final = 2

_U32: Final = 0xFFFF_FFFF
_BODIES: Final = (11, 7, 3, 0)
"""Bytes of the message header by format (5.3.1.2)."""


@dataclass(slots=True)
class Message:
    """One message: its type, the message stream it belongs to, milliseconds modulo 2**32, and what it says."""

    type: int
    stream: int
    timestamp: int
    payload: bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """Largest message in bytes: of video (type 9), of audio (type 8), of anything else."""

    video: int = 8 << 20
    audio: int = 1 << 20
    other: int = 128 << 10

    def of(self, type: int) -> int:
        """The limit of messages of that type."""
        return self.video if type == 9 else self.audio if type == 8 else self.other

    @property
    def together(self) -> int:
        """Of all the messages that may be on their way at once."""
        return self.video + self.audio + self.other


class _Stream:
    """What is remembered of a chunk stream: the last header, and the message on its way."""

    __slots__ = ("body", "delta", "escaped", "field", "length", "missing", "stream", "timestamp", "type")

    def __init__(self) -> None:
        self.timestamp = self.delta = self.field = self.length = self.type = self.stream = 0
        self.escaped = False
        self.body: bytearray | None = None
        self.missing = 0


class ChunkReader:
    """Messages out of bytes. Set Chunk Size and Abort are obeyed here, and handed out like all others.

    Raises:
        WireError: from `receive`, for what is no chunk, or is more than ``limits`` allow.
    """

    def __init__(self, limits: MessageLimits | None = None) -> None:
        self.limits = limits or MessageLimits()
        """Of messages that begin from now on."""
        self._size = DEFAULT_CHUNK
        self._streams: dict[int, _Stream] = {}
        self._rest = b""
        self._id = 0
        self._current: _Stream | None = None
        self._left = 0
        self._announced = 0

    @property
    def held(self) -> int:
        """Bytes of messages that are not complete yet."""
        return len(self._rest) + sum(len(stream.body) for stream in self._streams.values() if stream.body)

    def receive(self, data: bytes) -> Iterator[Message]:
        """The messages that ``data`` completes. It has to be iterated to its end before more is received."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        view = memoryview(data)
        position, end = 0, len(data)
        while position < end or (self._current is not None and not self._current.missing):  # that one: empty
            if self._current is None:
                start = self._header(data, position, end)
                if start < 0:
                    self._rest = data[position:]
                    return
                position = start
            stream = self._current
            assert stream is not None
            if stream.body is None and stream.missing <= self._left and end - position >= stream.missing:
                payload: bytearray | memoryview = view[position : position + stream.missing]
                position += stream.missing
            else:
                position = self._collect(stream, view, position)
                if stream.missing:
                    continue
                assert stream.body is not None
                payload = stream.body
            yield self._complete(stream, payload)

    def _complete(self, stream: _Stream, payload: bytearray | memoryview) -> Message:
        self._current = None
        stream.body, stream.missing = None, 0
        self._announced -= stream.length
        message = Message(stream.type, stream.stream, stream.timestamp, payload)
        if stream.type == SET_CHUNK_SIZE:
            self._size = _chunk_size(payload)
        elif stream.type == ABORT:
            self._abort(payload)
        return message

    def _collect(self, stream: _Stream, view: memoryview, position: int) -> int:
        """Take what there is of the current chunk, and of those right after it that go on with the message."""
        if stream.body is None:
            stream.body = bytearray()
        piece = view[position : position + self._left]
        stream.body += piece
        taken = len(piece)
        stream.missing -= taken
        self._left -= taken
        position += taken
        if self._left == 0:
            self._current = None
            if stream.missing > self._size and not stream.escaped and self._id < 64:
                position = self._run(stream, view, position)
        return position

    def _run(self, stream: _Stream, view: memoryview, position: int) -> int:
        """Take a run of whole chunks of one message at once; each has one byte of header."""
        step = self._size + 1
        most = min((stream.missing - 1) // self._size, (len(view) - position) // step)
        if most < 1:
            return position
        header = bytes((0xC0 | self._id,))
        headers = bytes(view[position : position + most * step : step])
        count = most - len(headers.lstrip(header))
        if count < 1:
            return position
        run = bytearray(view[position : position + count * step])
        del run[::step]
        assert stream.body is not None
        stream.body += run
        stream.missing -= count * self._size
        return position + count * step

    def _header(self, data: bytes, position: int, end: int) -> int:
        """Read a chunk's header; returns where its bytes start, or -1: the header is not all there."""
        first = data[position]
        kind, number = first >> 6, first & 0x3F
        position += 1
        if number < 2:  # 5.3.1.1: one or two more bytes
            size = number + 1
            if end - position < size:
                return -1
            number = 64 + int.from_bytes(data[position : position + size], "little")
            position += size
        if end - position < _BODIES[kind]:
            return -1
        stream = self._streams.get(number)
        if stream is None:
            stream = self._open(number, kind)
        position = self._same(stream, data, position) if kind == 3 else self._other(stream, kind, data, position)
        if position < 0:
            return -1
        self._id = number
        self._current = stream
        self._left = min(self._size, stream.missing)
        return position

    def _other(self, stream: _Stream, kind: int, data: bytes, position: int) -> int:
        """Read a header of type 0, 1 or 2 at ``position``: a message begins."""
        need = _BODIES[kind]
        field = int.from_bytes(data[position : position + 3], "big")
        escaped = field == ESCAPE
        if escaped:
            if len(data) - position < need + 4:
                return -1
            field = int.from_bytes(data[position + need : position + need + 4], "big")
        if stream.body is not None:
            self._drop(stream)  # the message before is not over: it is given up
        if kind == 0:
            stream.timestamp = field
            stream.stream = int.from_bytes(data[position + 7 : position + 11], "little")
        else:
            stream.timestamp = (stream.timestamp + field) & _U32
        stream.delta = field  # after type 0, too: a type 3 header repeats it (5.3.1.2.4)
        if kind < 2:
            stream.length = int.from_bytes(data[position + 3 : position + 6], "big")
            stream.type = data[position + 6]
        stream.escaped, stream.field = escaped, field
        self._begin(stream)
        return position + need + 4 * escaped

    def _same(self, stream: _Stream, data: bytes, position: int) -> int:
        """Read what may follow a header of type 3: a message goes on, or begins as the one before did."""
        if stream.escaped:
            if len(data) - position < 4:
                return -1
            # Some senders leave it out of a chunk that only goes on with a message.
            if int.from_bytes(data[position : position + 4], "big") == stream.field:
                position += 4
        if stream.body is None:
            stream.timestamp = (stream.timestamp + stream.delta) & _U32
            self._begin(stream)
        return position

    def _open(self, number: int, kind: int) -> _Stream:
        if kind > 1:  # 1 is how some encoders start (librtmp), on message stream 0
            raise WireError("RTMP", f"chunk stream {number} starts with a header of type {kind}")
        if len(self._streams) >= MAX_STREAMS:
            raise WireError("RTMP", f"more than {MAX_STREAMS} chunk streams")
        stream = self._streams[number] = _Stream()
        return stream

    def _begin(self, stream: _Stream) -> None:
        limit = self.limits.of(stream.type)
        if stream.length > limit:
            raise WireError("RTMP", f"a message of {stream.length} bytes of type {stream.type}, the limit is {limit}")
        stream.missing = stream.length
        self._announced += stream.length
        if self._announced > self.limits.together:
            raise WireError("RTMP", f"{self._announced} bytes of messages begun and not ended")

    def _drop(self, stream: _Stream) -> None:
        self._announced -= stream.length
        stream.body, stream.missing = None, 0

    def _abort(self, payload: bytearray | memoryview) -> None:
        stream = self._streams.get(int.from_bytes(payload[:4], "big"))
        if stream is not None and stream.body is not None:
            self._drop(stream)


def _chunk_size(payload: bytearray | memoryview) -> int:
    size = int.from_bytes(payload[:4], "big")
    if len(payload) < 4 or not 1 <= size < 1 << 31:
        raise WireError("RTMP", f"a chunk size of {size}")
    return min(size, MAX_CHUNK)


class ChunkWriter:
    """Bytes out of messages, each on the chunk stream it is given; `size` may be changed between two of them."""

    def __init__(self) -> None:
        self.size = DEFAULT_CHUNK
        self._last: dict[int, tuple[int, int]] = {}

    def serialize(self, id: int, message: Message) -> bytes:
        """``message`` in chunks of chunk stream ``id``, 2 to 63."""
        stream, before = self._last.get(id, (-1, 0))
        delta = message.timestamp - before
        self._last[id] = (message.stream, message.timestamp)
        whole = stream != message.stream or not 0 <= delta < ESCAPE
        time = message.timestamp & _U32 if whole else delta
        extended = struct.pack(">I", time) if time >= ESCAPE else b""
        field = struct.pack(">I", min(time, ESCAPE))[1:]
        head = field + struct.pack(">I", len(message.payload) << 8 | message.type)[:4]
        first = bytes((id,)) + head + struct.pack("<I", message.stream) if whole else bytes((0x40 | id,)) + head
        return self._cut(first + extended, bytes((0xC0 | id,)) + extended, message.payload)

    def _cut(self, first: bytes, other: bytes, payload: bytes | bytearray | memoryview) -> bytes:
        size = self.size
        if len(payload) <= size:
            return first + bytes(payload)
        pieces = [first, payload[:size]]
        for at in range(size, len(payload), size):
            pieces += (other, payload[at : at + size])
        return b"".join(pieces)

"""RTMP as a hostile encoder speaks it: the session, its messages and what is in their tags, out of a fuzzer's bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import TrackKind
from arclyd.protocols.rtmp.chunks import ChunkWriter, Message, MessageLimits
from arclyd.protocols.rtmp.messages import Command, Data, Type
from arclyd.protocols.rtmp.server import Connect, Play, Publish, ServerSession
from tests.fuzz import shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.ingest.flv.intake import Intake
    from arclyd.ingest.mpegts.body import Body
    from arclyd.protocols.rtmp.amf3 import Value
    from tests.fuzz.source import Source

LIMITS: Final = MessageLimits(1 << 16, 1 << 14, 1 << 13)
MOST_MESSAGES: Final = 40
_NAMES: Final = (
    "connect", "createStream", "publish", "play", "deleteStream", "closeStream", "releaseStream", "FCPublish",
    "FCUnpublish", "getStreamLength", "_checkbw", "pause", "onStatus", "_result", "coffee",
)  # fmt: skip
_TYPES: Final = (*map(int, Type), 0, 7, 16, 255)
_TAGS: Final = (
    b"\x17\x00", b"\x17\x01", b"\x27\x01", b"\xaf\x00", b"\xaf\x01", b"\x90hvc1", b"\x91hvc1", b"\x96\x11av01",
    b"\x97\x02\x00\x00\x01\x01", b"\x94colr", b"\x90Opus", b"\x95\x21mp4a", b"\x2f", b"",
)  # fmt: skip


def encoder(source: Source) -> Iterator[bytes]:
    """What it sends after the handshake."""
    writer = ChunkWriter()
    for _ in range(MOST_MESSAGES):
        if source.is_empty:
            return
        if source.chance(8):
            writer.size = 1 + source.integer(2)
        data = bytearray(writer.serialize(2 + source.integer() % 62, _message(source)))
        if source.chance(40):  # a byte flipped
            data[source.integer(2) % len(data)] ^= source.integer() or 1
        if source.chance(16):  # cut off
            del data[source.integer(2) % len(data) :]
        yield bytes(data)
        if source.chance(8):
            yield source.bytes(source.integer())


def _message(source: Source) -> Message:
    stream, at = source.integer() % 3, source.integer(4)
    if source.chance(96):
        values = [_value(source, 0) for _ in range(source.integer() % 4)]
        return Command(source.choice(_NAMES), float(source.integer() % 8), tuple(values), stream).serialize()
    if source.chance(128):
        body = source.choice(_TAGS) + source.bytes(source.integer())
        return Message(source.choice((Type.VIDEO, Type.AUDIO)), stream, at, body)
    if source.chance(32):
        return Message(source.choice(_TYPES), stream, at, bytes(source.choice(shapes.NUMBERS) % (1 << 17)))
    return Message(source.choice(_TYPES), stream, at, source.bytes(source.integer()))


def _value(source: Source, depth: int) -> Value:
    kind = source.integer() % 8
    if kind == 0 and depth < 20:
        return {source.choice(_FIELDS): _value(source, depth + 1) for _ in range(source.integer() % 5)}
    if kind == 1 and depth < 20:
        return [_value(source, depth + 1) for _ in range(source.integer() % 5)]
    number = source.integer(2)
    if number > 0xFF00:
        return _NUMBERS[number % len(_NUMBERS)]
    return (None, True, float(number), source.bytes(source.integer() % 40).decode("latin-1"))[kind % 4]


_NUMBERS: Final = (float("nan"), float("inf"), -float("inf"), -1.0, 1e300)
_FIELDS: Final = ("app", "tcUrl", "fourCcList", "objectEncoding", "width", "videocodecid", "x", "")


def session(server: ServerSession, intake: Intake, piece: bytes) -> int:
    """Have the server's side take ``piece`` and grant what is asked for; the number of events. Raises `WireError`."""
    count = 0
    for event in server.receive(piece):
        count += 1
        if isinstance(event, Connect):
            server.accept_connect()
        elif isinstance(event, Publish):
            server.accept_publish(event)
        elif isinstance(event, Play):
            server.accept_play(event)
        elif isinstance(event, Message):
            kind = TrackKind.VIDEO if event.type == Type.VIDEO else TrackKind.AUDIO
            intake.receive(kind, event.timestamp, event.payload)
            if intake.wants_claim:
                claim(intake)
        elif isinstance(event, Data):
            intake.data([event.name, *event.values])
            assert intake.news()
    server.data_to_send()
    assert server.held <= LIMITS.together + (1 << 17)
    return count


class _Nobody:
    """A publisher that publishes nothing."""

    def publish(self, track: int, payload: memoryview, *, pts: int, dts: int, **facts: bool) -> int:
        assert 0 <= track < 16
        assert len(payload)
        assert pts >= dts
        return 0

    def set_config(self, track: int, config: bytes, *, width: int, height: int) -> int:
        return 1

    def interrupt(self) -> None:
        pass


def claim(intake: Intake | Body) -> None:
    """Grant what it wants, if it can say what that is."""
    try:
        tracks = intake.tracks()
    except MediaError:
        return
    assert 1 <= len(tracks) <= 16
    intake.begin(_Nobody())  # type: ignore[arg-type]

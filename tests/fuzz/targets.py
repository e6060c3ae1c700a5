"""What is fuzzed in this process: each target takes a fuzzer's bytes and raises on what must not be.

A target says which errors are an answer; any other exception, a hang or a crash is a finding.
"""

from __future__ import annotations

import contextlib
import struct
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Final

from arclyd.control import wire
from arclyd.control.connection import (
    MAX_OUTSTANDING,
    Answer,
    ClientConnection,
    Greeted,
    HelloReceived,
    Refusal,
    RequestReceived,
    ServerConnection,
)
from arclyd.control.keys import parse_key
from arclyd.control.messages import (
    REQUESTS,
    GetEvents,
    GetHealth,
    GetInfo,
    GetVersion,
    Hello,
    ListStreams,
    Ok,
    Order,
    Subscribe,
)
from arclyd.control.reports import Event
from arclyd.daemon import config
from arclyd.errors import ArclydError, ConfigError, InvalidKey, MediaError, ProtocolError, WireError
from arclyd.ingest import limits as ingest_limits
from arclyd.ingest.flv.intake import Intake
from arclyd.ingest.mpegts.body import Body
from arclyd.media.codecs import CodecId, aac, annexb, av1, h264, h265, opus
from arclyd.media.codecs.describe import describe_config
from arclyd.media.formats.mpegts.demuxer import Demuxer, Limits, Program
from arclyd.media.formats.mpegts.framers import framer_of
from arclyd.protocols.rtmp.server import ServerSession
from arclyd.protocols.rtsp.messages import MOST_BODY, MOST_HEAD
from tests.fuzz import rtmp, rtsp, shapes
from tests.fuzz.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_MESSAGES: Final = 24
_LENGTH: Final = struct.Struct(">I")


def _messages(source: Source, body: Callable[[Source, int], bytes]) -> Iterator[bytes]:
    """Framed messages, some of garbage, some with a length that lies."""
    number = 1
    while not source.is_empty and number < MOST_MESSAGES:
        number += 1
        message = source.bytes(source.integer()) if source.chance(16) else body(source, number)
        length = len(message) + (source.choice(shapes.NUMBERS) if source.chance(8) else 0)
        yield _LENGTH.pack(length % (1 << 32)) + message


def _pieces(stream: bytes, cut: int) -> Iterator[bytes]:
    """The bytes as they may arrive: whole, in pieces, and byte by byte where they are few."""
    wanted = (len(stream), 1 + len(stream) // 64, 1, 3, 7, 1000)[cut % 6]
    size = max(wanted, 1 + len(stream) // 256)
    for at in range(0, len(stream), size):
        yield stream[at : at + size]


def to_daemon(data: bytes) -> int:
    """The daemon's side of a control connection: only `ProtocolError` ends it, and its refusal is queued then."""
    source = Source(data)
    cut, count, server = source.integer(), 0, None
    for message in _messages(source, shapes.request):
        server = server or _greeted(polite=not source.chance(16))
        count += 1
        try:
            for piece in _pieces(message, cut):
                server.receive_data(piece)
                _serve(server, source)
        except ProtocolError as error:
            _has_a_sentence(error)
            _drain(server)
            server = None
    if server is not None:
        _drain(server)
    return count


def _greeted(*, polite: bool) -> ServerConnection:
    server = ServerConnection("0", "fuzz")
    if polite:
        server.receive_data(wire.encode_request(1, Hello(1, name="fuzz")))
        assert isinstance(server.next_event(), HelloReceived)
    return server


def _serve(server: ServerConnection, source: Source) -> None:
    while (event := server.next_event()) is not None:
        if isinstance(event, HelloReceived):
            continue
        assert isinstance(event, RequestReceived)
        assert type(event.request) in REQUESTS.values()
        if not source.chance(64):  # else it is left unanswered
            server.send_reply(event.id, Ok())
    assert server.outstanding <= MAX_OUTSTANDING


def _drain(server: ServerConnection) -> None:
    """What the daemon said is fit for a client, and nothing is left of it."""
    deframer = wire.Deframer(wire.MAX_REPLY)
    while (out := server.next_to_send()) is not None:
        deframer.receive_data(out.data)
    while (body := deframer.next_body()) is not None:
        assert isinstance(wire.decode_from_daemon(body), wire.Reply | wire.Failure)
    assert deframer.pending == 0
    assert server.drop_fds() == []
    assert server.queued_bytes == 0


def from_daemon(data: bytes) -> int:
    """The client's side: whatever the daemon says, an event of the connection or a `ProtocolError`."""
    source = Source(data)
    cut, count, client = source.integer(), 0, None
    for message in _messages(source, lambda drawn, _number: shapes.from_daemon(drawn)):
        client = client or _asking(source)
        count += 1
        try:
            for piece in _pieces(message, cut):
                client.receive_data(piece, (7,) if source.chance(20) else ())
                while (event := client.next_event()) is not None:
                    assert isinstance(event, Greeted | Answer | Refusal | Event | Order)
                    _told(event)
        except ProtocolError as error:
            _has_a_sentence(error)
            client = None
    return count


def _asking(source: Source) -> ClientConnection:
    client = ClientConnection(name="fuzz")
    for _ in range(4):
        client.send_request(source.choice(_ASKED))
    return client


def _has_a_sentence(error: ArclydError, with_: str = "") -> None:
    assert str(error)
    assert with_ in str(error)


def _told(event: object) -> None:
    if isinstance(event, Refusal):
        assert isinstance(event.error, ArclydError)
        assert isinstance(str(event.error), str)
        assert isinstance(event.error.exit_code, int)


_ASKED: Final = (GetVersion(), ListStreams(), GetInfo("live/fuzz"), GetEvents(), Subscribe("live/fuzz"), GetHealth())


def config_file(data: bytes) -> int:
    """The configuration file: a `Config` within its bounds, or a `ConfigError` whose sentence names the place."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return 0
    try:
        said = config.parse(text, "fuzz.toml")
    except ConfigError as error:
        _has_a_sentence(error, "fuzz.toml")
        return 1
    for app in (said.default, *said.apps.values()):
        assert config.MIN_RING <= app.ring_bytes <= config.MAX_RING
        assert 0 <= app.gop_bytes < 1 << 63
        assert 0 <= max(app.gop_frames, app.gop_ms) < 1 << 32
        assert 0 <= (app.max_lag or 0) < 1 << 63
        assert 0 <= app.grace <= 1e9
        assert 0 <= app.idle_timeout <= 1e9
    assert 0 <= said.memory_budget < 1 << 63
    assert 1 <= said.max_connections < 1 << 63
    assert 1 <= said.max_publishers < 1 << 63
    return 1


def key(data: bytes) -> int:
    """A stream key: two parts that are safe as file names, or `InvalidKey`."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        app, name = parse_key(text)
    except InvalidKey as error:
        _has_a_sentence(error)
        return 1
    assert f"{app}/{name}" == text
    assert text.isascii()
    for part in (app, *name.split("~")):
        assert 1 <= len(part) <= 64
        assert not part.startswith(".")
        assert not set(part) - set(ascii_letters + digits + "._-")
    return 1


def media(data: bytes) -> int:
    """Every parser of codec bytes: a `MediaError` or an answer."""
    parse = _PARSERS[data[0] % len(_PARSERS)] if data else h264.parse_sps
    try:
        parse(data[1:])
    except MediaError as error:
        _has_a_sentence(error)
    return 1


_PARSERS: Final[tuple[Callable[[bytes], object], ...]] = (
    h264.AvcConfig.parse,
    h264.parse_sps,
    h264.is_keyframe,
    h264.config_from_annexb,
    h265.HevcConfig.parse,
    h265.parse_sps,
    h265.is_keyframe,
    h265.config_from_annexb,
    av1.Av1Config.parse,
    lambda data: av1.Av1Config.parse(data).sequence_header(),
    av1.parse_sequence_header,
    lambda data: list(av1.iter_obus(data)),
    av1.is_keyframe,
    av1.build_config,
    aac.AudioConfig.parse,
    aac.AdtsHeader.parse,
    lambda data: list(aac.iter_adts(data)),
    opus.OpusHead.parse,
    opus.packet_samples,
    annexb.split_annexb,
    annexb.split_length_prefixed,
    lambda data: describe_config(tuple(CodecId)[data[0] % len(CodecId)], data[1:]) if data else None,
)


def transport_stream(data: bytes) -> int:
    """Bytes as a network delivers them: anything is skipped, counted or given on, and nothing is kept for long."""
    demuxer, framers, count = Demuxer(limits=Limits(4096, 4096, 4096)), {}, 1
    for piece in _pieces(data, len(data)):
        for event in demuxer.receive(piece):
            count += 1
            if isinstance(event, Program):
                framers = {each.pid: framer_of(each) for each in event.streams}
                continue
            assert len(event.payload) <= 4096
            with contextlib.suppress(MediaError):
                count += len(list(framers[event.pid].push(event)))
    demuxer.finish()
    return count


def rtmp_encoder(data: bytes) -> int:
    """An RTMP connection: only `WireError` ends it, and nothing is kept beyond the limits."""
    source = Source(data)
    cut, count = source.integer(), 0
    server, intake = ServerSession(rtmp.LIMITS), Intake()
    list(server.receive(b"\x03" + bytes(1536) + bytes(1536)))
    for message in rtmp.encoder(source):
        try:
            for piece in _pieces(message, cut):
                count += rtmp.session(server, intake, piece)
        except WireError as error:
            _has_a_sentence(error)
            return count + 1
    return max(1, count)


def upload(data: bytes) -> int:
    """The body of a request, a transport stream or FLV: a `MediaError` or `WireError` ends it, little is kept."""
    body, count = Body(None, ingest_limits.Limits(video=4096, audio=4096)), 1
    try:
        for piece in _pieces(data, len(data)):
            body.receive(piece)
            count += 1
            if body.wants_claim:
                rtmp.claim(body)
        body.finish()
    except (MediaError, WireError) as error:
        _has_a_sentence(error)
    assert body.news()["ingest_protocol"]
    return count


def rtsp_encoder(data: bytes) -> int:
    """An RTSP connection, and the packets of a stream: only `WireError` ends them, and little is kept."""
    source = Source(data)
    cut, count = source.integer(), 1
    server = rtsp.ServerSession()
    with contextlib.suppress(WireError):
        for _ in range(source.integer() % 12):
            for piece in _pieces(rtsp.request(source), cut):
                count += rtsp.session(server, piece)
                assert server.held <= MOST_HEAD + MOST_BODY + len(piece)
    with contextlib.suppress(WireError):
        count += rtsp.stream(source)
    return count


TARGETS: Final[dict[str, Callable[[bytes], int]]] = {
    "to_daemon": to_daemon,
    "from_daemon": from_daemon,
    "config_file": config_file,
    "key": key,
    "media": media,
    "transport_stream": transport_stream,
    "rtmp_encoder": rtmp_encoder,
    "rtsp_encoder": rtsp_encoder,
    "upload": upload,
}
"""Every target by its name, which is also its corpus's folder; it returns how much it was fed: messages, files …"""

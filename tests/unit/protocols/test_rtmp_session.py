"""Both sides of a connection, spoken to each other and by hand."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import pytest

from arclyd.errors import WireError
from arclyd.protocols.rtmp import amf0, handshake
from arclyd.protocols.rtmp.address import Address, asked_for
from arclyd.protocols.rtmp.chunks import ChunkReader, ChunkWriter, Message, MessageLimits
from arclyd.protocols.rtmp.client import ClientSession, Over, Started
from arclyd.protocols.rtmp.messages import Command, Data, Type
from arclyd.protocols.rtmp.server import Closed, Connect, Play, Publish, ServerSession

if TYPE_CHECKING:
    from arclyd.protocols.rtmp.session import Session

ADDRESS = Address.parse("rtmp://host/live/cam1?token=x")


def exchange(client: ClientSession, server: ServerSession) -> tuple[list[object], list[object]]:
    """Let both speak until neither has more to say; what the server asks of us is granted."""
    told: tuple[list[object], list[object]] = [], []
    while True:
        to_server, to_client = client.data_to_send(), server.data_to_send()
        if not to_server and not to_client:
            return told
        for event in server.receive(to_server):
            told[1].append(kept(event))
            grant(server, event)
        told[0].extend(map(kept, client.receive(to_client)))


def kept(event: object) -> object:
    if isinstance(event, Message):
        return event.type, event.timestamp, bytes(event.payload)
    return event


def grant(server: ServerSession, event: object) -> None:
    if isinstance(event, Connect):
        server.accept_connect()
    elif isinstance(event, Publish):
        server.accept_publish(event)
    elif isinstance(event, Play):
        server.accept_play(event)


def connected(limits: MessageLimits | None = None) -> ServerSession:
    server = ServerSession(limits)
    greet(server)
    say(server, Command("connect", 1.0, ({"app": "live", "objectEncoding": 3.0},)))
    server.accept_connect()
    say(server, Command("createStream", 2.0, (None,)))
    return server


def greet(session: Session) -> None:
    list(session.receive(b"\x03" + bytes(1536)))
    list(session.receive(bytes(1536)))
    session.data_to_send()


def say(server: ServerSession, command: Command) -> list[object]:
    return list(server.receive(ChunkWriter().serialize(3, command.serialize())))


def answers(server: ServerSession) -> list[Message]:
    return [message for message in ChunkReader().receive(server.data_to_send()) if message.type == Type.COMMAND]


def test_publishing() -> None:
    client, server = ClientSession(ADDRESS, publishing=True), ServerSession()
    heard, asked = exchange(client, server)
    connect, publish = asked
    assert isinstance(connect, Connect)
    assert (connect.app, connect.url) == ("live", "rtmp://host/live")
    assert publish == Publish(1, "cam1?token=x")
    (started,) = heard
    assert isinstance(started, Started)
    assert {"hvc1", "av01", "Opus"} <= started.fourccs & connect.fourccs
    client.send_media(Type.VIDEO, started.stream, 40, b"picture" * 40_000)
    client.send_data(started.stream, Data("onMetaData", (amf0.Array(width=2.0),)))
    client.finish()
    _, asked = exchange(client, server)
    assert asked[:2] == [(9, 40, b"picture" * 40_000), Data("onMetaData", ({"width": 2.0},))]
    assert asked[-1] == Closed(1)


def test_playing() -> None:
    client, server = ClientSession(ADDRESS, publishing=False), ServerSession()
    heard, asked = exchange(client, server)
    assert asked[1] == Play(1, "cam1?token=x")
    assert isinstance(heard[0], Started)
    server.send_media(Type.AUDIO, 1, 20, b"sound")
    server.end_play(1)
    heard, _ = exchange(client, server)
    assert heard[0] == (8, 20, b"sound")
    assert [event.code for event in heard if isinstance(event, Over)] == [
        "NetStream.Play.UnpublishNotify",
        "NetStream.Play.Stop",
    ]


def test_a_refusal_says_what_the_server_said() -> None:
    client, server = ClientSession(ADDRESS, publishing=True), ServerSession()
    with pytest.raises(WireError, match=r"host/live refused: NetStream.Publish.BadName taken"):
        for _ in range(9):
            for event in server.receive(client.data_to_send()):
                if isinstance(event, Publish):
                    server.refuse(event.stream, "NetStream.Publish.BadName", "taken")
                else:
                    grant(server, event)
            list(client.receive(server.data_to_send()))


def test_a_refused_application_is_an_error() -> None:
    client, server = ClientSession(ADDRESS, publishing=True), ServerSession()
    list(server.receive(client.data_to_send()))
    list(client.receive(server.data_to_send()))
    list(server.receive(client.data_to_send()))
    told = {"level": "error", "code": "NetConnection.Connect.Rejected", "description": "no such application"}
    refusal = ChunkWriter().serialize(3, Command("_error", 1.0, (None, told)).serialize())
    with pytest.raises(WireError, match=r"NetConnection.Connect.Rejected no such application"):
        list(client.receive(refusal))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0, 1e300])
def test_numbers_that_are_none_are_nothing_to_stumble_over(number: float) -> None:
    server = connected()
    say(server, Command("deleteStream", number, (None, number)))
    client = ClientSession(ADDRESS, publishing=True)
    list(client.receive(b"\x03" + bytes(2 * 1536)))
    with pytest.raises(WireError, match="gives message stream"):
        list(client.receive(ChunkWriter().serialize(3, Command("_result", 4.0, (None, number)).serialize())))


def test_only_who_publishes_may_say_much() -> None:
    limits = MessageLimits(video=5000, audio=5000, other=1000)
    large = Message(Type.VIDEO, 1, 0, bytes(2000))
    with pytest.raises(WireError, match="the limit is 1000"):
        list(connected(limits).receive(ChunkWriter().serialize(6, large)))
    server = connected(limits)
    say(server, Command("publish", 5.0, (None, "cam1", "live"), 1))
    assert len(list(server.receive(ChunkWriter().serialize(6, large)))) == 1


def test_what_nobody_knows_gets_an_error_and_what_encoders_ask_for_a_result() -> None:
    server = connected()
    server.data_to_send()
    for name, answer in (("releaseStream", "_result"), ("_checkbw", "_result"), ("makeCoffee", "_error")):
        say(server, Command(name, 5.0, (None, "cam1")))
        assert [amf0.decode(bytes(message.payload))[:2] for message in answers(server)] == [[answer, 5.0]]


def test_commands_in_amf_3_are_read() -> None:
    server = connected()
    number = b"\x11\x05" + amf0.encode(7.0)[1:]  # avmplus-object: a double of AMF 3
    payload = b"\x00" + amf0.encode("publish", 0.0, None, "cam1") + number
    message = Message(Type.COMMAND_AMF3, 1, 0, payload)
    assert list(server.receive(ChunkWriter().serialize(3, message))) == [Publish(1, "cam1")]


@pytest.mark.parametrize("name", ["publish", "play", "createStream"])
def test_nothing_goes_before_connect(name: str) -> None:
    server = ServerSession()
    greet(server)
    with pytest.raises(WireError, match="before connect"):
        say(server, Command(name, 1.0, (None, "x"), 1))


def test_a_message_stream_has_to_be_created_and_there_are_few() -> None:
    server = connected()
    with pytest.raises(WireError, match="not created"):
        say(server, Command("publish", 0.0, (None, "x"), 2))
    with pytest.raises(WireError, match="message streams"):
        for _ in range(9):
            say(server, Command("createStream", 3.0, (None,)))


def test_what_was_received_is_acknowledged_and_pings_are_answered() -> None:
    server = connected()
    server.data_to_send()
    writer = ChunkWriter()
    list(server.receive(writer.serialize(2, Message(Type.WINDOW_SIZE, 0, 0, (1000).to_bytes(4, "big")))))
    list(server.receive(writer.serialize(4, Message(Type.AUDIO, 1, 0, bytes(1200)))))
    list(server.receive(writer.serialize(2, Message(Type.USER_CONTROL, 0, 0, b"\x00\x06\x01\x02\x03\x04"))))
    said = {message.type: bytes(message.payload) for message in ChunkReader().receive(server.data_to_send())}
    assert int.from_bytes(said[Type.ACKNOWLEDGEMENT], "big") > 1200
    assert said[Type.USER_CONTROL] == b"\x00\x07\x01\x02\x03\x04"


def test_a_server_that_is_shown_a_digest_answers_with_its_own() -> None:
    client = handshake.ClientHandshake()
    server = handshake.ServerHandshake()
    answer = server.receive(client.hello)
    s1, s2 = answer[1:1537], answer[1537:]
    assert handshake.find_digest(s1, b"Genuine Adobe Flash Media Server 001") is not None
    found = handshake.find_digest(client.hello[1:], b"Genuine Adobe Flash Player 001")
    assert found is not None
    key = b"Genuine Adobe Flash Media Server 001" + handshake._COMMON
    signature = hmac.new(hmac.new(key, found[1], hashlib.sha256).digest(), s2[:-32], hashlib.sha256).digest()
    assert s2[-32:] == signature
    server.receive(client.receive(answer) + b"more")
    assert server.done
    assert client.done
    assert server.rest == b"more"


def test_a_plain_client_gets_its_own_bytes_back() -> None:
    c1 = bytes(8) + b"noise" * 305 + b"end"
    server = handshake.ServerHandshake()
    answer = b"".join(server.receive(bytes((byte,))) for byte in b"\x03" + c1)
    assert answer[1537:] == c1
    with pytest.raises(WireError, match="version 6"):
        handshake.ServerHandshake().receive(b"\x06")


def test_an_aggregate_is_its_parts() -> None:
    server = connected()
    tags = b"".join(
        bytes((kind,)) + len(body).to_bytes(3, "big") + bytes((0, 0, time, 0, 0, 0, 0)) + body + bytes(4)
        for kind, time, body in ((9, 10, b"picture"), (8, 12, b"sound"))
    )
    events = server.receive(ChunkWriter().serialize(6, Message(Type.AGGREGATE, 1, 1000, tags)))
    assert [kept(event) for event in events] == [(9, 1000, b"picture"), (8, 1002, b"sound")]


def test_where_a_stream_is() -> None:
    assert asked_for("live", "cam1?user=a&pass=b%20c") == ("live/cam1", {"user": "a", "pass": "b c"})
    assert asked_for("live?token=1:2", "cam1") == ("live/cam1", {"token": "1:2"})
    assert asked_for("", "live/cam1") == ("live/cam1", {})
    assert asked_for("live/", "/cam1?" + "&".join("a=b" for _ in range(99))) == ("live/cam1", {})
    rtmps = Address.parse("rtmps://[::1]:444/a/b/name")
    assert (rtmps.host, rtmps.port, rtmps.app, rtmps.name, rtmps.tls) == ("::1", 444, "a/b", "name", True)
    assert rtmps.url == "rtmps://[::1]:444/a/b"
    assert str(Address.parse("rtmp://h/live/my-key?secret=s")) == "rtmp://h/live"
    assert "my-key" not in repr(Address.parse("rtmp://h/live/my-key"))
    for wrong in ("http://h/a/b", "rtmp://h/name", "rtmp:///a/b", "rtmp://h:x/a/b", "rtmp://[/a/b"):
        with pytest.raises(WireError):
            Address.parse(wrong)

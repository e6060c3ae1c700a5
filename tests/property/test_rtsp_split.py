"""RTSP, RTP and RTCP out of any split of the bytes, back to what was said; and garbage, refused and never kept."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from arclyd.errors import MediaError, WireError
from arclyd.media.codecs import CodecId
from arclyd.protocols import digest
from arclyd.protocols.rtp import rtcp
from arclyd.protocols.rtp.aac import AuHeaders, GenericDepacketizer, LatmDepacketizer
from arclyd.protocols.rtp.av1 import Av1Depacketizer
from arclyd.protocols.rtp.nal import NalDepacketizer
from arclyd.protocols.rtp.packet import RtpPacket
from arclyd.protocols.rtp.plain import MpegAudioDepacketizer, OpusDepacketizer
from arclyd.protocols.rtp.reorder import MOST_BYTES, ReorderBuffer
from arclyd.protocols.rtp.vpx import VpxDepacketizer
from arclyd.protocols.rtsp.address import Address
from arclyd.protocols.rtsp.client import ClientSession
from arclyd.protocols.rtsp.messages import MOST_BODY, MOST_HEAD, Interleaved, Message, MessageReader, Request, Response
from arclyd.protocols.rtsp.server import Announce, Describe, Play, Record, ServerSession, Setup
from arclyd.protocols.rtsp.transport import Transport
from arclyd.protocols.sdp.description import MediaDescription, SessionDescription
from tests.property.test_rtmp_split import pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.protocols.rtp.payload import Depacketizer

U32 = st.integers(0, 0xFFFF_FFFF)
SIGNS = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
NAMES = st.text(st.characters(codec="ascii", categories=["L"]), min_size=1, max_size=12).filter(
    lambda name: name.lower() != "content-length"
)
FIELDS = st.lists(st.tuples(NAMES, st.text(SIGNS, max_size=30)), max_size=5).map(tuple)
BODIES = st.binary(max_size=300)
METHODS = st.sampled_from(("OPTIONS", "DESCRIBE", "ANNOUNCE", "SETUP", "PLAY", "RECORD", "GET_PARAMETER", "TEARDOWN"))
URLS = st.text(SIGNS, min_size=1, max_size=40).map("rtsp://h/".__add__)
MESSAGES = (
    st.builds(Request, METHODS, URLS, FIELDS, BODIES)
    | st.builds(Response, st.integers(100, 599), FIELDS, BODIES, st.just("Fine"))
    | st.builds(Interleaved, st.integers(0, 255), st.binary(max_size=1500))
)
CUTS = st.lists(st.integers(0, 1 << 16), max_size=12)


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=6), CUTS)
def test_messages_come_back_at_any_split(messages: list[Message], cuts: list[int]) -> None:
    data = b"".join(message.serialize() for message in messages)
    reader = MessageReader()
    assert [found for piece in pieces(data, cuts) for found in reader.receive(piece)] == messages
    assert reader.held == 0
    # A client looks for what a server may say, and nothing else.
    expected = [message for message in messages if not isinstance(message, Request)]
    data_of_server = b"".join(message.serialize() for message in expected)
    lenient = MessageReader(strict=False)
    assert [found for piece in pieces(data_of_server, cuts) for found in lenient.receive(piece)] == expected
    assert [found for byte in data for found in reader.receive(bytes((byte,)))] == messages


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=3), st.binary(max_size=2000), CUTS)
def test_garbage_is_refused_or_skipped_and_is_not_hoarded(
    messages: list[Message], noise: bytes, cuts: list[int]
) -> None:
    data = b"".join(message.serialize() for message in messages) + noise
    for reader in (MessageReader(), MessageReader(strict=False)):
        with suppress(WireError):
            for piece in pieces(data, cuts):
                list(reader.receive(piece))
                assert reader.held <= MOST_HEAD + MOST_BODY + len(piece)


def test_a_head_without_end_is_not_hoarded() -> None:
    for start in (b"DESCRIBE rtsp://h/a RTSP/1.0\r\n", b"x" * 100, b"RTSP/1.0 200 OK\r\nA: "):
        reader = MessageReader()
        try:
            for _ in range(100):
                list(reader.receive(start + b"y" * 1000))
        except WireError:
            continue
        raise AssertionError


@given(
    st.builds(
        RtpPacket,
        st.integers(0, 127),
        st.integers(0, 65535),
        U32,
        U32,
        BODIES,
        st.booleans(),
        st.lists(U32, max_size=15).map(tuple),
        st.none() | st.tuples(st.integers(0, 65535), st.binary(max_size=10).map(lambda data: data * 4)),
    )
)
def test_packets_come_back(packet: RtpPacket) -> None:
    assert RtpPacket.parse(packet.serialize()) == packet


BLOCKS = st.lists(
    st.builds(rtcp.ReportBlock, U32, st.integers(0, 255), st.integers(-(1 << 23), (1 << 23) - 1), U32, U32, U32, U32),
    max_size=3,
).map(tuple)
REPORTS = (
    st.builds(rtcp.SenderReport, U32, st.integers(0, (1 << 64) - 1), U32, U32, U32, BLOCKS)
    | st.builds(rtcp.ReceiverReport, U32, BLOCKS)
    | st.builds(rtcp.SourceName, U32, st.text(SIGNS, max_size=20))
    | st.builds(rtcp.Bye, st.lists(U32, max_size=3).map(tuple))
)


@given(st.lists(REPORTS, min_size=1, max_size=4))
def test_reports_come_back(packets: list[rtcp.Rtcp]) -> None:
    data = rtcp.serialize(packets)
    assert rtcp.is_rtcp(data)
    assert rtcp.parse(data) == packets


@given(
    st.builds(
        Transport,
        tcp=st.booleans(),
        unicast=st.booleans(),
        interleaved=st.none() | st.tuples(st.integers(0, 255), st.integers(0, 255)),
        client_port=st.none() | st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
        server_port=st.none() | st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
        ssrc=st.none() | U32,
        mode=st.sampled_from(("", "record", "PLAY")),
    )
)
def test_transports_come_back(transport: Transport) -> None:
    assert Transport.parse_all(transport.serialize()) == [transport]


@given(
    st.text(SIGNS, max_size=20),
    st.text(SIGNS, max_size=20),
    st.sampled_from(("MD5", "SHA-256")),
    st.booleans(),
    st.booleans(),
)
def test_challenges_are_read_and_answered(realm: str, secret: str, algorithm: str, qop: bool, stale: bool) -> None:
    challenge = digest.Challenge(realm, "abc", algorithm, "o", qop, stale)
    assert digest.Challenge.parse(challenge.serialize().partition(" ")[2]) == challenge
    answer = challenge.answer("user", secret, method="PLAY", uri="rtsp://h/a", count=3, cnonce="c")
    said = digest.parameters(answer.partition(" ")[2])
    assert digest.is_right(said, secret, "PLAY")
    assert not digest.is_right(said, secret + "x", "PLAY")
    assert not digest.is_right(said, secret, "RECORD")


def test_digests_are_those_of_the_specification() -> None:
    """RFC 7616, 3.9.1."""
    said = {
        "username": "Mufasa",
        "realm": "http-auth@example.org",
        "uri": "/dir/index.html",
        "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        "nc": "00000001",
        "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        "qop": "auth",
    }
    password = "Circle of Life"
    assert digest.response(said, password, "GET") == "8ca523f5e9506fed4657c9700eebdbec"
    sha = digest.response({**said, "algorithm": "SHA-256"}, password, "GET")
    assert sha == "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


# ----------------------------------------------------------- hostile packets


def depacketizers() -> Iterator[Depacketizer]:
    for codec in (CodecId.H264, CodecId.H265):
        yield NalDepacketizer(codec)
    for codec in (CodecId.VP8, CodecId.VP9):
        yield VpxDepacketizer(codec)
    yield Av1Depacketizer()
    yield GenericDepacketizer(b"\x11\x90", 48_000, AuHeaders())
    yield GenericDepacketizer(b"\x11\x90", 48_000, AuHeaders(0, 0, 0, 4, 4, 1, 2, 8))
    yield LatmDepacketizer(b"", 48_000)
    yield LatmDepacketizer(bytes.fromhex("40002320"), 48_000)
    yield OpusDepacketizer(0)
    yield MpegAudioDepacketizer()


TEXTS = "7c85 7c45 780004 6240 628101 6001000241 1002 9080 aab0 18 d8 0010"
"""How fragments and aggregates of the formats begin."""
HEADS = st.sampled_from([bytes.fromhex(text) for text in TEXTS.split()])
PAYLOADS = st.builds(bytes.__add__, HEADS | st.just(b""), st.binary(max_size=120))
PACKETS = st.builds(RtpPacket, st.just(96), st.integers(0, 40), st.integers(0, 3), st.just(1), PAYLOADS, st.booleans())


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(PACKETS, st.booleans()), max_size=12))
def test_hostile_packets_are_units_or_refused(packets: list[tuple[RtpPacket, bool]]) -> None:
    for depacketizer in depacketizers():
        for packet, lost in packets:
            with suppress(MediaError):
                for unit in depacketizer.push(packet, lost=lost):
                    assert unit.payload
                    assert 0 <= unit.timestamp < 1 << 32


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_no_packet_or_a_harmless_one(data: bytes) -> None:
    with suppress(WireError):
        assert len(RtpPacket.parse(data).payload) <= len(data)
    with suppress(WireError):
        for packet in rtcp.parse(data):
            rtcp.serialize([packet])
    digest.parameters(data.decode("latin-1"))
    Transport.parse_all(data.decode("latin-1"))


@given(st.lists(st.tuples(st.integers(0, 65535), st.floats(0, 0.01)), max_size=200))
def test_a_buffer_keeps_what_it_may_and_numbers_rise(arrivals: list[tuple[int, float]]) -> None:
    buffer, now, last = ReorderBuffer(), 0.0, None
    for sequence, later in arrivals:
        now += later
        for ordered in buffer.push(RtpPacket(96, sequence, 0, 1, b"x" * 1000), now):
            if last is not None and not ordered.restarted:
                assert (ordered.packet.sequence - last) % 65536 == ordered.missing + 1
            last = ordered.packet.sequence
        assert buffer.held <= min(MOST_BYTES, 512 * 1000)


# ---------------------------------------------------------- hostile sessions

SDP = SessionDescription((MediaDescription("audio", 0, "RTP/AVP", ("8",), "", (("control", "streamid=0"),)),))
REQUESTS = st.builds(
    Request,
    METHODS,
    st.sampled_from(("rtsp://h/a/b", "rtsp://h/a/b/streamid=0", "rtsp://h/a/b/trackID=9", "*")),
    st.lists(
        st.sampled_from(
            (
                ("CSeq", "7"),
                ("Session", "x"),
                ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1"),
                ("Transport", "RTP/AVP;unicast;client_port=4000-4001"),
                ("Require", "x"),
                ("Content-Type", "application/sdp"),
                ("Content-Type", "text/plain"),
                ("Authorization", 'Digest username="a", nonce="b"'),
            )
        ),
        max_size=3,
    ).map(tuple),
    st.sampled_from((b"", SDP.serialize(), b"v=0")),
    st.sampled_from(("RTSP/1.0", "RTSP/1.0", "RTSP/2.0", "HTTP/1.1")),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(REQUESTS, max_size=10), CUTS, st.lists(st.booleans(), min_size=10, max_size=10))
def test_a_session_answers_every_request_once_whatever_comes(
    requests: list[Request], cuts: list[int], granted: list[bool]
) -> None:
    session, answers = ServerSession(), []
    with suppress(WireError):
        for piece in pieces(b"".join(request.serialize() for request in requests), cuts):
            for place, event in enumerate(session.receive(piece)):
                grant(session, event, granted[place % 10])
            answers += list(MessageReader().receive(session.data_to_send()))
    answers += list(MessageReader().receive(session.data_to_send()))
    assert len(answers) <= len(requests)


def grant(session: ServerSession, event: object, wanted: bool) -> None:
    if isinstance(event, Announce | Describe | Setup | Record | Play) and not wanted:
        session.refuse(event.request, 401)
    elif isinstance(event, Announce):
        session.accept_announce(event)
    elif isinstance(event, Describe):
        session.accept_describe(event, SDP)
    elif isinstance(event, Setup):
        session.accept_setup(event, event.medium or 0, event.transports[0])
    elif isinstance(event, Record):
        session.accept_record(event)
    elif isinstance(event, Play):
        session.accept_play(event, [(0, 1, 2)])


@settings(deadline=None)
@given(
    st.lists(st.builds(Response, st.sampled_from((200, 401, 404, 100)), FIELDS, BODIES), max_size=5),
    st.binary(max_size=300),
)
def test_a_client_takes_what_a_hostile_server_says(responses: list[Response], noise: bytes) -> None:
    session = ClientSession(Address.parse("rtsp://user:password@h/a"))
    for number in range(3):
        session.ask("DESCRIBE", f"rtsp://h/{number}")
    with suppress(WireError):
        for response in responses:
            list(session.receive(response.serialize() + noise))
    assert b"password" not in session.data_to_send()

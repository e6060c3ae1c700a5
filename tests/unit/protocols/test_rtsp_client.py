"""The client's side: who it is, said as cameras ask for it; and what they do to sessions."""

from __future__ import annotations

import base64

import pytest

from arclyd.errors import WireError
from arclyd.protocols import digest
from arclyd.protocols.rtsp.address import Address
from arclyd.protocols.rtsp.authentication import NONCE_SECONDS, Authentication
from arclyd.protocols.rtsp.client import Answer, ClientSession
from arclyd.protocols.rtsp.messages import Interleaved, MessageReader, Request, Response
from arclyd.protocols.rtsp.server import ServerSession, Tunnel
from arclyd.protocols.rtsp.tunnel import TunnelDecoder, cookie

URL = "rtsp://cam/stream"


def client(who: str = "admin:pass@") -> ClientSession:
    return ClientSession(Address.parse(f"rtsp://{who}cam/stream"))


def sent(session: ClientSession) -> list[Request]:
    return [found for found in MessageReader().receive(session.data_to_send()) if isinstance(found, Request)]


def said(session: ClientSession, status: int, *fields: tuple[str, str], number: int | None = None) -> list[object]:
    head = () if number is None else (("CSeq", str(number)),)
    return list(session.receive(Response(status, (*head, *fields)).serialize()))


@pytest.mark.parametrize(
    ("asked", "algorithm"),
    [
        (['Digest realm="c4", nonce="d8", stale="FALSE"'], "MD5"),
        (['Basic realm="x"', 'Digest realm="c4",nonce="d8"'], "MD5"),
        (
            ['Digest realm="c4", nonce="d8", algorithm=MD5', 'Digest realm="c4", nonce="d8", algorithm=SHA-256'],
            "SHA-256",
        ),
        (
            [
                'Digest realm="c4", nonce="d8", algorithm=SHA-512-256',
                'digest realm="c4", nonce="d8", qop="auth,auth-int"',
            ],
            "MD5",
        ),
    ],
)
def test_the_strongest_way_that_is_known_is_taken(asked: list[str], algorithm: str) -> None:
    session = client()
    session.ask("DESCRIBE", URL)
    assert sent(session)[0].get("Authorization") == ""
    assert said(session, 401, *(("WWW-Authenticate", text) for text in asked), number=1) == []
    (again,) = sent(session)
    answer = digest.parameters(again.get("Authorization").partition(" ")[2])
    assert answer["algorithm"] == algorithm
    assert digest.is_right(answer, "pass", "DESCRIBE")
    assert said(session, 200, number=2) != []
    session.ask("SETUP", f"{URL}/trackID=1")  # every request from now on says it
    assert digest.is_right(digest.parameters(sent(session)[0].get("Authorization").partition(" ")[2]), "pass", "SETUP")


def test_a_password_in_the_clear_is_said_only_where_nothing_else_is_asked_for() -> None:
    session = client()
    session.ask("DESCRIBE", URL)
    said(session, 401, ("WWW-Authenticate", 'Basic realm="cam"'), number=1)
    assert sent(session)[1].get("Authorization") == "Basic YWRtaW46cGFzcw=="


def test_a_refusal_is_not_asked_about_for_ever() -> None:
    challenge = ("WWW-Authenticate", 'Digest realm="c", nonce="n"')
    session = client()
    session.ask("DESCRIBE", URL)
    assert said(session, 401, challenge, number=1) == []
    (answer,) = said(session, 401, challenge, number=2)
    assert isinstance(answer, Answer)
    assert answer.response.status == 401
    nobody = client("")
    nobody.ask("DESCRIBE", URL)
    assert len(said(nobody, 401, challenge, number=1)) == 1


def test_a_new_nonce_is_answered_when_the_old_one_is_stale() -> None:
    session = client()
    session.ask("OPTIONS", URL)
    said(session, 401, ("WWW-Authenticate", 'Digest realm="c", nonce="1"'), number=1)
    assert said(session, 401, ("WWW-Authenticate", 'Digest realm="c", nonce="2", stale=true'), number=2) == []
    assert 'nonce="2"' in sent(session)[-1].get("Authorization")


def test_sessions_and_answers_are_taken_as_cameras_give_them() -> None:
    session = client("")
    session.ask("SETUP", URL)
    (answer,) = said(session, 200, ("Session", "12345678 ; timeout=30"))  # without a number
    assert isinstance(answer, Answer)
    assert (session.id, session.timeout) == ("12345678", 30)
    session.ask("PLAY", URL)
    assert sent(session)[-1].get("Session") == "12345678"
    noise = b"\x00\xff junk" + Interleaved(0, b"packet").serialize() + b"more junk"
    found = list(session.receive(noise + Response(200, (("CSeq", "2"),)).serialize()))
    assert [type(event) for event in found] == [Interleaved, Answer]
    assert list(session.receive(Request("OPTIONS", URL, (("CSeq", "99"),)).serialize())) == []
    assert b"200 OK\r\nCSeq: 99" in session.data_to_send()


# ------------------------------------------------------------- the other side


def answered(challenge: str, count: int = 1, method: str = "PLAY", uri: str = URL) -> Request:
    parsed = digest.Challenge.parse(challenge.partition(" ")[2])
    assert parsed is not None
    answer = parsed.answer("a", "p", method=method, uri=uri, count=count, cnonce="c")
    return Request(method, URL, (("Authorization", answer),))


def test_an_answer_counts_once_and_for_what_it_was_given() -> None:
    mine, other = Authentication(), Authentication()
    for _, challenge in mine.challenge(0.0)[:2]:
        request = answered(challenge)
        assert other.shown(request, 0.0) == {}
    assert mine.shown(request, 1.0)["user"] == "a"
    assert mine.shown(request, 1.0) == {}  # it came before
    assert mine.shown(answered(challenge, 2), 1.0)
    assert mine.shown(answered(challenge, 3, uri="rtsp://cam/other"), 1.0) == {}
    assert mine.shown(answered(challenge, 4, uri="/stream"), 1.0)
    assert not mine.is_stale(answered(challenge, 5), 1.0)
    assert mine.shown(answered(challenge, 5), NONCE_SECONDS + 1) == {}
    assert mine.is_stale(answered(challenge, 5), NONCE_SECONDS + 1)
    assert mine.challenge(NONCE_SECONDS, stale=True)[0][1] != challenge
    assert "stale=true" in mine.challenge(NONCE_SECONDS, stale=True)[0][1]


# ------------------------------------------------------------------- tunnels


def test_a_tunnel_is_read_in_pieces_of_any_size() -> None:
    messages = [Request("OPTIONS", URL, (("CSeq", str(number)),)).serialize() for number in range(3)]
    text = b"".join(base64.b64encode(message) for message in messages)
    for size in (1, 3, 4, 7, len(text)):
        decoder = TunnelDecoder()
        found = b"".join(decoder.receive(text[at : at + size]) for at in range(0, len(text), size))
        assert found == b"".join(messages)
    with pytest.raises(WireError, match="base64"):
        TunnelDecoder().receive(b"GET / HTTP/1.1")


def test_a_post_is_a_tunnel_whatever_length_it_says() -> None:
    session = ServerSession()
    fields = (("x-sessioncookie", "abc"), ("Content-Type", "application/x-rtsp-tunnelled"), ("Content-Length", "32767"))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    events = session.receive(f"POST /live/a HTTP/1.0\r\n{head}\r\nT1BU".encode())
    event = next(iter(events))
    assert isinstance(event, Tunnel)
    assert cookie(event.request) == "abc"
    assert session.rest() == b"T1BU"
    assert list(events) == []

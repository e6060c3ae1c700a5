"""Both sides of the control connection, talking to each other without a socket."""

from __future__ import annotations

import msgpack
import pytest

from arclyd.control import messages as m
from arclyd.control import reports, wire
from arclyd.control.connection import (
    MAX_OUTSTANDING,
    Answer,
    ClientConnection,
    Greeted,
    HelloReceived,
    Outgoing,
    Refusal,
    RequestReceived,
    ServerConnection,
)
from arclyd.errors import ProtocolError, StreamNotFound


def server() -> ServerConnection:
    return ServerConnection("1.2.3", "abcdef01")


def greeted() -> tuple[ClientConnection, ServerConnection]:
    client, daemon = ClientConnection(name="me", client="test"), server()
    daemon.receive_data(client.data_to_send())
    event = daemon.next_event()
    assert isinstance(event, HelloReceived)
    assert (event.hello.name, event.hello.client) == ("me", "test")
    deliver(daemon, client)
    greeting = client.next_event()
    assert isinstance(greeting, Greeted)
    assert greeting.hello == client.hello == m.HelloReply(1, "1.2.3", "abcdef01")
    return client, daemon


def deliver(daemon: ServerConnection, client: ClientConnection) -> None:
    while (out := daemon.next_to_send()) is not None:
        client.receive_data(out.data, out.fds)


def ask(client: ClientConnection, daemon: ServerConnection, *requests: m.Request) -> list[int]:
    ids = [client.send_request(request) for request in requests]
    daemon.receive_data(client.data_to_send())
    for expected, request in zip(ids, requests, strict=True):
        assert daemon.next_event() == RequestReceived(expected, request)
    return ids


def test_a_request_and_its_reply() -> None:
    client, daemon = greeted()
    (number,) = ask(client, daemon, m.End("live/a"))
    daemon.send_reply(number, m.Ok())
    deliver(daemon, client)
    assert client.next_event() == Answer(number, m.Ok())
    assert client.outstanding == daemon.outstanding == 0


def test_replies_keep_the_order_of_requests_and_pushes_overtake() -> None:
    client, daemon = greeted()
    first, second, third = ask(client, daemon, m.End("live/a"), m.End("live/b"), m.End("live/c"))
    daemon.send_reply(third, m.Ok())
    daemon.send_error(second, StreamNotFound("live/b"))
    daemon.send_order(m.Order("end", "live/x"))
    daemon.send_event(reports.Event(1, 2, "joined"))
    deliver(daemon, client)
    assert client.next_event() == m.Order("end", "live/x")
    assert client.next_event() == reports.Event(1, 2, "joined")
    assert client.next_event() is None
    daemon.send_reply(first, m.Ok())
    deliver(daemon, client)
    assert client.next_event() == Answer(first, m.Ok())
    refusal = client.next_event()
    assert isinstance(refusal, Refusal)
    assert (refusal.id, type(refusal.error)) == (second, StreamNotFound)
    assert client.next_event() == Answer(third, m.Ok())


def test_descriptors_go_with_their_reply() -> None:
    client, daemon = greeted()
    first, second = ask(client, daemon, m.Subscribe("live/a"), m.Publish("live/b", ()))
    daemon.send_reply(first, m.SubscribeGrant(1, "aa"), (41,))
    daemon.send_reply(second, m.PublishGrant("bb", 1), (42, 43))
    out = [daemon.next_to_send(), daemon.next_to_send()]
    assert [one.fds for one in out if one] == [(41,), (42, 43)]
    for one in out:
        assert one
        client.receive_data(one.data[:5], one.fds)
        client.receive_data(one.data[5:])
    assert client.unclaimed_fds == (41, 42, 43)
    assert client.next_event() == Answer(first, m.SubscribeGrant(1, "aa"), (41,))
    assert client.next_event() == Answer(second, m.PublishGrant("bb", 1), (42, 43))
    assert client.unclaimed_fds == ()


def test_descriptors_that_did_not_come_are_missed() -> None:
    client, daemon = greeted()
    (number,) = ask(client, daemon, m.Subscribe("live/a"))
    daemon.send_reply(number, m.SubscribeGrant(1, "aa"), (41,))
    out = daemon.next_to_send()
    assert out
    client.receive_data(out.data)
    with pytest.raises(ProtocolError, match="descriptors"):
        client.next_event()


def test_descriptors_never_sent_are_given_back() -> None:
    client, daemon = greeted()
    first, second, third = ask(client, daemon, m.End("a/a"), m.Subscribe("live/a"), m.Subscribe("live/b"))
    daemon.send_reply(second, m.SubscribeGrant(1, "aa"), (41,))  # waits behind the first
    daemon.refuse(ProtocolError("enough"))
    daemon.send_reply(third, m.SubscribeGrant(2, "bb"), (42,))  # too late
    daemon.send_reply(first, m.Ok())
    assert sorted(daemon.drop_fds()) == [41, 42]
    assert daemon.drop_fds() == []


def test_hello_comes_first_and_once() -> None:
    daemon = server()
    daemon.receive_data(wire.encode_request(1, m.GetHealth()))
    with pytest.raises(ProtocolError, match="hello"):
        daemon.next_event()
    assert daemon.closing
    client, daemon = greeted()
    number = client.send_request(m.Hello(1))
    daemon.receive_data(client.data_to_send())
    assert daemon.next_event() is None
    deliver(daemon, client)
    refusal = client.next_event()
    assert isinstance(refusal, Refusal)
    assert refusal.id == number


def test_another_version_is_refused_by_either_side() -> None:
    daemon = server()
    daemon.receive_data(wire.encode_request(1, m.Hello(99)))
    with pytest.raises(ProtocolError, match="99"):
        daemon.next_event()
    out = daemon.next_to_send()
    client = ClientConnection()
    assert out
    client.receive_data(out.data)
    refusal = client.next_event()
    assert isinstance(refusal, Refusal)
    assert refusal.id == 0
    client = ClientConnection()
    client.receive_data(wire.encode_reply(1, m.HelloReply(99, "", "")))
    with pytest.raises(ProtocolError, match="99"):
        client.next_event()


def test_before_the_hello_messages_are_short() -> None:
    daemon = server()
    daemon.receive_data((wire.MAX_HELLO + 1).to_bytes(4, "big"))
    with pytest.raises(ProtocolError):
        daemon.next_event()
    _, daemon = greeted()
    daemon.receive_data((wire.MAX_HELLO + 1).to_bytes(4, "big"))
    assert daemon.next_event() is None


def test_an_unsound_request_is_answered_and_the_connection_goes_on() -> None:
    client, daemon = greeted()
    bad = msgpack.packb({"id": 50, "op": "dance"})
    daemon.receive_data(len(bad).to_bytes(4, "big") + bad)
    (number,) = ask(client, daemon, m.GetHealth())
    out = daemon.next_to_send()
    assert out
    said = wire.decode_from_daemon(out.data[4:])
    assert isinstance(said, wire.Failure)
    assert (said.id, daemon.outstanding, number) == (50, 1, 2)


def test_too_many_unanswered_requests_are_left_unread() -> None:
    client, daemon = greeted()
    for _ in range(MAX_OUTSTANDING + 5):
        client.send_request(m.GetHealth())
    daemon.receive_data(client.data_to_send())
    taken = []
    while (event := daemon.next_event()) is not None:
        assert isinstance(event, RequestReceived)
        taken.append(event.id)
    assert (len(taken), daemon.can_take_more) == (MAX_OUTSTANDING, False)
    daemon.send_reply(taken[0], reports.Health("healthy", ()))
    assert daemon.can_take_more
    assert isinstance(daemon.next_event(), RequestReceived)
    assert daemon.next_event() is None


def test_an_id_in_use_ends_the_connection() -> None:
    client, daemon = greeted()
    ask(client, daemon, m.GetHealth())
    daemon.receive_data(wire.encode_request(2, m.GetHealth()))
    with pytest.raises(ProtocolError, match="in use"):
        daemon.next_event()
    daemon.receive_data(wire.encode_request(3, m.GetHealth()))
    assert daemon.next_event() is None, "nothing is read any more"


def test_an_answer_nobody_asked_for_is_a_protocol_error() -> None:
    client, _ = greeted()
    client.receive_data(wire.encode_reply(77, m.Ok()))
    with pytest.raises(ProtocolError, match="77"):
        client.next_event()


def test_an_answer_of_the_wrong_shape_is_a_protocol_error() -> None:
    client, daemon = greeted()
    (number,) = ask(client, daemon, m.GetHealth())
    daemon.send_reply(number, m.Ok())
    deliver(daemon, client)
    with pytest.raises(ProtocolError, match="Health"):
        client.next_event()


def test_an_answer_too_long_becomes_a_refusal() -> None:
    client, daemon = greeted()
    (number,) = ask(client, daemon, m.GetHealth())
    daemon.send_reply(number, reports.Health("healthy", (reports.Check("x", "y", "z" * wire.MAX_REPLY),)))
    deliver(daemon, client)
    refusal = client.next_event()
    assert isinstance(refusal, Refusal)
    assert refusal.id == number


def test_what_was_not_sent_goes_out_first_the_next_time() -> None:
    client, daemon = greeted()
    first, second = ask(client, daemon, m.End("live/a"), m.End("live/b"))
    daemon.send_reply(first, m.Ok())
    daemon.send_reply(second, m.Ok())
    queued = daemon.queued_bytes
    out = daemon.next_to_send()
    assert out
    client.receive_data(out.data[:3])
    daemon.unsent(Outgoing(out.data[3:]))
    assert daemon.queued_bytes == queued - 3
    deliver(daemon, client)
    assert [client.next_event(), client.next_event()] == [Answer(first, m.Ok()), Answer(second, m.Ok())]
    assert daemon.queued_bytes == 0


def test_a_descriptor_travels_with_the_request_that_has_it() -> None:
    client, daemon = greeted()
    first = client.send_request(m.End("live/a"))
    second = client.send_request(m.End("live/b"), (7,))
    assert client.has_unsent
    while (out := client.next_to_send()) is not None:
        client_sends, rest = Outgoing(out.data[:3], out.fds), Outgoing(out.data[3:])
        daemon.receive_data(client_sends.data, client_sends.fds)
        assert daemon.next_event() is None
        daemon.receive_data(rest.data)
        expected = (
            RequestReceived(second, m.End("live/b"), (7,)) if out.fds else RequestReceived(first, m.End("live/a"))
        )
        assert daemon.next_event() == expected
    assert not client.has_unsent
    assert daemon.take_dropped() == daemon.drop_fds() == []


def test_what_was_not_sent_keeps_its_descriptors_until_it_is_dropped() -> None:
    client, _ = greeted()
    client.send_request(m.End("live/a"), (7,))
    out = client.next_to_send()
    assert out is not None
    client.unsent(out)
    assert client.drop_fds() == [7]
    assert not client.has_unsent


@pytest.mark.parametrize("announced", [0, 2])
def test_descriptors_that_do_not_add_up_are_an_error_and_given_back(announced: int) -> None:
    client, daemon = greeted()
    client.send_request(m.End("live/a"))
    client.data_to_send()
    with pytest.raises(ProtocolError):
        daemon.receive_data(wire.encode_request(2, m.End("live/a"), announced), (7,))
        while daemon.next_event() is not None:
            pass
    assert daemon.drop_fds() == [7]


def test_a_descriptor_with_a_request_that_is_refused_is_given_back() -> None:
    client, daemon = greeted()
    client.send_request(m.Hello(1), (7,))
    out = client.next_to_send()
    assert out is not None
    daemon.receive_data(out.data, out.fds)
    assert daemon.next_event() is None
    assert daemon.take_dropped() == [7]
    daemon.closing = True
    daemon.receive_data(b"x", (8,))
    assert daemon.drop_fds() == [8]

"""Messages as bytes: round trips, limits, and every kind of garbage a peer may send."""

from __future__ import annotations

import dataclasses
import random
import struct

import msgpack
import pytest

from arclyd.control import messages as m
from arclyd.control import reports, wire
from arclyd.errors import AlreadyPublishing, ArclydError, InvalidKey, MemoryBudget, ProtocolError


def body(message: bytes) -> bytes:
    (length,) = struct.unpack_from(">I", message)
    assert length == len(message) - 4
    return message[4:]


REQUESTS = [
    m.Hello(1, "test", "me"),
    m.Publish(
        "live/a", (m.TrackSpec("video", 0, (1, 90000), 1280, 720),), 1 << 20, 64, "replace", {"tags": {"a": "b"}}
    ),
    m.Publishing("live/a", "00ff", 3),
    m.EndPublish("live/a"),
    m.SetMetadata("live/a", {"width": 3}),
    m.SetActivity("live/a", "recording", True),
    m.Subscribe("live/a", "n", "00ff"),
    m.Report(1, 2, 3),
    m.Unsubscribe(1, "evicted"),
    m.RequestKeyframe("live/a"),
    m.ListStreams("live"),
    m.GetInfo("live/a"),
    m.GetMetadata("live/a"),
    m.GetQos("live/a"),
    m.GetGopIndex("live/a"),
    m.ListSubscribers(None),
    m.GetEvents(4, True),
    m.Admit("live/a", "play", "192.0.2.1:5", "rtmp", {"user": "a", "pass": "b"}),
    m.GetWanted("live/a"),
    m.TellConnection("disconnected", "192.0.2.1:5", "rtmp", "live/a", "left"),
    m.Kick("live/a", 7),
    m.End("live/a"),
    m.ListApps(),
    m.GetHealth(),
    m.GetVersion(),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.op)
def test_requests_survive_the_wire(request_: m.Request) -> None:
    assert wire.decode_request(body(wire.encode_request(9, request_))) == wire.Call(9, request_)


def test_every_request_is_tried_above() -> None:
    assert {request.op for request in REQUESTS} == set(m.REQUESTS)


def test_replies_events_orders_and_errors_survive_the_wire() -> None:
    info = m.GopIndex("live/a", (reports.GopEntry(1, 2, 2, 0, 1, -5, 25, 1000, 1.0, 0.5, True, False, "why"),))
    reply = wire.decode_from_daemon(body(wire.encode_reply(3, info, fds=1)))
    assert isinstance(reply, wire.Reply)
    assert (reply.id, reply.fds, wire.decode_value(reply.fields, m.GopIndex)) == (3, 1, info)
    event = reports.Event(1, 2, "kicked", "live/a", {"pid": 3, "why": None}, 4)
    assert wire.decode_from_daemon(body(wire.encode_event(event))) == event
    order = m.Order("superseded", "live/a", 4, "x")
    assert wire.decode_from_daemon(body(wire.encode_order(order))) == order
    for error in (AlreadyPublishing("live/a", 3), MemoryBudget(1, 2, 3), InvalidKey("x", "y"), ProtocolError("z")):
        failure = wire.decode_from_daemon(body(wire.encode_error(5, error)))
        assert isinstance(failure, wire.Failure)
        assert (failure.id, type(failure.error), str(failure.error)) == (5, type(error), str(error))


def test_an_error_of_a_newer_or_hostile_daemon_is_still_an_error() -> None:
    for facts in ({}, {"key": 5}, {"unheard": "of"}, {"key": None, "pid": "x"}):
        message = msgpack.packb({"id": 1, "error": {"code": "invalid_key", "message": "sentence", "facts": facts}})
        failure = wire.decode_from_daemon(message)
        assert isinstance(failure, wire.Failure)
        assert isinstance(failure.error, ArclydError)
        assert str(failure.error)


def test_unknown_fields_are_ignored() -> None:
    message = msgpack.packb({"id": 1, "op": "end", "args": {"key": "live/a", "new": [1]}, "more": 2})
    assert wire.decode_request(message).request == m.End("live/a")


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        "text",
        {},
        {"id": 1.5, "op": "health"},
        {"id": True, "op": "health"},
        {"id": 0, "op": "health"},
        {"id": -1, "op": "health"},
        {"id": 1 << 63, "op": "health"},
        {"op": "health"},
        {1: 2},
    ],
)
def test_what_has_no_envelope_ends_the_connection(value: object) -> None:
    with pytest.raises(ProtocolError):
        wire.decode_request(msgpack.packb(value))


@pytest.mark.parametrize(
    "value",
    [
        {"id": 1},
        {"id": 1, "op": 5},
        {"id": 1, "op": "x" * 1000},
        {"id": 1, "op": "info"},
        {"id": 1, "op": "info", "args": []},
        {"id": 1, "op": "info", "args": None},
        {"id": 1, "op": "info", "args": {"key": 5}},
        {"id": 1, "op": "info", "args": {"key": b"live/a"}},
        {"id": 1, "op": "report", "args": {"subscriber_id": 1, "cursor": "2", "dropped": 3}},
        {"id": 1, "op": "report", "args": {"subscriber_id": True, "cursor": 2, "dropped": 3}},
        {"id": 1, "op": "publish", "args": {"key": "live/a", "tracks": [{"kind": "video"}]}},
        {"id": 1, "op": "publish", "args": {"key": "live/a", "tracks": {"a": 1}}},
        {"id": 1, "op": "set_metadata", "args": {"key": "live/a", "fields": [1]}},
    ],
)
def test_a_sound_envelope_with_an_unsound_request_can_be_answered(value: object) -> None:
    call = wire.decode_request(msgpack.packb(value))
    assert call.id == 1
    assert isinstance(call.request, ProtocolError)
    assert len(str(call.request)) < 400


def nested(depth: int) -> bytes:
    return b"\x82\xa2id\x01\xa4args" + b"\x91" * depth + b"\x90"


@pytest.mark.parametrize(
    "raw",
    [
        b"\xc1",
        b"\xff",
        b"",
        b"\x81\xa2id\x01\x00",  # something after the map
        b"\x82\xa2id\x01",  # cut off
        b"\xdf\xff\xff\xff\xff",  # a map of four thousand million entries
        b"\x81\xa2id\xdd\xff\xff\xff\xff",
        b"\x81\xa2id\xc7\x05\x01hello",  # an extension type
        b"\x81\xa2id\xa1\xff",  # not UTF-8
        b"\x81\xa1\xffx\x01",
        nested(20),
        nested(1000),
        nested(100_000),
    ],
)
def test_garbage_is_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        wire.decode_request(raw)
    with pytest.raises(ProtocolError):
        wire.decode_from_daemon(raw)


def test_any_bytes_and_any_damage_give_a_message_or_a_protocol_error() -> None:
    generator = random.Random(20)
    sound = [body(wire.encode_request(n, request)) for n, request in enumerate(REQUESTS, 1)]
    refused = 0
    for n in range(20_000):
        if n % 2:
            raw = bytearray(generator.choice(sound))
            raw[generator.randrange(len(raw))] = generator.randrange(256)
        else:
            raw = bytearray(generator.randbytes(generator.randrange(1, 40)))
        for decode in (wire.decode_request, wire.decode_from_daemon):
            try:
                decode(bytes(raw))
            except ProtocolError:
                refused += 1
    assert refused > 10_000


def test_lengths_out_of_range() -> None:
    for length in (0, wire.MAX_REQUEST + 1, 0xFFFF_FFFF):
        deframer = wire.Deframer(wire.MAX_REQUEST)
        deframer.receive_data(struct.pack(">I", length))
        with pytest.raises(ProtocolError, match=str(length)):
            deframer.next_body()


def test_messages_come_out_whole_however_they_are_cut() -> None:
    stream = b"".join(wire.encode_request(n, request) for n, request in enumerate(REQUESTS, 1))
    generator = random.Random(3)
    for step in (1, 2, 3, 7, 4096, 0):
        deframer, got, rest = wire.Deframer(wire.MAX_REQUEST), [], stream
        while rest:
            cut = step or generator.randrange(1, 60)
            deframer.receive_data(rest[:cut])
            rest = rest[cut:]
            while (one := deframer.next_body()) is not None:
                got.append(wire.decode_request(one).request)
        assert got == REQUESTS
        assert deframer.pending == 0


def test_what_can_not_be_encoded_is_a_protocol_error() -> None:
    for request in (m.End("live/\udcff"), m.Report(1, 1 << 64, 0), m.SetMetadata("live/a", {"x": "y" * (1 << 20)})):
        with pytest.raises(ProtocolError):
            wire.encode_request(1, request)


def test_messages_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        m.End("live/a").key = "x"  # type: ignore[misc]

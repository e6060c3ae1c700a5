"""Bytes on their way in: judged, claimed, refused, ended; and senders of datagrams that come and go."""

from __future__ import annotations

import asyncio
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.errors import PublisherClosed, Unauthorized
from arclyd.ingest.limits import Bucket, Limits
from arclyd.ingest.mpegts.datagrams import MOST_REFUSED, QUIET_SECONDS, REFUSED_SECONDS, Datagrams
from arclyd.ingest.reception import Reception
from arclyd.ingest.ts.intake import Intake
from tests.ingesting import FakeGateway
from tests.ts_maker import TsMaker, registered

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

KLV = [(0x102, 0x06, registered(b"KLVA"))]
KEY = "live/a"


class Source:
    """A transport stream of one track of data, a piece at a time."""

    def __init__(self) -> None:
        self._make = TsMaker(KLV)
        self._at = 0

    def tables(self) -> bytes:
        return self._make.tables()

    def unit(self, payload: bytes = b"klv") -> bytes:
        self._at += 3600
        return self._make.unit(0x102, payload, self._at, bounded=True, id=0xBD)


def reception(gateway: FakeGateway) -> Reception:
    return Reception(gateway, KEY, "h:1", object(), shown={}, intake=Intake())  # type: ignore[arg-type]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


# ------------------------------------------------------------------- reception


def test_what_waited_goes_out_when_the_daemon_has_answered() -> None:
    async def go() -> None:
        gateway, source = FakeGateway(), Source()
        it = reception(gateway)
        it.receive(source.tables())
        assert it.begun
        assert not it.claiming
        it.receive(source.unit(b"one"))
        assert it.claiming
        it.receive(source.unit(b"two"))
        await it.settled()
        it.receive(source.unit(b"three"))
        (publisher,) = gateway.publishers
        assert publisher.payloads == [(0, b"one"), (0, b"two"), (0, b"three")]
        assert gateway.claims[0]["metadata"]["publisher_addr"] == "h:1"
        assert gateway.entered == {KEY}
        await it.conclude()
        await gateway.done()
        assert publisher.ended
        assert not gateway.entered

    run(go())


def test_a_refusal_is_kept_and_nothing_more_is_taken() -> None:
    async def go() -> None:
        gateway, source = FakeGateway(Unauthorized("publish", KEY)), Source()
        it = reception(gateway)
        it.receive(source.tables() + source.unit())
        await it.settled()
        assert isinstance(it.refusal, Unauthorized)
        it.receive(source.unit())
        assert not it.claiming
        assert not gateway.claims

    run(go())


def test_a_sender_that_left_while_it_was_asked_about_claims_nothing() -> None:
    async def go() -> None:
        gateway, source = FakeGateway(), Source()
        it = reception(gateway)
        gateway.during = it.interrupt
        it.receive(source.tables() + source.unit())
        await it.settled()
        assert it.refusal is None
        assert not gateway.claims
        assert not gateway.entered

    run(go())


def test_a_publisher_that_was_closed_is_a_refusal() -> None:
    async def go() -> None:
        gateway, source = FakeGateway(), Source()
        it = reception(gateway)
        it.receive(source.tables() + source.unit())
        await it.settled()

        def closed(*_args: object, **_facts: object) -> int:
            raise PublisherClosed("ended")

        gateway.publishers[0].publish = closed  # type: ignore[method-assign]
        it.receive(source.unit())
        assert isinstance(it.refusal, PublisherClosed)

    run(go())


def test_one_that_falls_silent_gives_what_it_had_begun_and_may_come_back() -> None:
    async def go() -> None:
        gateway, source = FakeGateway(), Source()
        it = reception(gateway)
        it.receive(source.tables() + source.unit())
        await it.settled()
        it.fall_silent()
        assert gateway.publishers[0].interrupted
        assert not gateway.entered
        await it.conclude()  # nothing is left to be ended
        assert not gateway.publishers[0].ended

    run(go())


def test_a_stream_that_is_over_before_all_its_tracks_came_is_published_all_the_same() -> None:
    async def go() -> None:
        gateway, make = FakeGateway(), TsMaker([*KLV, (0x101, 0x03, b"")])
        it = reception(gateway)
        it.receive(make.tables() + make.unit(0x102, b"klv", 0, bounded=True, id=0xBD))
        assert not it.claiming
        await it.conclude()
        await gateway.done()
        (publisher,) = gateway.publishers
        assert publisher.payloads == [(0, b"klv")]
        assert publisher.ended

    run(go())


# -------------------------------------------------------------------- datagrams


class Heard:
    """A socket whose datagrams are handed in, each with who sent it."""

    def __init__(self, gateway: FakeGateway) -> None:
        self.it = Datagrams(gateway, KEY, self, None)  # type: ignore[arg-type]
        self._next: list[tuple[bytes, tuple[str, int]]] = []
        self.now = 0.0

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self._next:
            raise BlockingIOError
        data, peer = self._next.pop(0)
        buffer[: len(data)] = data
        return len(data), peer

    def hear(self, data: bytes, peer: tuple[str, int], after: float = 0.0) -> None:
        self.now += after
        self.it._datagram(memoryview(data), peer, self.now)


@contextmanager
def heard(refusal: Exception | None = None, limits: Limits | None = None) -> Iterator[tuple[Heard, FakeGateway]]:
    gateway = FakeGateway(refusal, limits)
    yield Heard(gateway), gateway


ONE, TWO = ("10.0.0.1", 1000), ("10.0.0.2", 1000)


def comings(gateway: FakeGateway) -> list[tuple[str, str]]:
    return [(words[0], words[1]) for words in gateway.said]


def test_what_is_ready_is_read_until_there_is_no_more() -> None:
    async def go() -> None:
        with heard() as (socket_, gateway):
            source = Source()
            socket_._next = [(source.tables(), ONE), (source.unit(), ONE)]
            socket_.it.ready()
            await gateway.done()
            assert gateway.publishers[0].payloads == [(0, b"klv")]

    run(go())


def test_one_sender_is_heard_until_it_is_silent() -> None:
    async def go() -> None:
        with heard() as (it, gateway):
            one, two = Source(), Source()
            it.hear(one.tables(), ONE)
            it.hear(two.tables(), TWO, QUIET_SECONDS / 2)
            assert it.it.ignored == 1
            it.hear(one.unit(), ONE, QUIET_SECONDS / 4)
            it.hear(two.tables(), TWO, QUIET_SECONDS)
            assert comings(gateway) == [
                ("connected", "10.0.0.1:1000"), ("disconnected", "10.0.0.1:1000"), ("connected", "10.0.0.2:1000"),
            ]  # fmt: skip

    run(go())


@pytest.mark.parametrize("data", [b"", b"\x47" * 187, b"\x00" * 188])
def test_what_is_no_transport_stream_takes_nobodys_place(data: bytes) -> None:
    with heard() as (it, gateway):
        it.hear(data, ONE)
        assert it.it.ignored == 1
        assert not gateway.said


def test_who_was_refused_is_not_asked_about_again_at_once() -> None:
    async def go() -> None:
        with heard(Unauthorized("publish", KEY)) as (it, gateway):
            asked = []
            gateway.during = lambda: asked.append(it.now)
            for after in (0.0, 1.0, REFUSED_SECONDS):
                it.hear(Source().tables(), ONE, after)
                it.hear(Source().unit(), ONE)
                it.hear(Source().unit(), TWO)
                await gateway.done()
                it.it.tick(it.now)
            assert asked == [0.0, 1.0 + REFUSED_SECONDS]
            assert gateway.said[1][3] == "not allowed"

    run(go())


def test_made_up_addresses_do_not_have_the_daemon_asked_without_end() -> None:
    async def go() -> None:
        with heard(Unauthorized("publish", KEY)) as (it, gateway):
            asked = []
            gateway.during = lambda: asked.append(it.now)
            for number in range(2 * MOST_REFUSED):
                source = Source()
                peer = (f"10.1.{number >> 8}.{number & 255}", 1)
                it.hear(source.tables() + source.unit(), peer, 0.001)
                await gateway.done()
                it.it.tick(it.now)
            assert len(asked) == MOST_REFUSED
            it.hear(Source().tables(), TWO, REFUSED_SECONDS)
            assert comings(gateway)[-1] == ("connected", "10.0.0.2:1000")

    run(go())


def test_a_sender_without_a_program_makes_room() -> None:
    with heard(limits=Limits(start_seconds=3)) as (it, gateway):
        it.it._sender = None
        it.hear(b"\x47" + b"\xff" * 187, ONE)
        sender = it.it._sender
        assert sender is not None
        sender.began_at = sender.heard_at = 0.0
        it.it.tick(2.9)
        assert it.it._sender is sender
        sender.heard_at = 3.0
        it.it.tick(3.1)
        assert gateway.said[-1][3] == "no program came in 3 s"
        it.hear(b"\x47" + b"\xff" * 187, ONE, 4.0)
        assert it.it._sender is None


def test_what_comes_above_the_rate_is_left_out_and_what_is_below_goes_on() -> None:
    bucket = Bucket(1000, 0.0)
    assert [bucket.admits(500, 0.0) for _ in range(5)] == [True] * 4 + [False]
    for _ in range(100):
        assert not bucket.admits(500, 0.1)
    assert bucket.admits(500, 0.5)  # what was left out does not count
    assert Bucket(0, 0.0).admits(1 << 40, 0.0)


# ------------------------------------------------------------------------- tcp


def test_a_tcp_sender_without_a_program_is_let_go() -> None:
    from arclyd.ingest.mpegts.byte_stream import ByteStream  # noqa: PLC0415 - the only one here

    async def go() -> None:
        gateway = FakeGateway(limits=Limits(start_seconds=3))
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: ByteStream(gateway, KEY, None), "127.0.0.1", 0)  # type: ignore[arg-type]
        with socket.create_connection(server.sockets[0].getsockname()) as sender:
            sender.setblocking(False)
            await loop.sock_sendall(sender, b"no transport stream")
            while not gateway.connections:
                await asyncio.sleep(0)
            (connection,) = gateway.connections
            connection.tick(connection._began_at + 2.9)
            assert gateway.connections
            connection.tick(connection._began_at + 3.1)
            with pytest.raises(ConnectionResetError):
                await loop.sock_recv(sender, 1)
            assert gateway.said[-1][3] == "no program came in 3 s"
        server.close()

    run(go())

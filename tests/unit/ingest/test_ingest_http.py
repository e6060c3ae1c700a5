"""The HTTP plane for streams with a gateway in memory: what is answered, and what becomes of a body that breaks off."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.errors import AlreadyPublishing, DaemonUnavailable, Unauthorized
from arclyd.ingest.limits import Limits
from arclyd.ingest.mpegts.address import Address
from arclyd.ingest.mpegts.http import listening
from tests.ingesting import FakeGateway
from tests.ts_maker import TsMaker, registered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

ADDRESS = Address.parse("http://127.0.0.1:0")
KLV = [(0x102, 0x06, registered(b"KLVA"))]


def stream(units: int = 3) -> bytes:
    make = TsMaker(KLV)
    return make.tables() + b"".join(
        make.unit(0x102, b"klv %d" % number, 3600 * number, bounded=True, id=0xBD) for number in range(units)
    )


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def ask(self, path: str = "/live/a", body: bytes = b"", *, method: str = "POST", length: int | None = None) -> None:
        size = len(body) if length is None else length
        self.writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + body)

    async def status(self) -> int:
        """Of the answer."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split()[1])


@asynccontextmanager
async def served(gateway: FakeGateway) -> AsyncIterator[Callable[[], Coroutine[Any, Any, Client]]]:
    """Gives what connects."""
    writers: list[asyncio.StreamWriter] = []
    async with listening(gateway, ADDRESS) as (host, port):  # type: ignore[arg-type]

        async def connect() -> Client:
            reader, writer = await asyncio.open_connection(host, port)
            writers.append(writer)
            return Client(reader, writer)

        try:
            yield connect
        finally:
            for writer in writers:
                writer.close()


def test_a_whole_body_is_a_stream_that_was_ended() -> None:
    async def go() -> None:
        gateway = FakeGateway()
        async with served(gateway) as connect:
            client = await connect()
            client.ask(body=stream())
            assert await client.status() == 201
            await gateway.done()
            (publisher,) = gateway.publishers
            assert [payload for _, payload in publisher.payloads] == [b"klv 0", b"klv 1", b"klv 2"]
            assert publisher.ended
            assert gateway.said[-1][3] == "the sender ended the stream"
            client.ask(body=stream())  # the connection is there for another one
            assert await client.status() == 201

    run(go())


def test_a_body_that_breaks_off_is_a_stream_that_may_go_on() -> None:
    async def go() -> None:
        gateway = FakeGateway()
        async with served(gateway) as connect:
            client = await connect()
            client.ask(body=stream(), length=1 << 20)
            while not gateway.publishers:
                await asyncio.sleep(0.001)
            client.writer.close()
            (publisher,) = gateway.publishers
            while not publisher.interrupted:
                await asyncio.sleep(0.001)
            assert not publisher.ended
            while gateway.connections:
                await asyncio.sleep(0.001)
            assert not gateway.entered

    run(go())


@pytest.mark.parametrize(
    ("refusal", "path", "status"),
    [
        (Unauthorized("publish", "live/a"), "/live/a", 401),
        (Unauthorized("publish", "live/a"), "/live/a?token=x", 403),
        (AlreadyPublishing("live/a", 1), "/live/a", 409),
        (DaemonUnavailable("/run/x", "gone"), "/live/a", 503),
        (None, "/live/.a", 404),
        (None, "/live", 404),
        (None, "/live/a/b", 404),
    ],
)
def test_who_is_refused_is_told_in_the_way_of_http(refusal: Exception | None, path: str, status: int) -> None:
    async def go() -> None:
        gateway = FakeGateway(refusal)
        async with served(gateway) as connect:
            client = await connect()
            client.ask(path, stream())
            assert await client.status() == status
            assert not gateway.publishers

    run(go())


def test_nothing_is_to_be_had_there() -> None:
    async def go() -> None:
        async with served(FakeGateway()) as connect:
            client = await connect()
            client.ask(method="GET")
            assert await client.status() == 405

    run(go())


def test_there_are_no_more_at_once_than_may_be() -> None:
    async def go() -> None:
        gateway = FakeGateway(limits=Limits(connections=3, per_address=1))
        async with served(gateway) as connect:
            first = await connect()
            first.ask(body=stream(), length=1 << 20)
            while not gateway.connections:
                await asyncio.sleep(0.001)
            second = await connect()
            second.ask("/live/b", stream())
            assert await second.status() == 503
            assert len(gateway.connections) == 1

    run(go())


def test_one_that_is_silent_or_begins_nothing_is_let_go() -> None:
    async def go() -> None:
        gateway = FakeGateway(limits=Limits(start_seconds=3, idle_seconds=5))
        async with served(gateway) as connect:
            for body, after, reason in (
                (b"\x47" + b"\xff" * 187, 3.1, "no stream began in 3 s"),
                (stream(), 5.1, "nothing came for 5 s"),
            ):
                client = await connect()
                client.ask(body=body, length=1 << 20)
                while not gateway.connections:
                    await asyncio.sleep(0.001)
                (upload,) = gateway.connections
                while after > 4 and not upload._reception.begun:
                    await asyncio.sleep(0.001)
                upload.tick(upload.heard_at + after - 0.2)
                assert gateway.connections
                upload.tick(upload.heard_at + after)
                with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                    await client.status()
                while gateway.connections:
                    await asyncio.sleep(0.001)
                assert gateway.said[-1][3] == reason

    run(go())


def test_the_end_of_the_gateway_leaves_streams_to_go_on() -> None:
    async def go() -> None:
        gateway = FakeGateway()
        async with served(gateway) as connect:
            client = await connect()
            client.ask(body=stream(), length=1 << 20)
            while not gateway.publishers:
                await asyncio.sleep(0.001)
        (publisher,) = gateway.publishers
        assert publisher.interrupted
        assert not publisher.ended
        assert gateway.said[-1][3] == "the gateway ends"

    run(go())

"""The parts of the HTTP plane: ranges, tokens, viewers, bookmarks; and a server's limits with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from arclyd.control import tokens
from arclyd.http_guard import Limits
from arclyd.packagers import bookmark, names
from arclyd.packagers.http.answers import SLICE, between, byte_range, media
from arclyd.packagers.http.server import Front, serving
from arclyd.packagers.http.viewers import ABSENT_SECONDS, Viewers
from arclyd.packagers.segmenter import Cutting, Resume

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@given(st.text(max_size=30), st.integers(0, 100))
def test_a_range_is_inside_or_nothing(text: str, size: int) -> None:
    for header in (text, "bytes=" + text):
        span = byte_range(header, size)
        assert span is None or span[0] >= 0
        assert span is None or span[1] < max(size, 1)


@given(st.integers(0, 99), st.integers(0, 200))
def test_a_range_is_cut_to_what_is_there(first: int, length: int) -> None:
    assert byte_range(f"bytes={first}-{first + length}", 100) == (first, min(first + length, 99))


def test_a_range_is_the_same_bytes_wherever_the_pieces_end() -> None:
    pieces = [b"", bytes(range(10)), memoryview(bytes(range(10, 11))), bytes(range(11, 30))]
    for first in range(30):
        for end in range(first + 1, 31):
            assert b"".join(between(pieces, first, end)) == bytes(range(first, end))


@given(st.text(max_size=80), st.text(max_size=80))
def test_no_other_token_is_valid(key: str, token: str) -> None:
    assert not tokens.is_valid(b"secret", key, token, 0)
    good = tokens.issue(b"secret", key, 100)
    assert tokens.is_valid(b"secret", key, good, 99.9)
    assert not tokens.is_valid(b"secret", key, good, 100)
    assert not tokens.is_valid(b"other", key, good, 0)
    assert tokens.looks_like_one(good)


def test_a_token_holds_for_the_renditions_too() -> None:
    assert tokens.is_valid(b"secret", "live/cam1~low", tokens.issue(b"secret", "live/cam1", 100), 0)


@given(st.text(max_size=120))
def test_what_is_repeated_in_a_playlist_can_not_leave_its_line(text: str) -> None:
    if tokens.looks_like_one(text):
        assert not set(text) & set("\"\r\n#?&<> '")


def test_viewers_are_there_until_they_no_longer_come() -> None:
    viewers = Viewers()
    viewers.seen("live/a", "one", 0)
    viewers.seen("live/a", "two", 0)
    viewers.seen("live/b", "one", 0)
    viewers.seen("live/a", "one", ABSENT_SECONDS - 1)
    with viewers.connected("live/a"):
        assert viewers.counts(1) == {"live/a": 3, "live/b": 1}
        assert +viewers.counts(ABSENT_SECONDS) == {"live/a": 2}
    assert +viewers.counts(3 * ABSENT_SECONDS) == {}


RESUME = Resume({2: 2, 434: 5}, 2, Fraction(7, 3), 1_700_000_000_000_000_000, 1, Fraction(249, 100))


def test_a_bookmark_is_read_as_it_was_written() -> None:
    for cutting in (Cutting(), Cutting(Fraction(3))):
        read = bookmark.read(bookmark.write("ab12", cutting, RESUME))
        assert read == bookmark.Bookmark("ab12", cutting, RESUME)


def test_no_more_numbers_were_given_out_than_there_were_frames() -> None:
    found = bookmark.Bookmark("ab12", Cutting(), RESUME)
    assert found.numbers_by(434) == (5, 2)
    assert found.numbers_by(500) == (71, 68)
    assert found.numbers_by(3) == (5, 2)


@given(st.text(max_size=60))
def test_other_text_is_no_bookmark(text: str) -> None:
    assert bookmark.read(text) is None


def test_a_bookmark_of_the_largest_numbers_fits_a_tag() -> None:
    marks = {(1 << 63) - n: (1 << 63) - n for n in range(9)}
    large = Resume(marks, 1 << 63, Fraction(1 << 63, 90_001), 1 << 63, 99, Fraction(6049, 100))
    assert len(bookmark.write("a" * 8, Cutting(Fraction("2.345"), Fraction("0.345")), large)) < 1024


@given(st.integers(0, 10**18), st.integers(0, 999), st.integers(0, 10**4))
def test_names_are_read_as_they_were_made(number: int, lane: int, part: int) -> None:
    assert names.read_media(names.segment("ab12", lane, number)) == names.Media("ab12", lane, number, None)
    assert names.read_media(names.part("ab12", lane, number, part)) == names.Media("ab12", lane, number, part)
    assert names.read_transport(names.transport("ab12", number)) == ("ab12", number)
    assert names.read_playlist(names.playlist(lane)) == lane


# ----------------------------------------------------------------- the server


class ByPath:
    """Answers what the path asks for: at once, large, without end, or when told."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.large: list[asyncio.WriteTransport] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        match request.match_info["file"]:
            case "large":
                assert request.transport is not None
                self.large.append(request.transport)
                return await media(request, [bytes(1 << 20)] * 16, "video/mp4")
            case "endless":
                response = web.StreamResponse()
                await response.prepare(request)
                while True:
                    await response.write(bytes(1 << 16))
            case "later":
                await self.told.wait()
        return web.Response(text="here")


@asynccontextmanager
async def server(**limits: float) -> AsyncIterator[tuple[ByPath, int]]:
    handler = ByPath()
    front = Front("127.0.0.1", 0, limits=Limits(**limits))  # type: ignore[arg-type] # passed through
    async with serving([web.get("/{app}/{name}/{file}", handler.handle)], front) as (_, port):
        yield handler, port


async def ask(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    writer.write(f"GET /a/b/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await writer.drain()
    return reader, writer


async def shut(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.transport.abort()
    for writer in writers:
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def status(port: int, path: str = "now") -> bytes:
    reader, writer = await ask(port, path)
    line = await reader.readline()
    await shut(writer)
    return line


async def ended(reader: asyncio.StreamReader) -> bool:
    """True once the connection is over, however; what is sent until then is read."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass
    return True


def test_who_never_ends_a_header_is_given_up() -> None:
    async def slow_loris() -> None:
        async with server(idle_seconds=0.5) as (_, port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /a/b/now HTTP/1.1\r\nX-Slow: ")
            silent, other = await asyncio.open_connection("127.0.0.1", port)
            assert await ended(reader)
            assert await ended(silent)
            assert await status(port) == b"HTTP/1.1 200 OK\r\n"
            await shut(writer, other)

    asyncio.run(asyncio.wait_for(slow_loris(), 60))


@pytest.mark.parametrize("path", ["large", "endless"])
def test_who_does_not_read_is_given_up_and_holds_nobody_up(path: str) -> None:
    async def stalled() -> None:
        async with server(stalled_seconds=1.0) as (handler, port):
            lazy = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
            poller = select.poll()
            for each in lazy:
                each.sendall(f"GET /a/b/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                poller.register(each, select.POLLERR | select.POLLHUP)
            assert await status(port) == b"HTTP/1.1 200 OK\r\n"
            waiting = 0
            while len(poller.poll(0)) < len(lazy):
                waiting = max(waiting, *(each.get_write_buffer_size() for each in handler.large), 0)
                await asyncio.sleep(0.01)
            assert (path == "large") <= waiting <= 4 * SLICE  # what it does not take is not kept for it
            for each in lazy:
                each.close()

    asyncio.run(asyncio.wait_for(stalled(), 60))


def test_who_waits_for_us_is_not_idle() -> None:
    async def waiting() -> None:
        async with server(idle_seconds=0.5) as (handler, port):
            silent, writer = await asyncio.open_connection("127.0.0.1", port)
            reader, other = await ask(port, "later")
            assert await ended(silent)  # as long as that took, the other one waited, too
            handler.told.set()
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await shut(writer, other)

    asyncio.run(asyncio.wait_for(waiting(), 60))


def test_one_connection_too_many_is_refused_in_words() -> None:
    async def crowd() -> None:
        async with server(connections=3) as (_, port):
            held = [await ask(port, "later") for _ in range(3)]
            assert await status(port) == b"HTTP/1.1 503 Service Unavailable\r\n"
            await shut(held.pop()[1])
            while await status(port) != b"HTTP/1.1 200 OK\r\n":
                pass
            await shut(*(writer for _, writer in held))

    asyncio.run(asyncio.wait_for(crowd(), 60))


def test_one_address_may_not_have_all_connections() -> None:
    async def greedy() -> None:
        async with server(per_address=2) as (_, port):
            held = [await ask(port, "later") for _ in range(5)]
            over = [asyncio.create_task(ended(reader)) for reader, _ in held]
            while sum(task.done() for task in over) < 3:
                await asyncio.sleep(0.01)
            assert sum(task.done() for task in over) == 3
            await shut(*(writer for _, writer in held))
            await asyncio.gather(*over)

    asyncio.run(asyncio.wait_for(greedy(), 60))

"""Chunks byte for byte, and what a reader does not put up with."""

from __future__ import annotations

import struct
import tracemalloc

import pytest

from arclyd.errors import WireError
from arclyd.protocols.rtmp.chunks import MAX_STREAMS, ChunkReader, ChunkWriter, Message, MessageLimits


def read(data: bytes, reader: ChunkReader | None = None) -> list[tuple[int, int, bytes]]:
    messages = (reader or ChunkReader()).receive(data)
    return [(message.type, message.timestamp, bytes(message.payload)) for message in messages]


def test_the_example_of_the_specification_with_one_long_message() -> None:
    # RTMP 1.0, 5.3.2.2: 307 bytes of video in chunks of 128.
    body = bytes(range(256)) + bytes(51)
    data = bytes.fromhex("04 0003e8 000133 09 39300000") + body[:128] + b"\xc4" + body[128:256] + b"\xc4" + body[256:]
    (message,) = ChunkReader().receive(data)
    assert (message.type, message.stream, message.timestamp, bytes(message.payload)) == (9, 12345, 1000, body)


def test_the_example_of_the_specification_with_deltas() -> None:
    # RTMP 1.0, 5.3.2.1: sound every 20 ms with headers of type 0, 2, 3, 3.
    first = bytes.fromhex("03 0003e8 000020 08 39300000") + b"a" * 32
    data = first + bytes.fromhex("83 000014") + b"b" * 32 + b"\xc3" + b"c" * 32 + b"\xc3" + b"d" * 32
    assert [timestamp for _, timestamp, _ in read(data)] == [1000, 1020, 1040, 1060]


def test_chunk_streams_have_numbers_of_one_two_and_three_bytes() -> None:
    body = bytes.fromhex("000000 000001 08 00000000") + b"x"
    assert len(read(b"\x3f" + body + b"\x00\xff" + body + b"\x01\x00\x01" + body)) == 3


def test_an_extended_timestamp_may_be_left_out_of_later_chunks() -> None:
    head = bytes.fromhex("06 ffffff 0000c8 09 01000000 01000000")
    for extension in (b"\x01\x00\x00\x00", b""):
        assert read(head + b"x" * 128 + b"\xc6" + extension + b"y" * 72) == [(9, 1 << 24, b"x" * 128 + b"y" * 72)]


def test_time_wraps_at_32_bits() -> None:
    head = bytes.fromhex("06 ffffff 000001 09 01000000 fffffff0") + b"x"
    assert [time for _, time, _ in read(head + bytes.fromhex("46 000020 000001 09") + b"y")] == [0xFFFF_FFF0, 0x10]


def test_abort_gives_a_message_up() -> None:
    writer = ChunkWriter()
    begun = writer.serialize(6, Message(9, 1, 0, b"x" * 200))[:100]
    reader = ChunkReader()
    # What is left of the chunk belongs to it; the abort comes behind.
    assert read(begun + b"x" * 40, reader) == []
    assert reader.held > 0
    read(writer.serialize(2, Message(2, 0, 0, struct.pack(">I", 6))), reader)
    assert reader.held == 0
    assert read(ChunkWriter().serialize(6, Message(9, 1, 7, b"new")), reader) == [(9, 7, b"new")]


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("starts with a header", b"\xc5"),
        ("the limit is 1024", bytes.fromhex("05 000000 000401 09 00000000")),
        ("the limit is 64", bytes.fromhex("05 000000 000401 14 00000000")),
        ("a chunk size of 0", bytes.fromhex("02 000000 000004 01 00000000 00000000")),
        ("a chunk size of", bytes.fromhex("02 000000 000004 01 00000000 ffffffff")),
    ],
)
def test_what_makes_no_sense_is_refused(what: str, data: bytes) -> None:
    with pytest.raises(WireError, match=what):
        read(data, ChunkReader(MessageLimits(1024, 128, 64)))


def test_chunk_streams_and_messages_begun_are_bounded() -> None:
    one = bytes.fromhex("000000 000080 08 00000000") + b"x" * 127
    with pytest.raises(WireError, match="chunk streams"):
        read(b"".join(bytes((0, number)) + one + b"x" for number in range(MAX_STREAMS + 1)))
    begun = bytes.fromhex("000000 000100 08 00000000") + b"x" * 128
    with pytest.raises(WireError, match="begun and not ended"):
        read(b"".join(bytes((0, number)) + begun for number in range(60)), ChunkReader(MessageLimits(1024, 1024, 64)))


def test_a_message_that_is_announced_costs_nothing_before_it_comes() -> None:
    reader = ChunkReader()
    tracemalloc.start()
    try:
        read(bytes.fromhex("02 000000 000004 01 00000000 00ffffff"), reader)
        read(bytes.fromhex("05 000000 7fffff 09 00000000") + b"x" * 1000, reader)
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()

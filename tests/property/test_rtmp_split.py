"""RTMP out of any split of the bytes, back to what was said; and garbage, which is refused and never kept."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from arclyd.errors import WireError
from arclyd.protocols.rtmp import amf0
from arclyd.protocols.rtmp.chunks import ChunkReader, ChunkWriter, Message, MessageLimits
from arclyd.protocols.rtmp.server import ServerSession

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"), max_size=80)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES.filter(bool), inner, max_size=4)
        | st.dictionaries(NAMES.filter(bool), inner, max_size=4).map(amf0.Array)
    ),
    max_leaves=12,
)
TIMES = st.integers(0, 0xFFFF_FFFF) | st.sampled_from((0xFF_FFFE, 0xFF_FFFF, 0x100_0000, 0xFFFF_FFFF))
MESSAGES = st.builds(
    Message, st.sampled_from((8, 9, 18, 20)), st.integers(0, 3), TIMES, st.binary(max_size=700) | st.just(b"x" * 1500)
)


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(data)], strict=True):
        if end > start:
            yield data[start:end]


def said(message: Message) -> tuple[int, int, int, bytes]:
    return message.type, message.stream, message.timestamp, bytes(message.payload)


@given(VALUES)
def test_what_amf_says_comes_back(value: amf0.Value) -> None:
    assert amf0.decode(amf0.encode(value, value)) == [value, value]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(2, 63), MESSAGES), max_size=8),
    st.integers(1, 6000),
    st.lists(st.integers(0, 1 << 16), max_size=12),
)
def test_messages_come_back_from_chunks_of_any_size_at_any_split(
    messages: list[tuple[int, Message]], size: int, cuts: list[int]
) -> None:
    writer, reader = ChunkWriter(), ChunkReader()
    data = writer.serialize(2, Message(1, 0, 0, struct.pack(">I", size)))
    writer.size = size
    data += b"".join(writer.serialize(number, message) for number, message in messages)
    found = [said(message) for piece in pieces(data, cuts) for message in reader.receive(piece)]
    assert found[1:] == [said(message) for _, message in messages]
    assert reader.held == 0


@settings(deadline=None, max_examples=60)
@given(MESSAGES, MESSAGES, st.integers(1, 400), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_two_messages_may_come_chunk_by_chunk_in_turn(one: Message, other: Message, size: int, cuts: list[int]) -> None:
    chunks = []
    for number, message in ((5, one), (6, other)):
        writer = ChunkWriter()
        writer.size = size
        whole = writer.serialize(number, message)
        extended = 4 * (message.timestamp >= 0xFF_FFFF)
        ends = [12 + extended + min(size, len(message.payload))]
        while ends[-1] < len(whole):
            ends.append(min(len(whole), ends[-1] + 1 + extended + size))
        chunks.append([whole[start:end] for start, end in zip([0, *ends], ends, strict=False)])
    longest = max(map(len, chunks))
    data = b"".join(part[turn] for turn in range(longest) for part in chunks if turn < len(part))
    reader = ChunkReader()
    list(reader.receive(ChunkWriter().serialize(2, Message(1, 0, 0, struct.pack(">I", size)))))
    found = [said(message) for piece in pieces(data, cuts) for message in reader.receive(piece)]
    assert sorted(found) == sorted([said(one), said(other)])


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=3000), st.lists(st.integers(0, 1 << 16), max_size=12))
def test_garbage_is_refused_or_waits_for_more_and_is_not_hoarded(data: bytes, cuts: list[int]) -> None:
    reader = ChunkReader(MessageLimits(1 << 20, 1 << 16, 1 << 14))
    try:
        for piece in pieces(data, cuts):
            for message in reader.receive(piece):
                assert len(message.payload) <= 1 << 20
    except WireError:
        return
    assert reader.held <= len(data)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=1000))
def test_a_session_answers_garbage_with_an_error_of_its_own(data: bytes) -> None:
    session = ServerSession()
    list(session.receive(b"\x03" + bytes(1536) + bytes(1536)))
    writer = ChunkWriter()
    with suppress(WireError):
        for kind in (20, 17, 18, 4, 22, 5, 6):
            list(session.receive(writer.serialize(3, Message(kind, 0, 0, data))))

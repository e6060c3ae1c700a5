"""Pieces of MPEG-TS in a row: every PID's packets with payload are numbered without a gap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media.formats.ts_joined import PACKET, JoinedTransport

Sent = tuple[int, bool, int]
"""A packet's PID, whether it has a payload, and the counter it was made with."""


def packet(sent: Sent) -> bytes:
    pid, payload, counter = sent
    head = bytes((0x47, pid >> 8, pid & 0xFF, (0x30 if payload else 0x20) | counter))
    return head + bytes(PACKET - 4)


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 15)), max_size=30), max_size=5))
def test_counters_go_on_from_piece_to_piece(pieces: list[list[Sent]]) -> None:
    joined = JoinedTransport()
    data = b"".join(joined.join(b"".join(map(packet, piece))) for piece in pieces)
    counters: dict[int, int] = {}
    for number, sent in enumerate(sent for piece in pieces for sent in piece):
        found = data[number * PACKET : (number + 1) * PACKET]
        expected = (counters.get(sent[0], 15) + sent[1]) & 15  # it stays where there is no payload (2.4.3.3)
        assert found[3] & 15 == expected
        assert found[:3] + found[4:] == packet(sent)[:3] + packet(sent)[4:]
        assert found[3] & 0xF0 == packet(sent)[3] & 0xF0
        counters[sent[0]] = expected


@pytest.mark.parametrize("piece", [b"\x47", bytes(PACKET), b"\x47" + bytes(PACKET - 1) + b"x" * PACKET])
def test_what_is_not_made_of_packets_is_refused(piece: bytes) -> None:
    with pytest.raises(MediaError):
        JoinedTransport().join(piece)

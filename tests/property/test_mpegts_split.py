"""MPEG-TS for any input: what was multiplexed comes out at any split, and garbage does nothing but be skipped."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media.formats.mpegts.demuxer import Demuxer, Limits, Program, Unit
from arclyd.media.formats.mpegts.framers import framer_of
from tests.ts_maker import WRAP, TsMaker, registered

STREAMS = [
    (0x100, 0x1B, b""),
    (0x101, 0x0F, b""),
    (0x102, 0x11, b""),
    (0x103, 0x03, b""),
    (0x104, 0x81, b""),
    (0x105, 0x06, registered(b"Opus")),
    (0x106, 0x06, registered(b"AV01")),
    (0x107, 0x06, registered(b"KLVA")),
]

sent_units = st.lists(
    st.tuples(
        st.sampled_from([pid for pid, _, _ in STREAMS]),
        st.binary(min_size=1, max_size=700),
        st.integers(0, WRAP - 1),
        st.booleans(),
    ),
    max_size=12,
)


def feed(demuxer: Demuxer, stream: bytes, cuts: list[int]) -> list[Program | Unit]:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    events = [event for at, end in pairwise(places) for event in demuxer.receive(stream[at:end])]
    return events + demuxer.finish()


@settings(max_examples=150, deadline=None)
@given(sent=sent_units, cuts=st.lists(st.integers(0, 1 << 20), max_size=12))
def test_what_was_sent_comes_out(sent, cuts):
    make = TsMaker(STREAMS)
    stream = make.tables() + b"".join(make.unit(pid, data, pts, bounded=bounded) for pid, data, pts, bounded in sent)
    demuxer = Demuxer()
    events = feed(demuxer, stream, cuts)
    assert isinstance(events[0], Program)
    for pid, _, _ in STREAMS:
        expected = [(data, pts) for where, data, pts, _ in sent if where == pid]
        found = [event for event in events[1:] if isinstance(event, Unit) and event.pid == pid]
        assert [(unit.payload, unit.pts % WRAP) for unit in found] == expected
        assert not any(unit.lost or unit.damaged for unit in found)
    counts = demuxer.counts
    assert (counts.skipped_bytes, counts.continuity, counts.malformed, counts.duplicates) == (0, 0, 0, 0)


@settings(max_examples=150, deadline=None)
@given(
    sent=sent_units,
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=20),
    cuts=st.lists(st.integers(0, 1 << 20), max_size=6),
    garbage=st.binary(max_size=400),
)
def test_damage_is_an_answer_and_never_an_error(sent, flips, cuts, garbage):
    make = TsMaker(STREAMS)
    stream = bytearray(make.tables())
    for number, (pid, data, pts, bounded) in enumerate(sent):
        stream += make.unit(pid, data, pts, bounded=bounded)
        stream += garbage if number % 4 == 3 else b""
    for place, mask in flips:
        stream[place % len(stream)] ^= mask
    framers = {}
    for event in feed(Demuxer(limits=Limits(1000, 1000, 1000)), bytes(stream), cuts):
        if isinstance(event, Program):
            framers.update({each.pid: framer_of(each) for each in event.streams})
            continue
        assert len(event.payload) <= 1000
        with suppress(MediaError):
            for unit in framers[event.pid].push(event):
                assert len(memoryview(unit.payload)) <= len(event.payload) + 2000

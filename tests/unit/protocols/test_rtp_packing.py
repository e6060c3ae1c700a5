"""Access units of real encoders through packets and back: whole, in any order, with some of them missing."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING

import pytest

from arclyd.media.codecs import CodecId
from arclyd.protocols.rtp.describing import describe, packetizer_of
from arclyd.protocols.rtp.formats import Format, depacketizer_of
from arclyd.protocols.rtp.packet import RtpPacket
from arclyd.protocols.rtp.payload import MOST_PAYLOAD
from arclyd.protocols.rtp.reorder import ReorderBuffer
from tests import clips

if TYPE_CHECKING:
    from arclyd.media.track import Track
    from arclyd.protocols.rtp.payload import AccessUnit

KINDS = ["h264", "h264-b", "hevc", "av1", "vp9", "aac", "libopus"]
FIRST = 65_000
"""Sequence number that the packets begin with: they wrap soon."""


@cache
def source(kind: str) -> tuple[Track, list[clips.Sample]]:
    is_sound = kind in ("aac", "libopus")
    clip = clips.clip(None if is_sound else kind, kind if is_sound else None, 2)
    return clip.tracks[0], clip.of(0)


def packed(kind: str) -> list[RtpPacket]:
    """Each access unit at a time of its own: its number."""
    track, samples = source(kind)
    packetizer = packetizer_of(track)
    packets: list[RtpPacket] = []
    for number, sample in enumerate(samples):
        for piece in packetizer.pack(sample.payload, keyframe=sample.keyframe):
            assert len(piece.payload) <= MOST_PAYLOAD
            sequence = (FIRST + len(packets)) % (1 << 16)
            packets.append(RtpPacket(96, sequence, number, 1, piece.payload, piece.marker))
    return [RtpPacket.parse(packet.serialize()) for packet in packets]


def unpacked(kind: str, packets: list[RtpPacket], wait: float = 1.0) -> tuple[list[AccessUnit], ReorderBuffer]:
    """What comes of packets that arrive a millisecond apart."""
    depacketizer = depacketizer_of(Format.of(describe(source(kind)[0], 0, "x")))
    buffer = ReorderBuffer(wait)
    units: list[AccessUnit] = []
    for at, packet in enumerate(packets):
        for ordered in buffer.push(packet, at / 1000):
            units += depacketizer.push(ordered.packet, lost=ordered.missing > 0)
    for ordered in buffer.flush():
        units += depacketizer.push(ordered.packet, lost=ordered.missing > 0)
    assert buffer.held == 0
    return units, buffer


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_packed_comes_back(kind: str) -> None:
    track, samples = source(kind)
    units, buffer = unpacked(kind, packed(kind), wait=0)
    assert [unit.payload for unit in units] == [sample.payload for sample in samples]
    assert [unit.timestamp for unit in units] == list(range(len(samples)))
    assert not any(unit.corrupt for unit in units)
    assert (buffer.lost, buffer.late, buffer.reordered) == (0, 0, 0)
    if track.kind.label == "video":
        assert [unit.keyframe for unit in units] == [sample.keyframe for sample in samples]


@pytest.mark.parametrize("kind", KINDS)
def test_packets_that_overtook_others_are_put_in_order(kind: str) -> None:
    packets, chance = packed(kind), random.Random(7)
    for place in range(1, len(packets) - 4):  # what comes before the first is not missed
        if chance.random() < 0.05:
            packets.insert(place + chance.randrange(1, 4), packets.pop(place))
    assert packets != packed(kind)
    units, buffer = unpacked(kind, packets)
    assert [unit.payload for unit in units] == [sample.payload for sample in source(kind)[1]]
    assert not any(unit.corrupt for unit in units)
    assert buffer.reordered > 0
    assert buffer.lost == 0


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_lost_is_counted_and_nothing_that_it_hit_is_called_whole(kind: str, seed: int) -> None:
    chance, sent = random.Random(seed), packed(kind)
    gone = {place for place in range(1, len(sent) - 1) if chance.random() < (0.01 if len(sent) > 400 else 0.06)}
    packets = [packet for place, packet in enumerate(sent) if place not in gone]
    for place in range(1, len(packets) - 4):  # what comes before the first is not missed
        if chance.random() < 0.05:
            packets.insert(place + chance.randrange(1, 4), packets.pop(place))
    units, buffer = unpacked(kind, packets)
    assert buffer.lost == len(gone)
    samples = source(kind)[1]
    for unit in units:
        if not unit.corrupt:
            assert unit.payload == samples[unit.timestamp].payload
    hit = {sent[place].timestamp for place in gone}
    whole = {unit.timestamp for unit in units if not unit.corrupt}
    assert len(whole & hit) <= 1  # a keyframe whose parameter sets were lost, which are no part of it, and known
    # What is neither hit, nor right behind a loss, where nothing says that its beginning is there, is whole.
    behind = {timestamp + 1 for timestamp in hit}
    assert set(range(len(samples))) - hit - behind <= whole


def test_a_camera_that_marks_every_slice_is_read_by_its_timestamps() -> None:
    track, samples = source("h264")
    packets, sequence = [], 0
    for number, sample in enumerate(samples[:10]):
        body = sample.payload[4:]
        half = len(body) // 2
        slices = (b"\x65" + body[1:half], b"\x65" + bytes((0x20,)) + body[half + 1 :])
        for unit in slices:
            for piece in packetizer_of(track).pack(len(unit).to_bytes(4, "big") + unit, keyframe=False):
                packets.append(RtpPacket(96, sequence, number, 1, piece.payload, piece.marker))
                sequence += 1
    units, _ = unpacked("h264", packets)
    first = [unit for unit in units if unit.timestamp == 0]
    assert len(first) == 2
    assert first[1].corrupt
    later = [unit for unit in units if unit.timestamp > 1]
    assert [unit.timestamp for unit in later] == list(range(2, 9))
    assert not any(unit.corrupt for unit in later)


def test_a_sequence_that_begins_anew_is_followed() -> None:
    packets = packed("h264")
    later = [
        RtpPacket(96, (place + 30_000) % (1 << 16), packet.timestamp + 1000, 1, packet.payload, packet.marker)
        for place, packet in enumerate(packets)
    ]
    units, buffer = unpacked("h264", packets + later)
    assert len(units) == 2 * len(source("h264")[1])
    assert buffer.lost == 0


@pytest.mark.parametrize("sizes", [(1, 2000, 300), (8191,)])
def test_aac_is_read_whole_several_or_in_fragments(sizes: tuple[int, ...]) -> None:
    depacketizer = depacketizer_of(Format.of(describe(source("aac")[0], 0, "x")))
    units = [bytes((number,)) * size for number, size in enumerate(sizes)]
    heads = b"".join((len(unit) << 3).to_bytes(2, "big") for unit in units)
    together = (16 * len(units)).to_bytes(2, "big") + heads + b"".join(units)
    if len(units) > 1:
        found = list(depacketizer.push(RtpPacket(96, 0, 500, 1, together, marker=True), lost=False))
        assert [unit.timestamp for unit in found] == [500, 1524, 2548]
    else:
        packetizer = packetizer_of(source("aac")[0])
        pieces = list(packetizer.pack(units[0], keyframe=True))
        assert len(pieces) > 5
        found = [
            unit
            for place, piece in enumerate(pieces)
            for unit in depacketizer.push(RtpPacket(96, place, 500, 1, piece.payload, piece.marker), lost=False)
        ]
    assert [unit.payload for unit in found] == units


def test_every_codec_that_is_described_is_read_again() -> None:
    for codec in (CodecId.G711A, CodecId.G711U):
        track = clips.clip("h264", "aac").tracks[1].audio(codec, sample_rate=8000, channels=1)
        layout = Format.of(describe(track, 0, "x"))
        assert (layout.codec, layout.clock_rate) == (codec, 8000)
        pieces = list(packetizer_of(track).pack(bytes(2 * MOST_PAYLOAD + 10), keyframe=True))
        assert [piece.offset for piece in pieces] == [0, MOST_PAYLOAD, 2 * MOST_PAYLOAD]

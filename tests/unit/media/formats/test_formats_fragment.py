"""Movie fragments: a reader made from the standard reads back what was written, and FFmpeg takes it too."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from io import BytesIO

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media.formats.fmp4 import init_segment
from arclyd.media.formats.fragment import Sample, fragment
from arclyd.media.track import Track

TRACK = Track.video("vp9", width=64, height=48, time_base=Fraction(1, 90_000))


@st.composite
def runs(draw: st.DrawFn) -> list[Sample]:
    """Samples that follow one another, of any duration, order of display and kind."""
    at = draw(st.integers(0, 1 << 40))
    samples = []
    for _ in range(draw(st.integers(1, 12))):
        duration = draw(st.sampled_from((3600, 3600, 3003, 1, 1 << 20)))
        composition = draw(st.sampled_from((0, 0, 3600, 7200, -3600)))
        data = draw(st.binary(min_size=1, max_size=40))
        samples.append(Sample(at, at + composition, duration, draw(st.booleans()), data, draw(st.booleans())))
        at += duration
    return samples


def boxes(data: bytes) -> dict[bytes, bytes]:
    """The content of each box, and of those inside the containers of a fragment."""
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found[kind] = data[at + 8 : at + size]
        if kind in {b"moof", b"traf"}:
            found |= boxes(found[kind])
        at += size
    return found


def read(data: bytes) -> tuple[int, list[Sample]]:
    """Number and samples of a fragment, by ISO/IEC 14496-12, 8.8.5 to 8.8.12, for the fields that may be there."""
    box = boxes(data)
    (number,) = struct.unpack(">4xI", box[b"mfhd"])
    defaults = iter(struct.unpack(f">{len(box[b'tfhd']) // 4}I", box[b"tfhd"])[2:])
    flags = struct.unpack(">I", box[b"tfhd"][:4])[0]
    duration = next(defaults) if flags & 0x8 else None
    sample_flags = next(defaults) if flags & 0x20 else None
    assert box[b"tfdt"][0] == box[b"trun"][0] == 1
    (at,) = struct.unpack(">4xQ", box[b"tfdt"])
    present, count, offset = struct.unpack_from(">IIi", box[b"trun"])
    words = iter(struct.unpack(f">{len(box[b'trun']) // 4 - 3}I", box[b"trun"][12:]))
    first = next(words) if present & 0x4 else None
    samples = []
    for place in range(count):
        lasts = next(words) if present & 0x100 else duration
        size = next(words)
        own = next(words) if present & 0x400 else first if place == 0 and first is not None else sample_flags
        (composition,) = struct.unpack(">i", struct.pack(">I", next(words) if present & 0x800 else 0))
        assert lasts is not None
        assert own is not None
        key, droppable = not own & 0x10000, own >> 22 & 3 == 2
        samples.append(Sample(at, at + composition, lasts, key, data[offset : offset + size], droppable))
        at, offset = at + lasts, offset + size
    assert offset == len(data)
    return number, samples


@given(runs(), st.integers(0, 1 << 40))
def test_what_was_written_is_read_back(samples: list[Sample], number: int) -> None:
    wanted = [replace(sample, droppable=sample.droppable and not sample.keyframe) for sample in samples]
    assert read(fragment(number, 1, samples)) == (number & 0xFFFFFFFF, wanted)


@given(runs(), st.data())
def test_cut_anywhere_it_is_the_same_stream(samples: list[Sample], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(samples)))
    pieces = [piece for piece in (samples[:at], samples[at:]) if piece]
    whole = init_segment([TRACK]) + b"".join(fragment(n, 1, piece) for n, piece in enumerate(pieces))
    with av.open(BytesIO(whole), format="mp4") as container:
        packets = [packet for packet in container.demux() if packet.dts is not None]
    assert [(packet.dts, bytes(packet)) for packet in packets] == [(each.dts, each.data) for each in samples]


def test_payloads_lie_at_the_end_in_order() -> None:
    samples = [Sample(0, 0, 10, True, b"first"), Sample(10, 10, 10, False, b"second")]
    data = fragment(7, 1, samples)
    assert data.endswith(b"mdat" + b"firstsecond")
    size, kind = struct.unpack_from(">I4s", data)
    assert kind == b"moof"
    assert struct.unpack_from(">I4s", data, size) == (8 + 11, b"mdat")


def test_what_is_the_same_for_all_samples_is_said_once() -> None:
    alike = [Sample(n * 1024, n * 1024, 1024, True, b"x") for n in range(10)]
    other = [Sample(n * 1024, n * 1024, 1024, n % 2 == 0, b"x") for n in range(10)]
    assert len(fragment(0, 1, alike)) + 4 * 10 - 4 == len(fragment(0, 1, other))


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [Sample(-1, 0, 1, True, b"x")],
        [Sample(0, 0, 0, True, b"x")],
        [Sample(0, 0, 1 << 32, True, b"x")],
        [Sample(0, 1 << 31, 1, True, b"x")],
        [Sample(0, 0, 5, True, b"x"), Sample(6, 6, 5, True, b"x")],
        [Sample((1 << 64) - 1, (1 << 64) - 1, 5, True, b"x")],
    ],
)
def test_what_a_fragment_can_not_say_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(MediaError, match="movie fragment"):
        fragment(0, 1, samples)

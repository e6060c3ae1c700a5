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
from tests.fragments import read

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

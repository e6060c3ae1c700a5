"""Framings, bits and time, for any input: what goes in comes out, and rounding is what it says."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media import timebase
from arclyd.media.codecs import annexb
from arclyd.media.codecs.bits import BitReader, BitWriter, unescape

# ------------------------------------------------------------------------ NAL


def _escape(rbsp: bytes) -> bytes:
    """Emulation prevention as an encoder does it (H.264 7.3.1), byte by byte."""
    out, zeros = bytearray(), 0
    for byte in rbsp:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


# Few byte values, so that start codes and their emulation are met all the time.
_tricky = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 3, 0x65, 0xFF]), max_size=40).map(bytes)
rbsps = st.one_of(_tricky, st.binary(max_size=250)).map(lambda raw: raw[:200] + b"\x80")
nals = rbsps.map(_escape)


@given(rbsp=rbsps)
def test_unescape_undoes_escape(rbsp):
    assert unescape(_escape(rbsp)) == rbsp


@pytest.mark.parametrize("length_size", [1, 2, 4])
@given(units=st.lists(nals.filter(lambda unit: len(unit) < 256), max_size=8))
def test_length_prefixed_and_back(length_size, units):
    framed = annexb.join_length_prefixed(units, length_size)
    assert annexb.split_length_prefixed(framed, length_size) == units
    stream = annexb.to_annexb(framed, length_size)
    assert annexb.split_annexb(stream) == units
    assert annexb.to_length_prefixed(stream, length_size) == framed


@given(
    units=st.lists(st.tuples(st.integers(0, 4), st.booleans(), nals), min_size=1, max_size=8), tail=st.integers(0, 5)
)
def test_annexb_with_any_start_codes_and_zeros(units, tail):
    stream = b"".join(bytes(zeros) + (b"\0\0\0\1" if long else b"\0\0\1") + unit for zeros, long, unit in units)
    assert annexb.split_annexb(bytearray(stream + bytes(tail))) == [unit for _, _, unit in units]


@given(unit=nals, size=st.sampled_from([1, 2, 4]), lie=st.integers(1, 9))
def test_lengths_that_overrun(unit, size, lie):
    unit = unit[:200]
    framed = (len(unit) + lie).to_bytes(size, "big") + unit
    with pytest.raises(MediaError, match="left"):
        annexb.to_annexb(framed, size)


@pytest.mark.parametrize("size", [2, 4])
def test_stray_bytes_behind_the_last_unit(size):
    framed = annexb.join_length_prefixed([b"\x65\x80"], size) + b"\0"
    with pytest.raises(MediaError, match="stray"):
        annexb.split_length_prefixed(framed, size)


def test_units_that_do_not_fit_their_length():
    with pytest.raises(MediaError, match="256 bytes"):
        annexb.join_length_prefixed([bytes(256)], 1)
    with pytest.raises(MediaError, match="65536 bytes"):
        annexb.join_length_prefixed([bytes(65536)], 2)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_length_sizes_there_are_not(size):
    with pytest.raises(ValueError, match="1, 2 or 4"):
        annexb.split_length_prefixed(b"", size)
    with pytest.raises(ValueError, match="1, 2 or 4"):
        annexb.join_length_prefixed([], size)


def test_bytes_before_the_first_start_code():
    with pytest.raises(MediaError, match="before byte 1"):
        annexb.split_annexb(b"\x09\0\0\1\x65\x80")
    assert annexb.split_annexb(b"") == annexb.split_annexb(b"\0\0\0") == []


def test_empty_units_are_passed_over():
    assert annexb.split_annexb(b"\0\0\1\0\0\1\x65\x80\0\0\1") == [b"\x65\x80"]
    assert annexb.split_length_prefixed(b"\0\0\0\0\0\0\0\1\x65") == [b"\x65"]


def test_splitting_does_not_copy():
    data = bytearray(annexb.join_annexb([b"\x65\x01\x80"]))
    (unit,) = annexb.split_annexb(data)
    data[5] = 0x42
    assert unit == b"\x65\x42\x80"


def test_annexb_is_told_by_its_start_code():
    assert annexb.is_annexb(b"\0\0\1\x67")
    assert annexb.is_annexb(b"\0\0\0\1\x67")
    assert not annexb.is_annexb(b"\x01\x64\0\x1f")
    assert not annexb.is_annexb(b"\0\0")


# ----------------------------------------------------------------------- bits


@given(fields=st.lists(st.integers(0, 70).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, (1 << n) - 1)))))
def test_bits_written_are_bits_read(fields):
    out = BitWriter()
    for count, value in fields:
        out.u(count, value)
    bits = BitReader(out.tobytes(), "test")
    assert [bits.u(count) for count, _ in fields] == [value for _, value in fields]
    assert bits.left < 8
    with pytest.raises(MediaError, match="test: ends 1 bits too early"):
        bits.u(bits.left + 1)


@given(values=st.lists(st.integers(0, (1 << 32) - 2)))
def test_exponential_golomb(values):
    out = BitWriter()
    for value in values:
        width = (value + 1).bit_length()
        out.u(2 * width - 1, value + 1)
    unsigned, signed = BitReader(out.tobytes(), "test"), BitReader(out.tobytes(), "test")
    assert [unsigned.ue() for _ in values] == values
    assert [signed.se() for _ in values] == [(value + 1) // 2 * (1 if value % 2 else -1) for value in values]


def test_golomb_codes_out_of_bounds():
    with pytest.raises(MediaError, match="longer than any"):
        BitReader(b"\0" * 8 + b"\xff" * 8, "test").ue()
    with pytest.raises(MediaError, match="depth is 6, at most 5"):
        BitReader(b"\x38", "test").ue(5, "depth")


def test_values_that_do_not_fit_their_bits():
    with pytest.raises(ValueError, match="8 does not fit 3 bits"):
        BitWriter().u(3, 8)


# ----------------------------------------------------------------------- time

u32 = st.integers(1, (1 << 32) - 1)
bases = st.builds(Fraction, u32, u32)
stamps = st.integers(-(1 << 63), (1 << 63) - 1)


@given(value=stamps, source=bases, target=bases)
def test_rescale_is_the_nearest(value, source, target):
    exact = value * source / target
    scaled = timebase.rescale(value, source, target)
    assert abs(scaled - exact) <= Fraction(1, 2)
    if abs(scaled - exact) == Fraction(1, 2):
        assert abs(scaled) > abs(exact)
    assert timebase.rescale(-value, source, target) == -scaled
    floor = timebase.rescale_floor(value, source, target)
    assert floor <= exact < floor + 1


@pytest.mark.parametrize(("value", "expected"), [(1, 1), (-1, -1), (3, 2), (-3, -2), (2, 1), (0, 0)])
def test_ties_go_away_from_zero(value, expected):
    assert timebase.rescale(value, Fraction(1, 2), Fraction(1)) == expected


@given(value=stamps, base=st.builds(Fraction, st.integers(1, 1001), st.integers(1, 1_000_000)))
def test_nanoseconds_and_back(value, base):
    assert timebase.from_ns(timebase.to_ns(value, base), base) == value


def test_a_frame_of_film_in_nanoseconds():
    assert timebase.to_ns(1, Fraction(1001, 24000)) == 41_708_333
    assert timebase.from_ns(41_708_333, Fraction(1, 90000)) == 3754


@given(
    bits=st.sampled_from([timebase.RTMP_BITS, timebase.MPEGTS_BITS]),
    first=st.integers(0, 1 << 40),
    steps=st.lists(st.integers(-(1 << 31) + 1, (1 << 31) - 1), max_size=30),
)
def test_unwrapping_follows_any_walk(bits, first, steps):
    unwrapper = timebase.TimestampUnwrapper(bits)
    period = 1 << bits
    truth = first % period
    assert unwrapper.unwrap(first) == truth
    for step in steps:
        truth += step
        assert unwrapper.unwrap(truth % period) == truth


def test_a_decoding_time_just_before_zero():
    unwrapper = timebase.TimestampUnwrapper(timebase.MPEGTS_BITS)
    assert [unwrapper.unwrap(value) for value in (0, (1 << 33) - 3600, 3600)] == [0, -3600, 3600]


def test_a_reset_clock_starts_anew():
    unwrapper = timebase.TimestampUnwrapper(timebase.RTMP_BITS)
    assert unwrapper.unwrap((1 << 32) - 1) + 1 == unwrapper.unwrap(0)
    unwrapper.reset()
    assert unwrapper.unwrap(7) == 7

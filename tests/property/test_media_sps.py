"""Parameter sets that encoders at hand never write: every branch of their syntax, generated.

The writers here follow the syntax tables of the standards on their own, with the picture's facts known
beforehand, and the parser has to find those facts behind any combination of what stands before them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arclyd.media.codecs import h264, h265
from arclyd.media.codecs.h264 import parse_sps as parse_h264
from arclyd.media.codecs.h265 import parse_sps as parse_h265

slow = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Bits:
    """A string of bits, and the codes of the standards."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, count: int, value: int) -> None:
        self.text += f"{value:0{count}b}" if count else ""

    def ue(self, value: int) -> None:
        code = f"{value + 1:b}"
        self.text += "0" * (len(code) - 1) + code

    def se(self, value: int) -> None:
        self.ue(2 * value - 1 if value > 0 else -2 * value)

    def nal(self, header: bytes) -> bytes:
        padded = self.text + "1"
        padded += "0" * (-len(padded) % 8)
        raw = header + int(padded, 2).to_bytes(len(padded) // 8, "big")
        out, zeros = bytearray(), 0
        for byte in raw:
            if zeros >= 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes(out)


@dataclass
class Picture:
    """The facts to be found again."""

    width: int
    height: int
    fps: Fraction | None
    sample_aspect: Fraction


def write_picture_vui(draw: st.DrawFn, bits: Bits) -> Fraction:
    aspect = Fraction(0)
    kind = draw(st.sampled_from(["none", "table", "extended", "reserved"]))
    bits.u(1, kind != "none")
    if kind == "table":
        bits.u(8, 14)
        aspect = Fraction(4, 3)
    elif kind == "extended":
        aspect = Fraction(draw(st.integers(1, 65535)), draw(st.integers(1, 65535)))
        bits.u(8, 255)
        bits.u(16, aspect.numerator)
        bits.u(16, aspect.denominator)
    elif kind == "reserved":
        bits.u(8, 200)
    if flag(draw, bits):
        bits.u(1, 1)
    if flag(draw, bits):
        bits.u(4, draw(st.integers(0, 15)))
        if flag(draw, bits):
            bits.u(24, draw(st.integers(0, (1 << 24) - 1)))
    if flag(draw, bits):
        bits.ue(draw(st.integers(0, 5)))
        bits.ue(draw(st.integers(0, 5)))
    return aspect


def write_timing(draw: st.DrawFn, bits: Bits) -> Fraction | None:
    if not flag(draw, bits):
        return None
    ticks, scale = draw(st.integers(0, 5000)), draw(st.integers(0, 200_000))
    bits.u(32, ticks)
    bits.u(32, scale)
    bits.u(1, 1)
    return Fraction(scale, ticks) if ticks and scale else None


def flag(draw: st.DrawFn, bits: Bits) -> bool:
    value = draw(st.booleans())
    bits.u(1, value)
    return value


# ---------------------------------------------------------------------- H.264


@st.composite
def h264_sets(draw: st.DrawFn) -> tuple[bytes, Picture]:
    bits = Bits()
    profile = draw(st.sampled_from([66, 77, 88, 100, 110, 122, 244, 44, 83]))
    bits.u(8, profile)
    bits.u(8, draw(st.integers(0, 255)))
    bits.u(8, draw(st.integers(9, 62)))
    bits.ue(draw(st.integers(0, 31)))
    chroma, planes = 1, False
    if profile not in {66, 77, 88}:
        chroma, planes = write_h264_chroma(draw, bits)
    bits.ue(draw(st.integers(0, 12)))
    order = draw(st.integers(0, 2))
    bits.ue(order)
    if order == 0:
        bits.ue(draw(st.integers(0, 12)))
    elif order == 1:
        bits.u(1, 0)
        bits.se(draw(st.integers(-9, 9)))
        bits.se(draw(st.integers(-(1 << 31) + 1, 1 << 30)))
        cycle = draw(st.lists(st.integers(-300, 300), max_size=5))
        bits.ue(len(cycle))
        for offset in cycle:
            bits.se(offset)
    bits.ue(draw(st.integers(0, 16)))
    bits.u(1, 0)
    columns, rows = draw(st.integers(2, 300)), draw(st.integers(2, 200))
    bits.ue(columns - 1)
    bits.ue(rows - 1)
    frames_only = flag(draw, bits)
    bits.u(1 if frames_only else 2, 1)
    fields = 1 if frames_only else 2
    across = 2 if chroma in {1, 2} and not planes else 1
    down = (2 if chroma == 1 and not planes else 1) * fields
    crop = draw(st.tuples(*[st.integers(0, 3)] * 4)) if flag(draw, bits) else None
    for side in crop or ():
        bits.ue(side)
    left, right, top, bottom = crop or (0, 0, 0, 0)
    width, height = 16 * columns - across * (left + right), 16 * rows * fields - down * (top + bottom)
    aspect, rate = Fraction(0), None
    if flag(draw, bits):
        aspect = write_picture_vui(draw, bits)
        rate = write_timing(draw, bits)
    return bits.nal(b"\x67"), Picture(width, height, rate / 2 if rate else None, aspect)


def write_h264_chroma(draw: st.DrawFn, bits: Bits) -> tuple[int, bool]:
    chroma = draw(st.integers(0, 3))
    bits.ue(chroma)
    planes = flag(draw, bits) if chroma == 3 else False
    bits.ue(draw(st.integers(0, 6)))
    bits.ue(draw(st.integers(0, 6)))
    bits.u(1, 0)
    if flag(draw, bits):
        for index in range(12 if chroma == 3 else 8):
            if flag(draw, bits):
                write_scaling_list(draw, bits, 16 if index < 6 else 64)
    return chroma, planes


def write_scaling_list(draw: st.DrawFn, bits: Bits, size: int) -> None:
    # 7.3.2.1.1.1, with the scales chosen; a scale of zero says that the last one goes on.
    stop = draw(st.integers(0, size))
    last = 8
    for index in range(size):
        scale = 0 if index == stop else draw(st.integers(1, 255)) if index < 4 else 1 + (index * 37) % 255
        bits.se((scale - last + 128) % 256 - 128)
        if not scale:
            return
        last = scale


@slow
@given(made=h264_sets())
def test_h264_facts_behind_any_syntax(made):
    nal, picture = made
    sps = parse_h264(nal)
    assert Picture(sps.width, sps.height, sps.fps, sps.sample_aspect) == picture
    record = h264.AvcConfig.parse(h264.build_config([nal], [b"\x68\xce"]))
    assert (record.profile, record.constraints, record.level) == tuple(nal[1:4])
    assert (record.chroma_format is None) == (sps.profile in {66, 77, 88})


# ---------------------------------------------------------------------- H.265


@st.composite
def h265_sets(draw: st.DrawFn) -> tuple[bytes, Picture]:
    bits = Bits()
    layers = draw(st.integers(1, 7))
    bits.u(4, 0)
    bits.u(3, layers - 1)
    bits.u(1, 1)
    write_profile(draw, bits, layers)
    bits.ue(draw(st.integers(0, 15)))
    chroma = draw(st.integers(0, 3))
    bits.ue(chroma)
    planes = flag(draw, bits) if chroma == 3 else False
    width, height = draw(st.integers(64, 8192)), draw(st.integers(64, 4320))
    bits.ue(width)
    bits.ue(height)
    if flag(draw, bits):
        left, right, top, bottom = draw(st.tuples(*[st.integers(0, 7)] * 4))
        for side in (left, right, top, bottom):
            bits.ue(side)
        width -= (2 if chroma in {1, 2} and not planes else 1) * (left + right)
        height -= (2 if chroma == 1 and not planes else 1) * (top + bottom)
    bits.ue(draw(st.integers(0, 8)))
    bits.ue(draw(st.integers(0, 8)))
    write_tools(draw, bits, layers)
    aspect, rate = Fraction(0), None
    if flag(draw, bits):
        aspect = write_picture_vui(draw, bits)
        bits.u(3, draw(st.integers(0, 7)))
        if flag(draw, bits):
            for _ in range(4):
                bits.ue(draw(st.integers(0, 20)))
        rate = write_timing(draw, bits)
    return bits.nal(b"\x42\x01"), Picture(width, height, rate, aspect)


def write_profile(draw: st.DrawFn, bits: Bits, layers: int) -> None:
    bits.u(88, draw(st.integers(0, (1 << 88) - 1)))
    bits.u(8, 93)
    present = draw(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=layers - 1, max_size=layers - 1))
    for profile, level in present:
        bits.u(1, profile)
        bits.u(1, level)
    for _ in range(layers - 1, 8 if present else 0):
        bits.u(2, 0)
    for profile, level in present:
        bits.u(88 * profile, 0)
        bits.u(8 * level, 0)


def write_tools(draw: st.DrawFn, bits: Bits, layers: int) -> None:
    poc = draw(st.integers(0, 12))
    bits.ue(poc)
    for _ in range(layers if flag(draw, bits) else 1):
        for value in (4, 2, 0):
            bits.ue(value)
    for value in (0, 3, 0, 3, 1, 1):
        bits.ue(value)
    if flag(draw, bits) and flag(draw, bits):
        write_scaling_lists(draw, bits)
    bits.u(2, 3)
    if flag(draw, bits):
        bits.u(8, 0x77)
        bits.ue(0)
        bits.ue(2)
        bits.u(1, 1)
    write_reference_sets(draw, bits)
    if flag(draw, bits):
        count = draw(st.integers(0, 3))
        bits.ue(count)
        for _ in range(count):
            bits.u(poc + 4, 0)
            bits.u(1, 1)
    bits.u(2, 1)


def write_scaling_lists(draw: st.DrawFn, bits: Bits) -> None:
    for size in range(4):
        for _ in range(0, 6, 3 if size == 3 else 1):
            if flag(draw, bits):
                if size > 1:
                    bits.se(8)
                for _ in range(min(64, 1 << (4 + (size << 1)))):
                    bits.se(draw(st.sampled_from([0, -1, 5])) if size < 1 else 0)
            else:
                bits.ue(0)


def write_reference_sets(draw: st.DrawFn, bits: Bits) -> None:
    count = draw(st.integers(0, 6))
    bits.ue(count)
    past: list[int] = []
    future: list[int] = []
    for index in range(count):
        predicted = flag(draw, bits) if index else False
        past, future = write_predicted_set(draw, bits, past, future) if predicted else write_coded_set(draw, bits)


def write_coded_set(draw: st.DrawFn, bits: Bits) -> tuple[list[int], list[int]]:
    steps = [draw(st.lists(st.integers(1, 4), max_size=4)) for _ in range(2)]
    bits.ue(len(steps[0]))
    bits.ue(len(steps[1]))
    for side in steps:
        for step in side:
            bits.ue(step - 1)
            bits.u(1, 1)
    past = [-sum(steps[0][: i + 1]) for i in range(len(steps[0]))]
    return past, [sum(steps[1][: i + 1]) for i in range(len(steps[1]))]


def write_predicted_set(draw: st.DrawFn, bits: Bits, past: list[int], future: list[int]) -> tuple[list[int], list[int]]:
    """Equations 7-61 and 7-62 as they stand in the standard."""
    shift = draw(st.integers(1, 5)) * draw(st.sampled_from([-1, 1]))
    bits.u(1, shift < 0)
    bits.ue(abs(shift) - 1)
    negatives, total = len(past), len(past) + len(future)
    use_delta = [True] * (total + 1)
    for j in range(total + 1):
        if not flag(draw, bits):
            use_delta[j] = flag(draw, bits)
    moved_past = [(delta + shift, use_delta[i]) for i, delta in enumerate(past)]
    moved_future = [(delta + shift, use_delta[negatives + i]) for i, delta in enumerate(future)]
    itself = [(shift, use_delta[total])]
    new_past = [delta for delta, used in (*reversed(moved_future), *itself, *moved_past) if delta < 0 and used]
    new_future = [delta for delta, used in (*reversed(moved_past), *itself, *moved_future) if delta > 0 and used]
    return new_past, new_future


@slow
@given(made=h265_sets())
def test_h265_facts_behind_any_syntax(made):
    nal, picture = made
    sps = parse_h265(nal)
    assert Picture(sps.width, sps.height, sps.fps, sps.sample_aspect) == picture
    record = h265.HevcConfig.parse(h265.build_config([b"\x40\x01\x0c"], [nal], [b"\x44\x01\xc0"]))
    assert record.profile == sps.profile
    assert (record.chroma_format, record.temporal_layers) == (sps.chroma_format, sps.temporal_layers)

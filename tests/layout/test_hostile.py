"""Damaged and hostile regions: an error from both readers, the same verdict, never a signal.

The readers run in this process: an access out of bounds would end the test run.
"""

import random
from collections.abc import Callable, Iterator

import pytest

from arclyd.errors import ArclydError, LayoutMismatch, RegionCorrupt
from arclyd.ring import _ring, layout
from tests.layout.golden_region import descriptor, image
from tests.layout.header_edit import edited
from tests.layout.plain_reader import Corrupt, Lapped, NotYet, PlainReader, Refused

NUMBERS = [field for field in layout.GEOMETRY.fields if not field.type.startswith("u8[") and field.name != "magic"]


def edges(field: layout.Field, now: int) -> Iterator[int]:
    top = (1 << 8 * field.size) - 1
    for value in (0, 1, 8, 63, 64, 127, 128, 1 << 10, 1 << 12, 1 << 20, 1 << 31, 1 << 62, top // 2, top - 7, top):
        if value <= top:
            yield value
    for step in (1, 8, 64, 4096):
        yield from (value for value in (now - step, now + step) if 0 <= value <= top)


def verdicts(data: bytes) -> tuple[bool, bool]:
    """Whether the plain reader and the core attach."""
    with descriptor(data) as fd:
        try:
            PlainReader(fd).close()
            plain = True
        except Refused:
            plain = False
        try:
            _ring.Region(fd)
            core = True
        except (RegionCorrupt, LayoutMismatch):
            core = False
    return plain, core


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_both_readers_judge_a_header_alike(field: layout.Field) -> None:
    golden = image()
    now = layout.GEOMETRY.unpack(golden)[field.name]
    assert isinstance(now, int)
    for value in {*edges(field, now)}:
        plain, core = verdicts(edited(golden, **{field.name: value}))
        assert plain == core, f"{field.name} = {value}: plain reader {plain}, core {core}"


def test_a_header_that_is_right_is_read() -> None:
    assert verdicts(image()) == (True, True)


@pytest.mark.parametrize("size", [0, 1, 8, 511, 1023, 1024, 4096, 270336, 405504, 471039])
def test_a_truncated_region_is_refused(size: int) -> None:
    assert verdicts(image()[:size]) == (False, False)


def test_a_longer_object_is_no_harm() -> None:
    assert verdicts(image() + bytes(4096)) == (True, True)


def test_random_bytes_are_refused() -> None:
    noise = random.Random(7).randbytes(65536)
    assert verdicts(noise) == (False, False)
    assert verdicts(image()[:8] + noise) == (False, False)


def test_a_region_without_its_magic_is_refused() -> None:
    assert verdicts(bytes(8) + image()[8:]) == (False, False)


def read_everything(fd: int) -> int:
    """Look at all there is with both readers; how often one of them objected."""
    objections = 0
    plain, region = PlainReader(fd), _ring.Region(fd)
    seqs = range(region.base_seq, region.base_seq + 80)
    looks: tuple[Callable[[], object], ...] = (
        *(lambda seq=seq: plain.frame(seq) for seq in seqs),
        *(lambda seq=seq: (frame := region.frame(seq)) and frame.tobytes() for seq in seqs),
        *(lambda n=n: plain.join_point(n) for n in range(8)),
        lambda: list(plain.configs()),
        plain.tracks,
        plain.join,
        region.gops,
        region.configs,
        region.tracks,
        region.counters,
        *(lambda start=start: drain(region, start) for start in ("keyframe", "oldest", "live")),
        lambda: drain(region, "seq", region.base_seq),
    )
    for look in looks:
        try:
            look()
        except (Corrupt, Lapped, NotYet, ArclydError):
            objections += 1
    return objections


def drain(region: _ring.Region, start: str, value: int = 0) -> None:
    reader = _ring.Reader(region, (start, value))
    for _ in range(500):
        item = reader.recv(0)
        if item is None:
            return
        if isinstance(item, _ring.Frame):
            item.tobytes()


def test_damage_anywhere_is_survived() -> None:
    """Words of the region overwritten with edge values and noise, thousands of them."""
    golden = image()
    chance = random.Random(20)
    spots = [
        *range(512, 1024, 4),
        *range(1024, 1024 + 2 * 256, 4),
        *(8192 + record * 4096 + offset for record in range(6) for offset in range(0, 32, 4)),
        *range(270336, 270336 + 9 * 128, 4),
        *range(401408, 401408 + 16 * 128, 4),
    ]
    edge = [0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFC0]
    objections = 0
    for _ in range(150):
        copy = bytearray(golden)
        for spot in chance.sample(spots, chance.choice([1, 2, 8, 64])):
            value = chance.choice(edge) if chance.random() < 0.7 else chance.getrandbits(32)
            copy[spot : spot + 4] = value.to_bytes(4, "little")
        with descriptor(bytes(copy)) as fd:
            objections += read_everything(fd)
    assert objections > 0

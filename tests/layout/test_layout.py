"""The layout document, ``layout.py`` and ``layout.h`` say the same; drift in any of them is found."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

import pytest

from arclyd.ring import _ring, layout
from tests.layout import sources
from tests.layout.golden_region import image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def document() -> str:
    return sources.DOCUMENT.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def header() -> str:
    return (sources.CORE / "layout.h").read_text(encoding="utf-8")


def test_document_and_module_agree(document: str) -> None:
    facts = sources.from_document(document)
    assert sources.differences(facts, sources.from_module()) == []
    assert len(facts.fields) == 9


def test_document_and_compiled_header_agree(document: str, header: str, tmp_path: Path) -> None:
    assert sources.differences(sources.from_document(document), sources.from_header(header, tmp_path)) == []


def test_comments_of_the_header_are_true(document: str, header: str) -> None:
    writers = sources.writers_in_document(document)
    places = sources.from_document(document).fields
    for field in sources.declared(header):
        assert field.offset == places[field.struct][field.name].offset, field
        assert field.writers <= writers[field.struct, field.name], field


def test_every_field_names_its_writer_and_order(document: str) -> None:
    for title, body in sources.sections(document).items():
        for row in sources.rows(body):
            if title != "Constants" and row[0].isdigit():
                assert set(row[4].split()) <= {"C", "W", "D"}, row
                assert all(row), row


def test_structures_leave_no_byte_out() -> None:
    for structure in layout.STRUCTS:
        ends = [field.offset + field.size for field in structure.fields]
        assert [field.offset for field in structure.fields] == [0, *ends[:-1]]
        assert ends[-1] == structure.size == struct.calcsize(structure.format)
        assert all(field.type.startswith("u8[") or field.offset % field.size == 0 for field in structure.fields)


def test_built_module_agrees() -> None:
    assert (_ring.LAYOUT_MAJOR, _ring.LAYOUT_MINOR) == (layout.MAJOR, layout.MINOR)
    for enum in (layout.Flag, layout.State, layout.Closed):
        for member in enum:
            name = f"STATE_{member.name}" if enum is layout.State else str(member.name)
            assert getattr(_ring, name, member.value) == member.value
    assert _ring.region_size(ring_bytes=65536, slots=16) == len(image())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| 8 | 8 | u64 | reserved_pos |", "| 16 | 8 | u64 | reserved_pos |"),
        ("| 16 | 4 | u32 | size | W |", "| 16 | 8 | u32 | size | W |"),
        ("| 40 | 8 | i64 | gop_last_pts |", "| 40 | 8 | u64 | gop_last_pts |"),
        ("| keyframe_requests |", "| keyframe_wishes |"),
        ("| DROPPABLE | 8 |", "| DROPPABLE | 128 |"),
        ("| SLOT_SIZE | 128 |", "| SLOT_SIZE | 64 |"),
        ("| CLOSED_KICKED | 4 |", "| CLOSED_KICKED | 5 |"),
        ("header, offset 768", "header, offset 896"),
    ],
)
def test_drift_of_the_document_is_found(document: str, old: str, new: str) -> None:
    assert document.count(old) == 1
    assert sources.differences(sources.from_document(document.replace(old, new)), sources.from_module()) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    arcly_i64 dts;", "    arcly_u64 dts;"),
        ("    arcly_u32 keyframe_requests;", "    arcly_u32 keyframe_wishes;"),
        ("    arcly_u64 key_seq;     /*   8", "    arcly_u32 key_seq;     /*   8"),
        ("ARCLY_CORRUPT = 16", "ARCLY_CORRUPT = 128"),
        ("ARCLY_ENDED = 2", "ARCLY_ENDED = 3"),
        ("#define ARCLY_GOPS 1024", "#define ARCLY_GOPS 512"),
        ("#define ARCLY_MINOR 0", "#define ARCLY_MINOR 1"),
    ],
)
def test_drift_of_the_header_is_found(document: str, header: str, tmp_path: Path, old: str, new: str) -> None:
    assert header.count(old) == 1
    try:
        facts = sources.from_header(header.replace(old, new), tmp_path)
    except sources.DoesNotCompile:
        return
    assert sources.differences(sources.from_document(document), facts) != []


def test_fields_that_change_places_are_found(document: str, header: str, tmp_path: Path) -> None:
    one, two = "    arcly_i64 dts;         /* 32 W */\n", "    arcly_i64 duration;    /* 40 W 0: unknown */\n"
    assert one + two in header
    facts = sources.from_header(header.replace(one + two, two + one), tmp_path)
    assert len(sources.differences(sources.from_document(document), facts)) == 2


# ------------------------------------------------------------ worked example

DUMP_LINE = re.compile(r"^([0-9a-f]{8})  ((?:[0-9a-f]{2} ?)+?)(?:\s{2,}(\S.*))?$")


def dump(document: str) -> list[tuple[int, bytes, str]]:
    """The lines of section 18: offset, bytes, meaning."""
    section = document[document.index("\n## 18. ") : document.index("\n## 19. ")]
    block = section.split("```")[1].strip().splitlines()
    lines = [DUMP_LINE.match(line) for line in block if not line.startswith("-- ")]
    assert all(lines)
    return [(int(line[1], 16), bytes.fromhex(line[2]), line[3] or "") for line in lines if line]


def test_worked_example_is_the_golden_region(document: str) -> None:
    golden = image()
    lines = dump(document)
    assert len(lines) > 80
    for offset, data, meaning in lines:
        assert golden[offset : offset + len(data)] == data, meaning


def test_worked_example_says_what_the_bytes_mean(document: str) -> None:
    checked = 0
    for _, data, meaning in dump(document):
        value = re.fullmatch(r"\w+: (-?\d+|0x[0-9a-f]+)", meaning)
        if value:
            assert int.from_bytes(data, "little") == int(value[1], 0), meaning
            checked += 1
    assert checked > 60


def test_worked_example_leaves_nothing_out(document: str) -> None:
    golden = image()
    shown = {offset + number for offset, data, _ in dump(document) for number in range(len(data))}
    section = document[document.index("\n## 18. ") :]
    starts = [int(start, 16) for start in re.findall(r"^-- .*, (0x[0-9a-f]+)$", section, flags=re.MULTILINE)]
    sizes = {0x500: 256, 0x0: 512}
    assert len(starts) == 8
    for start in starts:
        for place in range(start, start + sizes.get(start, 128)):
            assert place in shown or golden[place] == 0, hex(place)

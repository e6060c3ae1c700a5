"""The layout as its three sources tell it: ``shm_layout.md``, ``layout.h`` (by way of a compiler), ``layout.py``.

Each is turned into a `Facts`; `differences` compares two of them.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from arclyd.ring import layout

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "shm_layout.md"
CORE = ROOT / "arclyd" / "ring" / "core"

# The document's section of each structure; the offset is in the title where it is fixed.
SECTIONS = {
    "Geometry": "geometry",
    "Hot line": "hot",
    "Wake line": "wake",
    "Daemon line": "daemon",
    "Counters": "counters",
    "Track entry": "track",
    "Configuration record": "config",
    "GOP entry": "gop",
    "Slot": "slot",
}
TYPES = {"arcly_u64": "u64", "arcly_i64": "i64", "arcly_u32": "u32", "arcly_u16": "u16"} | {
    "uint64_t": "u64",
    "uint32_t": "u32",
    "uint16_t": "u16",
    "uint8_t": "u8",
    "char": "u8",
}
HEADER_FIELD = re.compile(r"^ {4}(\w+) (\w+)(\[.*?\])?;\s*/\* *(\d+)((?: +[CWD](?![\w-]))*)", re.MULTILINE)
ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


class Place(NamedTuple):
    """Where a field is and what."""

    offset: int
    size: int
    type: str


@dataclass(frozen=True)
class Facts:
    """One source's view: fields by structure, places of the header's parts, constants and enum values."""

    fields: Mapping[str, Mapping[str, Place]]
    parts: Mapping[str, int]
    values: Mapping[str, int]


def differences(one: Facts, other: Facts) -> list[str]:
    """What the two don't agree on, a line each."""
    found = []
    for what, mine, theirs in (
        ("parts", one.parts, other.parts),
        ("value", one.values, other.values),
        *((name, one.fields.get(name, {}), other.fields.get(name, {})) for name in {*one.fields, *other.fields}),
    ):
        found += [
            f"{what} {name}: {mine.get(name)} against {theirs.get(name)}"
            for name in sorted({*mine, *theirs})
            if mine.get(name) != theirs.get(name)
        ]
    return found


# ------------------------------------------------------------------ document


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.group(1).split("|")] for row in ROW.finditer(text)]


def sections(document: str) -> dict[str, str]:
    """The subsections of section 6 by title."""
    chapter = document[document.index("\n## 6. ") : document.index("\n## 7. ")]
    parts = re.split(r"^### 6\.\d+ ", chapter, flags=re.MULTILINE)[1:]
    return {title: body for title, _, body in (part.partition("\n") for part in parts)}


def from_document(document: str) -> Facts:
    fields: dict[str, dict[str, Place]] = {}
    parts: dict[str, int] = {}
    values: dict[str, int] = {}
    for title, body in sections(document).items():
        if title == "Constants":
            values = {row[0]: int(row[1], 0) for row in rows(body) if len(row) == 3 and row[1][0].isdigit()}
            continue
        name = SECTIONS[title.partition(":")[0]]
        if "offset" in title:
            parts[name] = int(title.rpartition(" ")[2])
        fields[name] = {
            row[3]: Place(int(row[0]), int(row[1]), row[2]) for row in rows(body) if len(row) == 7 and row[0].isdigit()
        }
    return Facts(fields, parts, values)


def writers_in_document(document: str) -> dict[tuple[str, str], set[str]]:
    return {
        (SECTIONS[title.partition(":")[0]], row[3]): set(row[4].split())
        for title, body in sections(document).items()
        if title != "Constants"
        for row in rows(body)
        if len(row) == 7 and row[0].isdigit()
    }


# ------------------------------------------------------------------- module


def from_module() -> Facts:
    fields = {
        struct.name: {field.name: Place(field.offset, field.size, field.type) for field in struct.fields}
        for struct in layout.STRUCTS
    }
    values = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, int)}
    for enum in (layout.Flag, layout.State, layout.Closed, layout.Kind):
        values |= {member.name: member.value for member in enum if member.name}
    return Facts(fields, {struct.name: offset for offset, struct in layout.HEADER_PARTS}, values)


# ------------------------------------------------------------------- header


@dataclass(frozen=True)
class Declared:
    """A field as declared in the header: its type, and what its comment says of offset and writers."""

    struct: str
    name: str
    type: str
    array: bool
    offset: int
    writers: frozenset[str]


def declared(header: str) -> list[Declared]:
    found = []
    for struct, body in re.findall(r"^struct arcly_(\w+) \{\n(.*?)^\};", header, flags=re.MULTILINE | re.DOTALL):
        if struct != "header":
            found += [
                Declared(struct, name, TYPES[kind], bool(array), int(offset), frozenset(writers.split()))
                for kind, name, array, offset, writers in HEADER_FIELD.findall(body)
            ]
            code = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
            assert code.count(";") == sum(field.struct == struct for field in found), f"unparsed field in {struct}"
    return found


def names(header: str) -> list[str]:
    """Constants and enum values that the header defines, without ``ARCLY_``."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    constants = re.findall(r"^#define ARCLY_(\w+) ", text, flags=re.MULTILINE)
    enums = re.findall(r"^enum arcly_\w+ \{(.*?)\};", text, flags=re.MULTILINE | re.DOTALL)
    return constants + [name for body in enums for name in re.findall(r"ARCLY_(\w+) *=", body)]


class DoesNotCompile(Exception):
    """The header's own assertions fail, or it is no C."""


def compiled(source: str, folder: Path, include: Path) -> str:
    """Output of the C program ``source``."""
    (folder / "facts.c").write_text(source, encoding="utf-8")
    command = ["gcc", "-std=c11", "-I", str(include), "-I", str(CORE), str(folder / "facts.c")]
    command += ["-o", str(folder / "facts")]
    build = subprocess.run(command, capture_output=True, text=True, check=False)
    if build.returncode:
        raise DoesNotCompile(build.stderr)
    return subprocess.run([str(folder / "facts")], capture_output=True, text=True, check=True).stdout


def from_header(header: str, folder: Path) -> Facts:
    """What a compiler makes of ``header``, the text of a layout.h; ``folder`` is for what that needs."""
    (folder / "layout.h").write_text(header, encoding="utf-8")
    all_fields = declared(header)
    lines = ['#include "layout.h"', "#include <stdio.h>", "int main(void) {"]
    lines += [
        f'printf("field {f.struct} {f.name} %zu %zu\\n", offsetof(struct arcly_{f.struct}, {f.name}),'
        f" sizeof(((struct arcly_{f.struct} *)0)->{f.name}));"
        for f in all_fields
    ]
    lines += [f'printf("value {name} %llu\\n", (unsigned long long)ARCLY_{name});' for name in names(header)]
    lines += [
        f'printf("part {struct.name} %zu\\n", offsetof(struct arcly_header, {struct.name}));'
        for _, struct in layout.HEADER_PARTS
    ]
    output = compiled("\n".join([*lines, "}"]), folder, folder)
    types = {(f.struct, f.name): f for f in all_fields}
    fields: dict[str, dict[str, Place]] = {}
    parts: dict[str, int] = {}
    values: dict[str, int] = {}
    for line in output.splitlines():
        kind, name, *rest = line.split()
        if kind == "field":
            field, size = types[name, rest[0]], int(rest[2])
            kind_of = f"{field.type}[{size}]" if field.array else field.type
            fields.setdefault(name, {})[rest[0]] = Place(int(rest[1]), size, kind_of)
        else:
            (values if kind == "value" else parts)[name] = int(rest[0])
    return Facts(fields, parts, values)

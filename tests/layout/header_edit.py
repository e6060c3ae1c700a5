"""Regions whose header says something else, with a checksum that is right."""

from __future__ import annotations

import struct

from arclyd.ring import layout
from tests.layout.plain_reader import crc32c


def edited(image: bytes, **values: int) -> bytes:
    """``image`` with those geometry fields and the checksum that belongs to them."""
    copy = bytearray(image)
    for field in layout.GEOMETRY.fields:
        if field.name in values:
            struct.pack_into("<" + field.format, copy, field.offset, values[field.name])
    if "crc" not in values:
        struct.pack_into("<I", copy, 384, crc32c(bytes(copy[8:384])))
    return bytes(copy)

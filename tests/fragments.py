"""A reader of movie fragments made from the standard, for what the writer in `arclyd.media.formats` makes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from arclyd.media.formats.fragment import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator


def fragments(data: bytes) -> Iterator[list[Sample]]:
    """The samples of each fragment of a segment."""
    at = 0
    while at < len(data):
        (moof,) = struct.unpack_from(">I", data, at)
        (mdat,) = struct.unpack_from(">I", data, at + moof)
        yield read(data[at : at + moof + mdat])[1]
        at += moof + mdat


def scale_of(init: bytes) -> int:
    """Units per second of the track of an init segment, from its media header (8.4.2)."""
    at = init.index(b"mdhd") + 4
    return int.from_bytes(init[at + 20 : at + 24] if init[at] else init[at + 12 : at + 16], "big")


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

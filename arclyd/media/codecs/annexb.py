"""The two framings of NAL units: Annex B start codes and length prefixes.

arclyd's own form is length-prefixed (ISO/IEC 14496-15, 5.3.4.2 and 8.3.4); MPEG-TS and most encoders speak
Annex B (H.264 and H.265, annex B). Nothing is copied until units are joined again: a split gives views.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

START_CODE: Final = b"\x00\x00\x00\x01"
"""The start code written before every NAL unit: the long form is right at every place."""

_START: Final = re.compile(b"\x00\x00\x01")


def is_annexb(data: Buffer) -> bool:
    """True if ``data`` begins with a start code, of three or four bytes.

    A length-prefixed unit can look like that only with a prefix of four bytes and a unit of one byte,
    or of 256 to 511 bytes; ask only about bytes that may be either, such as a container's extradata.
    """
    head = bytes(memoryview(data)[:4])
    return head == START_CODE or head[:3] == b"\x00\x00\x01"


def split_annexb(data: Buffer) -> list[memoryview]:
    """The NAL units of an Annex B byte stream (B.1), as views, without the zero bytes around them.

    Raises:
        MediaError: something other than zero bytes stands before the first start code.
    """
    view = memoryview(data)
    marks = [match.start() for match in _START.finditer(view)]
    lead = marks[0] if marks else len(view)
    if bytes(view[:lead]).strip(b"\x00"):
        raise MediaError("Annex B", f"no start code before byte {lead}")
    units = []
    for start, end in pairwise((*marks, len(view))):
        unit = _without_trailing_zeros(view[start + 3 : end])
        if unit:
            units.append(unit)
    return units


def _without_trailing_zeros(unit: memoryview) -> memoryview:
    # A NAL unit never ends in a zero byte (7.4.1), so those are trailing_zero_8bits or the next start code's first.
    if unit and unit[-1] == 0:
        return unit[: len(bytes(unit).rstrip(b"\x00"))]
    return unit


def iter_length_prefixed(data: Buffer, length_size: int = 4) -> Iterator[memoryview]:
    """The NAL units of one length-prefixed access unit, as views; empty ones are passed over.

    Args:
        data: the access unit.
        length_size: bytes of each prefix: 1, 2 or 4.

    Raises:
        MediaError: a length that goes past the end, or bytes too few to be one.
        ValueError: another ``length_size``.
    """
    _check_length_size(length_size)
    view = memoryview(data)
    pos, end = 0, len(view)
    while pos < end:
        start = pos + length_size
        if start > end:
            raise MediaError("access unit", f"{end - pos} stray bytes where a length of {length_size} should be")
        pos = start + int.from_bytes(view[pos:start], "big")
        if pos > end:
            raise MediaError("access unit", f"a NAL unit of {pos - start} bytes with {end - start} bytes left")
        if pos > start:
            yield view[start:pos]


def split_length_prefixed(data: Buffer, length_size: int = 4) -> list[memoryview]:
    """`iter_length_prefixed` as a list: an error in the last unit is found before the first is used."""
    return list(iter_length_prefixed(data, length_size))


def join_annexb(units: Iterable[Buffer]) -> bytes:
    """NAL units as an Annex B byte stream, each after a start code of four bytes."""
    return b"".join(part for unit in units for part in (START_CODE, unit))


def join_length_prefixed(units: Iterable[Buffer], length_size: int = 4) -> bytes:
    """NAL units, each after its length in ``length_size`` (1, 2 or 4) bytes.

    Raises:
        MediaError: a unit too long for its length field.
        ValueError: another ``length_size``.
    """
    _check_length_size(length_size)
    parts: list[Buffer] = []
    for unit in units:
        size = memoryview(unit).nbytes
        if size >> (8 * length_size):
            raise MediaError("access unit", f"a NAL unit of {size} bytes does not fit a length of {length_size} bytes")
        parts += (size.to_bytes(length_size, "big"), unit)
    return b"".join(parts)


def to_annexb(data: Buffer, length_size: int = 4) -> bytes:
    """A length-prefixed access unit as Annex B; errors as of `iter_length_prefixed`."""
    return join_annexb(iter_length_prefixed(data, length_size))


def to_length_prefixed(data: Buffer, length_size: int = 4) -> bytes:
    """An Annex B access unit as length-prefixed; errors as of `split_annexb` and `join_length_prefixed`."""
    return join_length_prefixed(split_annexb(data), length_size)


def _check_length_size(length_size: int) -> None:
    if length_size not in {1, 2, 4}:
        raise ValueError(f"a length prefix has 1, 2 or 4 bytes, not {length_size}")

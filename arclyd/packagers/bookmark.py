"""A `Resume` as text: kept with the stream, as one of its tags, so that a packager that was killed goes on by it.

The daemon keeps tags for as long as it knows the stream, and a running packager says them again to a new daemon: no
file is needed, and what is said of a stream can't outlive it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from arclyd.packagers.segmenter import Resume

if TYPE_CHECKING:
    from arclyd.packagers.segmenter import Cutting


class _Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    cutting: tuple[str, str]
    marks: dict[str, int]
    period: int
    origin: str
    wall_ns: int
    shift: int
    longest: str


def write(id: str, cutting: Cutting, resume: Resume) -> str:
    """The bookmark of a packager with these settings, whose segments are named by ``id``."""
    text = _Text(
        id,
        (str(cutting.segment), str(cutting.part)),
        {str(seq): number for seq, number in resume.marks.items()},
        resume.period,
        str(resume.origin),
        resume.wall_ns,
        resume.shift,
        str(resume.longest),
    )
    return msgspec.json.encode(text).decode()


def read(text: str, cutting: Cutting) -> tuple[str, Resume] | None:
    """The id and where to go on; None: there is no such bookmark, or other settings cut elsewhere."""
    try:
        said = msgspec.json.decode(text, type=_Text)
        if said.cutting != (str(cutting.segment), str(cutting.part)):
            return None
        marks = {int(seq): number for seq, number in said.marks.items()}
        resume = Resume(marks, said.period, Fraction(said.origin), said.wall_ns, said.shift, Fraction(said.longest))
    except (msgspec.MsgspecError, ValueError, ZeroDivisionError):
        return None
    return (said.id, resume) if marks and said.id.isalnum() else None

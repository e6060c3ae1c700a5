"""A `Resume` as text: kept with the stream, as one of its tags, so that a packager that was killed goes on by it.

The daemon keeps tags for as long as it knows the stream, and a running packager says them again to a new daemon: no
file is needed, and what is said of a stream can't outlive it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import msgspec

from arclyd.packagers.segmenter import Cutting, Resume


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


@dataclass(frozen=True, slots=True)
class Bookmark:
    """What an earlier packager left: the id that names its segments, how it cut, and where it was."""

    id: str
    cutting: Cutting
    resume: Resume

    def numbers_by(self, head: int) -> tuple[int, int]:
        """The largest numbers of a segment and of a period it can have given out before frame ``head`` was there."""
        newest = max(self.resume.marks)
        ahead = max(0, head - newest)
        return self.resume.marks[newest] + ahead, self.resume.period + ahead


def read(text: str) -> Bookmark | None:
    """The bookmark; None: this is none."""
    try:
        said = msgspec.json.decode(text, type=_Text)
        marks = {int(seq): number for seq, number in said.marks.items()}
        resume = Resume(marks, said.period, Fraction(said.origin), said.wall_ns, said.shift, Fraction(said.longest))
        cutting = Cutting(*map(Fraction, said.cutting))
    except (msgspec.MsgspecError, ValueError, ZeroDivisionError):
        return None
    return Bookmark(said.id, cutting, resume) if marks and said.id.isalnum() else None

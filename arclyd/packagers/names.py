"""The names of what a packager serves, the same over HTTP and in a directory.

A name says what it holds for ever: init segments by their content, media by the stream's life, lane and number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MEDIA: Final = re.compile(r"([0-9a-z]{1,32})-([0-9]{1,3})-([0-9]{1,19})(?:\.([0-9]{1,5}))?\.m4s")
_TRANSPORT: Final = re.compile(r"([0-9a-z]{1,32})-([0-9]{1,19})\.ts")
_INIT: Final = re.compile(r"([0-9a-f]{12})\.mp4")
_PLAYLIST: Final = re.compile(r"track-([0-9]{1,3})\.m3u8")

MULTIVARIANT: Final = "index.m3u8"
TRANSPORT_MULTIVARIANT: Final = "index-ts.m3u8"
TRANSPORT_PLAYLIST: Final = "ts.m3u8"
MANIFEST: Final = "manifest.mpd"


@dataclass(frozen=True, slots=True)
class Media:
    """A segment's or a part's name, read."""

    id: str
    lane: int
    number: int
    part: int | None


def segment(id: str, lane: int, number: int | str) -> str:
    """The name of a segment of one lane; ``number`` may be what a template has in its place."""
    return f"{id}-{lane}-{number}.m4s"


def part(id: str, lane: int, number: int, index: int) -> str:
    """The name of a part of it."""
    return f"{id}-{lane}-{number}.{index}.m4s"


def transport(id: str, number: int) -> str:
    """The name of a segment of all lanes, as MPEG-TS."""
    return f"{id}-{number}.ts"


def init(name: str) -> str:
    """The name of an init segment."""
    return f"{name}.mp4"


def playlist(lane: int) -> str:
    """The name of a lane's playlist."""
    return f"track-{lane}.m3u8"


def read_media(name: str) -> Media | None:
    """The segment or part of that name."""
    found = _MEDIA.fullmatch(name)
    if found is None:
        return None
    life, lane, number, index = found.groups()
    return Media(life, int(lane), int(number), None if index is None else int(index))


def read_transport(name: str) -> tuple[str, int] | None:
    """The stream's life and the number of that MPEG-TS segment."""
    found = _TRANSPORT.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def life_of(name: str) -> str | None:
    """The stream's life that a segment or a part of that name is of."""
    found = _MEDIA.fullmatch(name) or _TRANSPORT.fullmatch(name)
    return found[1] if found else None


def read_init(name: str) -> str | None:
    """The lane's name."""
    found = _INIT.fullmatch(name)
    return found[1] if found else None


def read_playlist(name: str) -> int | None:
    """The lane of that playlist."""
    found = _PLAYLIST.fullmatch(name)
    return int(found[1]) if found else None


def is_own(name: str) -> bool:
    """True: a packager names files so, and no other one does."""
    fixed = {MULTIVARIANT, TRANSPORT_MULTIVARIANT, TRANSPORT_PLAYLIST, MANIFEST}
    return name in fixed or any(form.fullmatch(name) for form in (_MEDIA, _TRANSPORT, _INIT, _PLAYLIST))

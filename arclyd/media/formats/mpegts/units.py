"""What comes out of a transport stream in the end: access units, and what turns a stream's packets into them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from arclyd.media.formats.mpegts.demuxer import Unit

TIME_BASE: Final = Fraction(1, 90_000)
"""Of every timestamp here."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One canonical payload; times in `TIME_BASE`, None: not said. ``corrupt``: bytes of it are missing."""

    payload: Buffer
    pts: int | None
    dts: int | None
    duration: int | None = None
    keyframe: bool = True
    corrupt: bool = False


class Framer(Protocol):
    """Makes access units of one stream's packets, and learns from them what the track has to be declared with."""

    @property
    def config(self) -> bytes:
        """The configuration in force; empty while it is not known, or where the codec has none."""

    @property
    def sound(self) -> tuple[int, int]:
        """Sample rate in Hz and channels; (0, 0) where they are not known, or it is no sound."""

    @property
    def ready(self) -> bool:
        """All that has to be declared is known."""

    def push(self, unit: Unit) -> Iterator[AccessUnit]:
        """The next packet of the stream. `MediaError`: it is too damaged for what has not been given yet."""


class Raw:
    """Data that is carried as it comes."""

    config = b""
    sound = (0, 0)
    ready = True

    def push(self, unit: Unit) -> Iterator[AccessUnit]:
        """The packet's payload."""
        yield AccessUnit(unit.payload, unit.pts, unit.dts, corrupt=unit.damaged)

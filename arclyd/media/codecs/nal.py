"""From Annex B to arclyd's form: parameter sets move out of the frames and into the configuration."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, h264, h265
from arclyd.media.codecs.annexb import join_length_prefixed, split_annexb
from arclyd.media.codecs.bits import BitReader, unescape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Buffer


@dataclass(frozen=True, slots=True)
class Syntax:
    """What differs between the codecs: unit types, and how a configuration is made of parameter sets.

    ``sets`` are the kinds of parameter set in the order `build` takes them, the picture parameter sets last;
    ``dropped`` are further units that say nothing outside Annex B (delimiters, end marks, filler); the ``delimiter``
    begins an access unit.
    """

    nal_type: Callable[[Buffer], int]
    header_size: int
    sets: tuple[int, ...]
    delimiter: int
    dropped: frozenset[int]
    build: Callable[..., bytes]


SYNTAXES: Final[Mapping[CodecId, Syntax]] = MappingProxyType(
    {
        CodecId.H264: Syntax(h264.nal_type, 1, (7, 8), 9, frozenset({9, 10, 11, 12}), h264.build_config),
        CodecId.H265: Syntax(h265.nal_type, 2, (32, 33, 34), 35, frozenset({35, 36, 37, 38}), h265.build_config),
    }
)
"""H.264 table 7-1 and H.265 table 7-1."""


class ParameterSets:
    """The parameter sets in force, and the configuration record they make.

    An access unit that carries sequence parameter sets replaces what was there; picture parameter sets that come
    alone replace those of the same id, since encoders may send them one by one (H.264 7.4.1.2.1).
    """

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._sets: dict[int, dict[int, bytes]] = {kind: {} for kind in syntax.sets}
        self.config = b""

    def update(self, units: list[Buffer]) -> bool:
        """Take the parameter sets of one access unit; True: `config` is another one now.

        Raises:
            MediaError: sets that can't be read; those before stay in force.
        """
        before = {kind: dict(found) for kind, found in self._sets.items()}
        try:
            self._merge(units)
            if self._sets == before or not all(self._sets.values()):
                return False
            config = self._syntax.build(*(tuple(found.values()) for found in self._sets.values()))
        except MediaError:
            self._sets = before
            raise
        changed, self.config = config != self.config, config
        return changed

    def _merge(self, units: list[Buffer]) -> None:
        picture = self._syntax.sets[-1]
        found: dict[int, dict[int, bytes]] = {}
        for unit in units:
            kind = self._syntax.nal_type(unit)
            sets = found.setdefault(kind, {})
            # Only the id of a picture parameter set stands at its very start; the others are told apart by place.
            sets[self._id(unit) if kind == picture else len(sets)] = bytes(unit)
        alone = found.keys() == {picture}
        for kind, sets in found.items():
            self._sets[kind] = self._sets[kind] | sets if alone else sets

    def _id(self, unit: Buffer) -> int:
        head = memoryview(unit)[self._syntax.header_size : self._syntax.header_size + 8]
        return BitReader(unescape(head), "picture parameter set").ue(255, "its id")


class AnnexB:
    """Turns the Annex B access units of one track into length-prefixed ones.

    Args:
        codec: H264 or H265.
        extradata: parameter sets known ahead, as Annex B; may be empty.
    """

    def __init__(self, codec: CodecId, extradata: Buffer = b"") -> None:
        self._syntax = SYNTAXES[codec]
        self._sets = ParameterSets(self._syntax)
        if memoryview(extradata).nbytes:
            self._sets.update(self._sort(split_annexb(extradata))[0])

    @property
    def config(self) -> bytes:
        """The configuration in force; empty until all kinds of parameter set were seen."""
        return self._sets.config

    def convert(self, access_unit: Buffer) -> bytes:
        """The access unit without parameter sets and delimiters; empty if nothing else was in it.

        Raises:
            MediaError: not Annex B, or parameter sets that can't be read.
        """
        return self.convert_units(split_annexb(access_unit))

    def convert_all(self, data: Buffer) -> list[bytes]:
        """The access units in ``data``, each but the first begun by a delimiter, as `convert` gives them.

        Raises:
            MediaError: as `convert`.
        """
        units = split_annexb(data)
        starts = [place for place, unit in enumerate(units) if self._syntax.nal_type(unit) == self._syntax.delimiter]
        bounds = [0, *(start for start in starts if start), len(units)]
        found = [self.convert_units(units[start:end]) for start, end in pairwise(bounds)]
        return [access_unit for access_unit in found if access_unit]

    def convert_units(self, units: Sequence[Buffer]) -> bytes:
        """The access unit of these NAL units, none of them empty, as `convert` gives it.

        Raises:
            MediaError: parameter sets that can't be read.
        """
        sets, media = self._sort(units)
        if sets:
            self._sets.update(sets)
        return join_length_prefixed(media)

    def _sort(self, units: Sequence[Buffer]) -> tuple[list[Buffer], list[Buffer]]:
        sets: list[Buffer] = []
        media: list[Buffer] = []
        for unit in units:
            kind = self._syntax.nal_type(unit)
            if kind in self._syntax.sets:
                sets.append(unit)
            elif kind not in self._syntax.dropped:
                media.append(unit)
        return sets, media

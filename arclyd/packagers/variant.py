"""One rendition of a stream among others, as manifests name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arclyd.packagers.pieces import Lane
    from arclyd.packagers.window import Window


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition: ``folder`` is where its files lie, seen from the manifest; ``label`` names it."""

    folder: str
    label: str
    window: Window

    @property
    def lanes(self) -> list[Lane]:
        """What its newest period has."""
        period = self.window.period
        return list(period.lanes.values()) if period else []

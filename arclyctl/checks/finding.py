"""One thing the doctor looked at: how it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

OK: Final = "ok"
WARN: Final = "warn"
FAIL: Final = "fail"

_ORDER: Final = (OK, WARN, FAIL)


@dataclass(frozen=True, slots=True)
class Finding:
    """``status`` is ok, warn or fail; ``remedy`` is empty where nothing needs doing."""

    name: str
    status: str
    detail: str
    remedy: str = ""


def worst(findings: Iterable[Finding]) -> str:
    """The worst status among them; ok of none."""
    return max((finding.status for finding in findings), key=_ORDER.index, default=OK)

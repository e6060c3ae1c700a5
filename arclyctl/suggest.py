"""The nearest living key for one that is not there."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError, StreamNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyctl.context import Context

MAX_SUGGESTIONS: Final = 3
CUTOFF: Final = 0.6
"""Similarity below which a key is another key rather than a misspelt one; difflib's own default."""


def nearest(key: str, keys: Sequence[str]) -> list[str]:
    """The keys most like ``key``, best first: as a whole, or by their name in another application."""
    whole = get_close_matches(key, keys, MAX_SUGGESTIONS, CUTOFF)
    name = key.rpartition("/")[2]
    elsewhere = [other for other in keys if other.rpartition("/")[2] == name]
    return list(dict.fromkeys([*whole, *elsewhere]))[:MAX_SUGGESTIONS]


def suggest_keys(context: Context, error: StreamNotFound) -> None:
    """Note "did you mean …?" on the error, if the daemon still answers and has a key like it."""
    try:
        with context.connect(timeout=1.0) as control:
            keys = [stream.key for stream in control.list_streams()]
    except (ArclydError, OSError):
        return  # the error at hand is the one to tell
    if near := nearest(error.key, keys):
        error.add_note(f"did you mean {' or '.join(near)}?")

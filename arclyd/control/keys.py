"""The one rule for stream keys, used by every entry."""

from __future__ import annotations

import re
from typing import Final

from arclyd.errors import InvalidKey

MAX_PART: Final = 64
"""Longest application or stream name, in characters."""

_PART: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def parse_key(key: str) -> tuple[str, str]:
    """Split ``app/name`` into its parts; ``name~variant`` names a rendition of ``name``.

    Raises:
        InvalidKey: anything that is not exactly two parts of 1..64 of ``A-Za-z0-9._-``, neither starting
            with ``.`` (the variant, after one ``~``, follows the same rule and counts towards the 64).
    """
    if not isinstance(key, str):
        raise InvalidKey(repr(key), "not text")
    parts = key.split("/")
    if len(parts) != 2:
        raise InvalidKey(key, f"{len(parts)} parts, expected 2" if key else "empty")
    app, name = parts
    base, tilde, variant = name.partition("~")
    if len(name) > MAX_PART:
        raise InvalidKey(key, f"the name is longer than {MAX_PART} characters")
    for what, part in (("application", app), ("name", base), *((("variant", variant),) if tilde else ())):
        check_part(key, what, part)
    return app, name


def check_part(key: str, what: str, part: str) -> None:
    """Refuse ``part`` of ``key`` unless it is 1..64 of the allowed characters."""
    if not part:
        raise InvalidKey(key, f"the {what} is empty")
    if len(part) > MAX_PART:
        raise InvalidKey(key, f"the {what} is longer than {MAX_PART} characters")
    if part.startswith("."):
        raise InvalidKey(key, f"the {what} starts with a dot")
    if not _PART.fullmatch(part):
        raise InvalidKey(key, f"the {what} has a character outside A-Z a-z 0-9 . _ -")

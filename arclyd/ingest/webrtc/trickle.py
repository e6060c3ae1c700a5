"""A fragment of a description with candidates that were found later (RFC 8840, 9). No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from arclyd.errors import WireError

MOST_BYTES: Final = 16 << 10
"""Browsers send a candidate or two at a time."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """``candidates``: the values of its ``a=candidate`` lines; ``user``, ``password``: of ICE, empty if not said."""

    candidates: tuple[str, ...]
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, text: str) -> Fragment:
        """Read a fragment.

        Raises:
            WireError: it is too long, or nothing of the kind.
        """
        if len(text) > MOST_BYTES:
            raise WireError("SDP", f"a fragment of {len(text)} characters")
        said: dict[str, str] = {}
        candidates = []
        for line in text.splitlines():
            if line[1:2] != "=" or not line[:1].isalpha():
                raise WireError("SDP", f"a fragment with a line {line[:20]!r}")
            name, _, value = line[2:].partition(":")
            if line[0] == "a" and name == "candidate":
                candidates.append(value.strip())
            elif line[0] == "a":
                said.setdefault(name, value.strip())
        if not said and not candidates:
            raise WireError("SDP", "a fragment with nothing in it")
        return cls(tuple(candidates), said.get("ice-ufrag", ""), said.get("ice-pwd", ""))

"""Errors as maps of plain values, and back: how one travels from process to process, and into JSON."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from arclyd.errors import ArclydError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _leaves(cls: type[ArclydError]) -> list[type[ArclydError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _leaves(sub))]


def to_wire(error: ArclydError) -> dict[str, object]:
    """The error as a map that `from_wire` turns back: ``{"code", "message", "facts"}``."""
    names = inspect.signature(type(error)).parameters if type(error) is not ArclydError else ()
    facts = {name: getattr(error, name) for name in names if hasattr(error, name)}
    return {"code": error.code, "message": str(error), "facts": facts}


def from_wire(code: str, message: str, facts: Mapping[str, object]) -> ArclydError:
    """The error a peer sent. An unknown code or ill-fitting facts give a plain `ArclydError`."""
    for cls in _leaves(ArclydError):
        if cls.__dict__.get("code") == code and cls is not ArclydError:
            try:
                return cls(**facts)
            except TypeError:
                break
    return ArclydError(message)

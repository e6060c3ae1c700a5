"""Where a recording lies: a path with strftime directives and fields of the stream."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Final

from arclyd.errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS: Final = ("app", "name", "number", "epoch")
MAX_SAME: Final = 10_000
"""Files of one name told apart by a number before something is wrong with the template."""

_SOME_TIME: Final = datetime(2000, 1, 1, tzinfo=UTC)
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._~-]")


class PathTemplate:
    """A path such as ``/var/rec/{app}/{name}/%Y-%m-%d/%H-%M-%S.mp4``.

    Fields are ``{app}`` and ``{name}`` of the stream key, ``{number}`` (files of the stream since the recorder
    started, from 1) and ``{epoch}`` (which publisher); numbers take a width, as ``{number:04}``. What stands outside
    of fields goes through strftime (C11, 7.27.3.5), what comes from the stream does not, and can neither leave its
    place in the path nor be hidden.

    Raises:
        RequestRefused: a field there is not, or a path without a file name.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = list(_parsed(text))
        self._fields = {field for _, field, _ in self._parts if field}
        if not text or text.endswith("/"):
            raise RequestRefused(f"the path {text!r} has no file name")
        self.path("app/name", _SOME_TIME, number=1, epoch=1)

    @property
    def root(self) -> Path:
        """The directory that all recordings have in common: what comes before the first part that varies."""
        fixed = re.split(r"[%{]", self.text, maxsplit=1)[0]
        return Path(fixed[: fixed.rfind("/") + 1] or ".")

    @property
    def tells_streams_apart(self) -> bool:
        """Streams of one application have paths of their own."""
        return "name" in self._fields

    @property
    def tells_apps_apart(self) -> bool:
        """Applications have paths of their own."""
        return "app" in self._fields

    def path(self, key: str, when: datetime, *, number: int, epoch: int) -> Path:
        """The path of a file of stream ``key`` that begins at ``when``."""
        app, _, name = key.partition("/")
        values: dict[str, str | int] = {"app": _safe(app), "name": _safe(name), "number": number, "epoch": epoch}
        made = []
        for literal, field, form in self._parts:
            made.append(when.strftime(literal) if "%" in literal else literal)
            if field:
                made.append(format(values[field], form))
        return Path("".join(made))


def numbered(path: Path) -> Iterator[Path]:
    """``path``, then ``path`` with ``-2``, ``-3`` … before its extension: names for a place that is taken."""
    yield path
    for number in range(2, MAX_SAME):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def _parsed(text: str) -> Iterator[tuple[str, str, str]]:
    """Literal text, the field after it ("" at the end) and its format."""
    try:
        for literal, field, form, conversion in Formatter().parse(text):
            if field is not None and (field not in FIELDS or conversion):
                raise RequestRefused(f"the path has no field {{{field}}} (there are {_USAGE})")
            width = form or ""
            if width and (field not in ("number", "epoch") or not re.fullmatch(r"0?[1-9]", width)):
                problem = f"the path's field {{{field}:{width}}} is not understood (a width, as {{number:04}})"
                raise RequestRefused(problem)
            yield literal, field or "", width
    except ValueError as error:
        raise RequestRefused(f"the path {text!r} is not understood: {error}") from None


def _safe(part: str) -> str:
    """A part of a stream key as a part of a path; the rule for keys leaves nothing to do here but for one broken."""
    plain = _UNSAFE.sub("_", part) or "_"
    return "_" + plain[1:] if plain.startswith(".") else plain


_USAGE: Final = ", ".join(f"{{{field}}}" for field in FIELDS)

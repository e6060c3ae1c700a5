"""The passphrases of applications, out of files: nothing secret is in a command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arclyd.control.keys import check_part
from arclyd.errors import InvalidKey, WireError
from arclyd.protocols.srt.address import checked_passphrase

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ANY_APP = "*"


class Passphrases:
    """By application; ``*`` is any other. An application without one is not encrypted."""

    def __init__(self, by_app: Mapping[str, bytes]) -> None:
        self._by_app = dict(by_app)

    def of(self, app: str) -> bytes:
        """That of an application; empty: none."""
        return self._by_app.get(app, self._by_app.get(ANY_APP, b""))


def read(path: Path) -> bytes:
    """The passphrase in a file, without the end of its line. Raises `WireError`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise WireError("SRT", f"{path}: {error.strerror}") from error
    return checked_passphrase(text.rstrip(b"\r\n"))


def from_options(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> Passphrases:
    """Out of ``APP=PATH`` and ``PATH`` as often as they were given."""
    by_app = {}
    for value in values:
        app, equals, path = value.partition("=")
        app, path = (app, path) if equals else (ANY_APP, value)
        try:
            if app != ANY_APP:
                check_part(app, "application", app)
            by_app[app] = read(Path(path))
        except (InvalidKey, WireError) as error:
            raise click.BadParameter(f"{value}: {error}") from error
    return Passphrases(by_app)

"""`arclyd recordings`: what the index says was recorded."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from arclyd.command_line import clean
from arclyd.control.keys import parse_key
from arclyd.recorder.disk import is_growing
from arclyd.recorder.index import FILE_NAME, INTERRUPTED, Index

if TYPE_CHECKING:
    from arclyd.recorder.index import Recording

PLAIN_WIDTH = 4096
"""Columns of output that is no terminal: wide enough that no line is folded."""


@click.command
@click.argument("place", type=click.Path(exists=True, path_type=Path))
@click.argument("keys", nargs=-1, metavar="[KEY...]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def recordings(place: Path, keys: tuple[str, ...], *, as_json: bool) -> None:
    """List the recordings of the index PLACE (or of the directory it lies in), oldest first; of KEY only, if named."""
    for key in keys:
        parse_key(key)
    with closing(Index(place / FILE_NAME if place.is_dir() else place)) as index:
        rows = [(recording, *_now(index, recording)) for recording in index.recordings(keys)]
    if as_json:
        for recording, state, path, size in rows:
            told = {**asdict(recording), "file": str(path), "bytes": size, "state": state}
            click.echo(json.dumps(told))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    table = Table("started", "stream", "state", "length", "size", "frames", "missed", "file", box=None, pad_edge=False)
    for recording, state, path, size in rows:
        started = datetime.fromtimestamp(recording.started_ms / 1000, tz=UTC).astimezone()
        table.add_row(
            f"{started:%Y-%m-%d %H:%M:%S}",
            recording.key,
            state,
            str(timedelta(seconds=round(recording.seconds))) if recording.seconds else "-",
            decimal(size),
            f"{recording.frames:,}" if recording.frames else "-",
            f"{recording.missed:,}",
            clean(str(path)),
        )
    console.print(table)


def _now(index: Index, recording: Recording) -> tuple[str, Path, int]:
    """A recording's state now, where it lies, and its size."""
    path = index.locate(recording)
    try:
        size = path.stat().st_size
        growing = not recording.ended and is_growing(path)
    except OSError:
        return "missing", path, recording.bytes
    return ("recording" if growing else recording.ended or INTERRUPTED), path, size

"""How answers look: rich tables on a terminal, the same table without frame or colour in a pipe, plain JSON.

Text that came from a publisher or a subscriber always passes `clean`, and reaches rich as `Text`, never as
markup: nothing a stranger names his stream's tags can paint the operator's terminal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click
from rich import box
from rich.table import Table
from rich.text import Text

from arclyd.command_line import clean

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Cell = str | Text
"""What a table's cell may be; a plain string is cleaned and never read as markup."""

STATE_STYLES: Final = MappingProxyType(
    {
        "publishing": "green",
        "interrupted": "yellow",
        "ended": "dim",
        "idle": "dim",
        "recording": "bold red",
        "transcoding": "cyan",
        "ok": "green",
        "warn": "yellow",
        "fail": "bold red",
        "healthy": "green",
        "degraded": "yellow",
        "unhealthy": "bold red",
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers go to the ``right``, and only ``fold`` text is broken over lines.

    Where a terminal is too narrow, columns with a ``spare`` are left out, the highest first: a number cut in half
    would be a lie.
    """

    title: str
    right: bool = False
    fold: bool = False
    spare: int = 0


FOLDED_WIDTH: Final = 24
"""Characters that text which may be folded is given before columns are left out for it."""
COLUMN_GAP: Final = 3


def number(title: str, spare: int = 0) -> Column:
    """A column of numbers."""
    return Column(title, right=True, spare=spare)


def build_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> Table:
    """A table for that console: a framed head and the columns that fit on a terminal, bare and whole elsewhere."""
    cells = [[as_text(cell) for cell in row] for row in rows]
    shown = list(range(len(columns)))
    if console.is_terminal:
        shown = _fitting(console.width, columns, cells)
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, header_style="bold")
    for column in (columns[index] for index in shown):
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.fold,
            overflow="fold" if column.fold else "ellipsis",
        )
    for row in cells:
        table.add_row(*(row[index] for index in shown))
    return table


def _fitting(width: int, columns: Sequence[Column], cells: Sequence[Sequence[Text]]) -> list[int]:
    """Places of the columns to show so that no number is cut, as far as there are columns to spare."""
    needs = [
        _needed(column, [len(column.title), *(row[index].cell_len for row in cells)])
        for index, column in enumerate(columns)
    ]
    shown = list(range(len(columns)))
    while sum(needs[index] + COLUMN_GAP for index in shown) > width:
        least = max(shown, key=lambda index: columns[index].spare)
        if not columns[least].spare:
            break
        shown.remove(least)
    return shown


def _needed(column: Column, lengths: Sequence[int]) -> int:
    return min(max(lengths), FOLDED_WIDTH) if column.fold else max(lengths)


def build_pairs(rows: Iterable[tuple[str, Cell]]) -> Table:
    """Names and values in two columns, as `info` shows them."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column(overflow="fold")
    for name, value in rows:
        grid.add_row(Text(name), as_text(value))
    return grid


def show(console: Console, *parts: RenderableType) -> None:
    """Print the parts with an empty line between them; in a pipe without the blanks that fill a table's last column."""
    for index, part in enumerate(parts):
        if index:
            console.print()
        if console.is_terminal:
            console.print(part)
            continue
        with console.capture() as captured:
            console.print(part)
        for line in captured.get().splitlines():
            click.echo(line.rstrip())


def as_text(cell: Cell) -> Text:
    """The cell as rich takes it, control characters shown as escapes."""
    return cell if isinstance(cell, Text) else Text(clean(cell))


def styled(words: Iterable[str], separator: str = " ") -> Text:
    """State words, each in its colour."""
    return Text(separator).join(Text(clean(word), style=STATE_STYLES.get(word, "")) for word in words)


def facts_text(facts: Mapping[str, object]) -> str:
    """Free-form facts as ``name=value`` words."""
    return " ".join(f"{name}={_fact(value)}" for name, value in facts.items())


def _fact(value: object) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else text


def to_plain(value: object) -> object:
    """What JSON takes: dataclasses become maps of their fields, tuples and sets lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    return value

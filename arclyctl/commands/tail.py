"""`arclyctl tail`: one line for each frame of a stream, gaps on a line of their own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import click

from arclyctl import units
from arclyctl.types import StreamKey
from arclyd import Frame, Gap, Subscriber
from arclyd.command_line import clean
from arclyd.errors import EndOfStream, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from arclyctl.context import Context
    from arclyd import Track

HEADING: Final = (
    f"{'SEQ':>10}  {'TRACK':<7} {'CODEC':<6} {'PTS':>12} {'DTS-PTS':>10} {'SIZE':>9}  {'FLAGS':<10} {'AGE':>8}"
)
SHORT: Final = MappingProxyType({"discontinuity": "disc", "droppable": "drop"})
"""Flags as the column has room for."""
STARTS: Final = ("live", "keyframe", "oldest")


class StartParam(click.ParamType[str | int | float, str]):
    """Where to begin: ``live``, ``keyframe``, ``oldest``, a sequence, or ``-SECONDS``."""

    name = "start"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str | int | float:
        """As `Subscriber` takes it: a negative number is seconds back, another one a sequence."""
        if value in STARTS:
            return value
        try:
            return float(value) if value.startswith("-") else int(value)
        except ValueError:
            self.fail(f"{value!r} is none of {', '.join(STARTS)}, a sequence, or -SECONDS", param, ctx)


@dataclass(frozen=True, slots=True)
class FrameLine:
    """What is told of one frame; times of media in the track's time base beside them in seconds."""

    type: str
    seq: int
    track: int
    kind: str
    codec: str
    pts: int
    dts: int
    duration: int | None
    time_base: tuple[int, int]
    pts_seconds: float
    dts_seconds: float
    size: int
    flags: tuple[str, ...]
    epoch: int
    config_generation: int
    age_seconds: float | None


@dataclass(frozen=True, slots=True)
class GapLine:
    """Frames this reader lost."""

    type: str
    missed: int
    resumed_at: int


@click.command
@click.argument("key", type=StreamKey())
@click.option("--frames", type=click.IntRange(min=1), metavar="N", help="Stop after N frames.")
@click.option(
    "--start",
    type=StartParam(),
    default="live",
    show_default=True,
    metavar="live|keyframe|oldest|SEQ|-SECONDS",
    help="Where to begin.",
)
@click.option("--track", metavar="ID|KIND", help="Only this track: its number, or all of a kind (video, audio, data).")
@click.pass_obj
def tail(context: Context, key: str, frames: int | None, start: str | float, track: str | None) -> None:
    """Print one line for each frame of the stream KEY as it is published, until the stream ends.

    The age is the time since the frame was published. A gap, frames lost because this reader was too slow,
    has a line of its own. A stream that ended ends this with 0, any other end with the code of its reason.
    """
    wanted = int(track) if track is not None and track.isdigit() else track
    console = context.console()
    tracks = None if wanted is None else [wanted]
    with Subscriber(key, start=start, tracks=tracks, socket=context.socket, name="arclyctl tail") as reader:
        if isinstance(wanted, int) and wanted >= len(reader.tracks):
            raise RequestRefused(f"stream {key!r} has no track {track}")
        if not context.json and console.is_terminal:
            click.echo(HEADING)
        try:
            for line in Lines(reader).read(frames):
                if context.json:
                    context.emit(line)
                else:
                    click.secho(format_line(line), fg=_colour(line), color=_may_colour(console))
        except EndOfStream as end:
            if end.reason != "ended":
                raise
            click.echo(f"{key} ended", err=True)


class Lines:
    """What a subscriber receives, as `FrameLine` and `GapLine`."""

    def __init__(self, reader: Subscriber) -> None:
        self._reader = reader
        self._epoch: int | None = None
        self._tracks: list[Track] = []

    def read(self, frames: int | None) -> Iterator[FrameLine | GapLine]:
        """Lines up to that many frames (None: to the end of the stream, which is `EndOfStream`)."""
        told = 0
        while frames is None or told < frames:
            item = self._reader.recv_raw()
            if isinstance(item, Gap):
                yield GapLine("gap", item.missed, item.resumed_at)
            else:
                told += 1
                yield self.describe(item, time.monotonic_ns())

    def describe(self, frame: Frame, now_ns: int) -> FrameLine:
        """The line of a frame; the payload is not looked at."""
        if frame.epoch != self._epoch:  # another publisher may have other tracks
            self._epoch, self._tracks = frame.epoch, self._reader.tracks
        track = self._tracks[frame.track] if frame.track < len(self._tracks) else None
        time_base = track.time_base if track else Fraction(1)
        return FrameLine(
            type="frame",
            seq=frame.seq,
            track=frame.track,
            kind=track.kind.label if track else "",
            codec=track.codec.label if track else "",
            pts=frame.pts,
            dts=frame.dts,
            duration=frame.duration,
            time_base=(time_base.numerator, time_base.denominator),
            pts_seconds=float(frame.pts * time_base),
            dts_seconds=float(frame.dts * time_base),
            size=frame.size,
            flags=flag_words(frame),
            epoch=frame.epoch,
            config_generation=frame.config_generation,
            # a configuration delivered on joining has no moment of publishing of its own
            age_seconds=max(0, now_ns - frame.publish_ns) / 1e9 if frame.publish_ns else None,
        )


def flag_words(frame: Frame) -> tuple[str, ...]:
    """What is said of the frame, in words."""
    said = {
        "key": frame.keyframe,
        "config": frame.is_config,
        "discontinuity": frame.discontinuity,
        "droppable": frame.droppable,
        "corrupt": frame.corrupt,
    }
    return tuple(word for word, holds in said.items() if holds)


def format_line(line: FrameLine | GapLine) -> str:
    """The line as text, in columns of fixed width."""
    if isinstance(line, GapLine):
        return f"{'gap':>10}  {line.missed} frames lost, goes on at {line.resumed_at}"
    codec = clean(line.codec) or "?"
    delta = line.dts_seconds - line.pts_seconds
    age = "-" if line.age_seconds is None else units.seconds(line.age_seconds)
    flags = "+".join(SHORT.get(flag, flag) for flag in line.flags) or "-"
    return (
        f"{line.seq:>10}  {line.track} {line.kind:<5} {codec:<6} {line.pts_seconds:>11.3f}s {delta:>+9.3f}s "
        f"{units.size(line.size):>9}  {flags:<10} {age:>8}"
    )


def _colour(line: FrameLine | GapLine) -> str | None:
    if isinstance(line, GapLine):
        return "red"
    return "green" if "key" in line.flags else "cyan" if "config" in line.flags else None


def _may_colour(console: Console) -> bool:
    return console.is_terminal and not console.no_color

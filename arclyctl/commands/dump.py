"""`arclyctl dump`: a stream into a media file, remuxed and never re-encoded."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.live import Live
from rich.text import Text

from arclyctl import units
from arclyctl.sinks import FileSink, StdoutSink
from arclyctl.types import StreamKey
from arclyd import Gap, Subscriber
from arclyd.errors import EndOfStream, FrameOverwritten, RequestRefused
from arclyd.media.formats.container import FORMATS, Format, Muxer, format_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from rich.console import Console

    from arclyctl.context import Context
    from arclyd import Frame

STDOUT: Final = "-"
LOOK_SECONDS: Final = 0.25
"""How long a silent stream is waited on before a stop is looked for and the progress line is renewed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a dump ends; None: no such bound. ``at_head``: when it has what the ring held."""

    seconds: float | None = None
    frames: int | None = None
    at_head: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """One finished file."""

    file: str
    format: str
    seconds: float
    frames: int
    bytes: int


class Part:
    """One output file being written."""

    def __init__(self, output: str, container: Format, subscriber: Subscriber) -> None:
        self.output = output
        self.format = container
        self._sink = StdoutSink() if output == STDOUT else FileSink(Path(output))
        self.tracks = subscriber.tracks
        try:
            self.muxer = Muxer(self._sink, container, self.tracks, seekable=output != STDOUT)
        except BaseException:
            self._sink.finish(keep=False)
            raise

    def finish(self) -> Written | None:
        """Complete the file; None, and no file, if nothing was written."""
        kept = False
        try:
            self.muxer.close()
            kept = self.muxer.frames > 0
        finally:
            size = self._sink.finish(keep=kept)
        return (
            Written(self.output, self.format.name, float(self.muxer.seconds), self.muxer.frames, size) if kept else None
        )


class Dump:
    """Reads the stream and writes it, in as many files as it has configurations."""

    def __init__(
        self, subscriber: Subscriber, output: str, container: Format, bounds: Bounds, console: Console, *, force: bool
    ) -> None:
        self._subscriber = subscriber
        self._output = output
        self._format = container
        self._bounds = bounds
        self._console = console
        self._force = force
        self._stopped = False
        self._epoch: int | None = None
        self._part = Part(output, container, subscriber)
        self._left_out_told = False
        self.written: list[Written] = []
        self.missed = 0
        self.end_reason = ""

    def stop(self) -> None:
        """End after the frame at hand; for signal handlers."""
        self._stopped = True

    def run(self) -> None:
        """Write until a bound, the end of the stream or `stop`; whatever happens, what is written is completed."""
        try:
            self._read()
        except EndOfStream as end:
            self.end_reason = end.reason
        finally:
            self._finish_part()
        if not self.written:
            if self.end_reason:
                raise EndOfStream(self.end_reason, self._subscriber.key)
            raise RequestRefused(f"nothing was written: stream {self._subscriber.key!r} gave no frame to start with")

    def progress(self) -> str:
        """What the progress line says."""
        if not self._part.muxer.started:
            return f"{self._subscriber.key}  waiting for a keyframe"
        return f"{self._subscriber.key}  {units.seconds(float(self._seconds()))}  {self._frames()} frames"

    def _read(self) -> None:
        with _line(self._console) as live:
            while not self._stopped and not self._complete():
                try:
                    item = self._subscriber.recv_raw(timeout=0 if self._bounds.at_head else LOOK_SECONDS)
                except TimeoutError:
                    if self._bounds.at_head:
                        return
                else:
                    if not self._take(item):
                        return
                if live is not None:
                    live.update(Text(self.progress()))

    def _take(self, item: Frame | Gap) -> bool:
        """Write one item; False: this output can't go on."""
        if isinstance(item, Gap):
            self._lost(item.missed, f"went on at {item.resumed_at}")
            return True
        try:
            if (not self._same_layout(item) or not self._part.muxer.fits(item)) and not self._next_part():
                return False
            self._part.muxer.write(item)
        except FrameOverwritten:
            self._lost(1, f"{item.seq} was overwritten while it was read")
        self._tell_left_out()
        return True

    def _lost(self, missed: int, how: str) -> None:
        self.missed += missed
        self._part.muxer.resync()
        self._say(f"gap: {units.count(missed)} frames missed, {how}")

    def _same_layout(self, frame: Frame) -> bool:
        """False: a new publisher has other tracks than those in the file's header."""
        if frame.epoch == self._epoch:
            return True
        first, self._epoch = self._epoch is None, frame.epoch
        if first:
            return True
        old, new = self._part.tracks, self._subscriber.tracks
        return [(track.codec, track.time_base) for track in old] == [(track.codec, track.time_base) for track in new]

    def _next_part(self) -> bool:
        if self._output == STDOUT:
            self._say("the configuration of the stream changed: standard output ends here")
            return False
        self._finish_part()
        output = numbered(self._output, len(self.written) + 1)
        refuse_overwriting(output, force=self._force)
        self._part = Part(output, self._format, self._subscriber)
        self._say(f"the configuration of the stream changed: going on in {output}")
        return True

    def _finish_part(self) -> None:
        done = self._part.finish()
        if done is not None:
            self.written.append(done)

    def _complete(self) -> bool:
        bounds = self._bounds
        if bounds.at_head and self._part.muxer.started and self._subscriber.lag.frames == 0:
            return True
        if bounds.frames is not None and self._frames() >= bounds.frames:
            return True
        return bounds.seconds is not None and self._seconds() >= bounds.seconds

    def _frames(self) -> int:
        return sum(part.frames for part in self.written) + self._part.muxer.frames

    def _seconds(self) -> float:
        return sum(part.seconds for part in self.written) + float(self._part.muxer.seconds)

    def _tell_left_out(self) -> None:
        if self._left_out_told or not self._part.muxer.started:
            return
        self._left_out_told = True
        for track in self._part.muxer.left_out:
            self._say(f"the {track.codec.label} track is left out: {self._format.name} can't hold it")

    def _say(self, text: str) -> None:
        click.echo(f"arclyctl: {text}", err=True)


def numbered(output: str, number: int) -> str:
    """The name of the n-th file: ``out.ts``, ``out-2.ts`` …"""
    path = Path(output)
    return str(path.with_name(f"{path.stem}-{number}{path.suffix}")) if number > 1 else output


def refuse_overwriting(output: str, *, force: bool) -> None:
    """Refuse a file that is there already, unless forced.

    Raises:
        RequestRefused: it is.
    """
    if output != STDOUT and not force and Path(output).exists():
        raise RequestRefused(f"{output} exists already (--force overwrites it)")


def choose_format(output: str, name: str | None) -> Format:
    """The container asked for by name, or by the extension; MPEG-TS on standard output.

    Raises:
        UsageError: an extension that names none.
    """
    if name is not None:
        return FORMATS[name]
    if output == STDOUT:
        return FORMATS["ts"]
    found = format_of(output)
    if found is None:
        raise click.UsageError(f"the extension of {output} names no container: use --format {'|'.join(FORMATS)}")
    return found


@contextmanager
def _line(console: Console) -> Iterator[Live | None]:
    """The progress line; None where the console is no terminal."""
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, transient=True, refresh_per_second=4) as live:
        yield live


@contextmanager
def _stopping(dump: Dump) -> Iterator[None]:
    """SIGINT and SIGTERM end the dump with a complete file."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        dump.stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command
@click.argument("key", type=StreamKey())
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, allow_dash=True), help="File, or -.")
@click.option("--format", "format_name", type=click.Choice(tuple(FORMATS)), help="Container (else: by extension).")
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), help="End after that many seconds of media.")
@click.option("--last", type=click.FloatRange(min=0, min_open=True), help="That many seconds of the past, at once.")
@click.option("--frames", type=click.IntRange(min=1), help="End after that many frames, of all tracks together.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.pass_obj
def dump(
    context: Context,
    key: str,
    *,
    output: str,
    format_name: str | None,
    duration: float | None,
    last: float | None,
    frames: int | None,
    force: bool,
) -> None:
    """Write the stream KEY to a media file (ts, mp4, mkv, flv by its extension), as it is.

    It starts at a keyframe, with --last at the one before that moment or at the oldest in the ring, and ends with the
    stream, at a bound or by Ctrl-C; the file gets its name when it is complete. If the stream's configuration
    changes, a new file is begun: out.ts, out-2.ts …
    """
    if sum(bound is not None for bound in (duration, last, frames)) > 1:
        raise click.UsageError("--duration, --last and --frames exclude one another")
    container = choose_format(output, format_name)
    refuse_overwriting(output, force=force)
    start = "keyframe" if last is None else -last
    bounds = Bounds(seconds=duration, frames=frames, at_head=last is not None)
    with Subscriber(key, start=start, socket=context.socket, name="arclyctl dump") as subscriber:
        job = Dump(subscriber, output, container, bounds, context.console(stderr=True), force=force)
        with _stopping(job):
            job.run()
    _summarize(context, job, output)


def _summarize(context: Context, job: Dump, output: str) -> None:
    if context.json and output != STDOUT:
        context.emit({"files": job.written, "missed": job.missed, "end_reason": job.end_reason})
        return
    for part in job.written:
        size, seconds = units.size(part.bytes), units.seconds(part.seconds)
        click.echo(f"{part.file}: {seconds}, {units.count(part.frames)} frames, {size}", err=True)
    if job.end_reason:
        click.echo(f"the stream is over: {job.end_reason}", err=True)

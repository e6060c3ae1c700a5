"""`arclyd record KEY…`: the shell around the recorders, with options, signals, lines and table."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from arclyd.command_line import seconds, size
from arclyd.control.keys import parse_key
from arclyd.recorder.activity import Activities
from arclyd.recorder.index import FILE_NAME, Index
from arclyd.recorder.recorder import Recorder, Rules
from arclyd.recorder.report import Report, Status
from arclyd.recorder.retention import Limits, Retention
from arclyd.recorder.segment import CONTAINERS, container_of
from arclyd.recorder.session import Session
from arclyd.recorder.template import PathTemplate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction
    from types import FrameType

    from arclyd.media.formats.container import Format

OUTPUT: Final = "{app}/{name}/%Y-%m-%d/%H-%M-%S.mp4"
NEVER: Final = "never"
LOOK_SECONDS: Final = 0.25
SWEEP_SECONDS: Final = 5.0
"""How often what is kept is compared with what may be kept."""


@click.command
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option(
    "-o",
    "--output",
    default=OUTPUT,
    show_default=True,
    metavar="PATH",
    help="Path of the files: strftime directives, {app}, {name}, {number}, {epoch}.",
)
@click.option("--format", "format_name", type=click.Choice(tuple(CONTAINERS)), help="Container (else: by extension).")
@click.option(
    "--segment-duration",
    type=lambda text: None if text == NEVER else seconds(text),
    default="1h",
    show_default=True,
    metavar="TIME",
    help=f"New file after so much media, as 10min; {NEVER}: one file.",
)
@click.option("--segment-size", type=size, metavar="SIZE", help="New file before this one is larger, as 1GiB.")
@click.option(
    "--on-gap",
    type=click.Choice(("join", "split")),
    default="join",
    show_default=True,
    help="After lost frames, another publisher or a jump in time: go on in the file, or begin another one.",
)
@click.option("--last", type=seconds, metavar="TIME", help="Begin so far in the past, with what the ring holds.")
@click.option("--keep", type=seconds, metavar="TIME", help="Delete recordings older than that, as 7d.")
@click.option("--keep-size", type=size, metavar="SIZE", help="Delete the oldest where all take more, as 100GiB.")
@click.option("--index", "index_path", type=click.Path(path_type=Path), help=f"Index (else: {FILE_NAME} beside them).")
@click.option("--utc", is_flag=True, help="Times in paths are UTC, not local time.")
@click.option("--socket", type=click.Path(), help="Control socket of the daemon (environment: ARCLYD_SOCKET).")
@click.option("-q", "--quiet", is_flag=True, help="Say only what goes wrong.")
def record(
    keys: tuple[str, ...],
    *,
    output: str,
    format_name: str | None,
    segment_duration: Fraction | None,
    segment_size: int | None,
    on_gap: str,
    last: Fraction | None,
    keep: Fraction | None,
    keep_size: int | None,
    index_path: Path | None,
    utc: bool,
    socket: str | None,
    quiet: bool,
) -> None:
    """Record the streams KEY... to files (mp4, ts, mkv), as they are.

    What is written plays at every moment, also after a crash. Files are cut at keyframes. Streams are waited for, and
    waited for again when they are over; Ctrl-C and SIGTERM complete the files. `arclyd recordings` lists them.
    """
    for key in keys:
        parse_key(key)
    template = PathTemplate(output)
    check_paths(template, keys)
    rules = Rules(
        template=template,
        container=choose_container(output, format_name),
        seconds=segment_duration,
        bytes=segment_size,
        split=on_gap == "split",
        utc=utc,
    )
    limits = Limits(None if keep is None else float(keep), keep_size)
    template.root.mkdir(parents=True, exist_ok=True)
    with closing(Index(index_path or template.root / FILE_NAME, create=True)) as index:
        recorders = Recorders(
            list(dict.fromkeys(keys)), rules, index, limits=limits, last=last, socket=socket, quiet=quiet
        )
        recorders.run()


def choose_container(output: str, name: str | None) -> Format:
    """The container asked for by name, or by the extension.

    Raises:
        UsageError: an extension that names none.
    """
    if name is not None:
        return CONTAINERS[name]
    found = container_of(output)
    if found is None:
        raise click.UsageError(f"the extension of {output} names no container: use --format {'|'.join(CONTAINERS)}")
    return found


def check_paths(template: PathTemplate, keys: Sequence[str]) -> None:
    """Several streams need paths that tell them apart.

    Raises:
        UsageError: these do not.
    """
    apps, names = ({key.partition("/")[place] for key in keys} for place in (0, 2))
    if (len(apps) > 1 and not template.tells_apps_apart) or (len(names) > 1 and not template.tells_streams_apart):
        raise click.UsageError(f"several streams need {{app}} or {{name}} in the path {template.text}")


class Recorders:
    """The recorders of one process: a thread for each stream."""

    def __init__(
        self,
        keys: list[str],
        rules: Rules,
        index: Index,
        *,
        limits: Limits,
        last: Fraction | None,
        socket: str | None,
        quiet: bool,
    ) -> None:
        self._stop = threading.Event()
        statuses = [Status(key) for key in keys]
        self._report = Report(statuses, quiet=quiet)
        self._activities = Activities(socket)
        self._index = index
        self._retention = Retention(index, limits, keys, rules.template.root, self._report.say)
        self._keys = keys
        self._sessions = [
            Session(
                status.key,
                Recorder(rules, index, status, report=self._report, activities=self._activities),
                rules,
                self._report,
                self._stop,
                last=None if last is None else float(last),
                socket=socket,
            )
            for status in statuses
        ]

    def run(self) -> None:
        """Record until SIGINT or SIGTERM, or until no stream can be recorded any more; raises why."""
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with self._report, self._activities:
                self._run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        for session in self._sessions:
            if session.error is not None:
                raise session.error

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._stop.set()
        signal.signal(number, signal.SIG_DFL)  # a second one ends it at once: what is written plays

    def _run(self) -> None:
        for settled in self._index.settle(self._keys):
            self._report.warn(settled.key, f"{settled.file} was cut short: its recorder was killed")
        threads = [threading.Thread(target=session.run, name=session.key) for session in self._sessions]
        for thread in threads:
            thread.start()
        swept = 0.0
        while any(thread.is_alive() for thread in threads):
            if time.monotonic() - swept >= SWEEP_SECONDS:
                self._sweep()
                swept = time.monotonic()
            self._report.tick()
            threads_over(threads, LOOK_SECONDS)
        self._sweep()

    def _sweep(self) -> None:
        try:
            self._retention.sweep(time.time_ns() // 1_000_000)
        except OSError as error:
            self._report.count("", f"{{}} times nothing could be deleted: {error.strerror}", 1)


def threads_over(threads: list[threading.Thread], seconds_: float) -> bool:
    """Wait for the threads, for so long together at most; True: all have ended."""
    deadline = time.monotonic() + seconds_
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)

"""`arclyd publish SOURCE KEY`: the shell around a feed, with its options, signals and progress line."""

from __future__ import annotations

import logging
import sys
from contextlib import closing, contextmanager, nullcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Final

import click

from arclyd.client.publisher import POLICIES, Publisher
from arclyd.command_line import size
from arclyd.control.keys import parse_key
from arclyd.errors import MediaError
from arclyd.ingest.file.feed import Feed, Report
from arclyd.ingest.file.generated import PREFIX, GeneratedSource, Pattern
from arclyd.ingest.file.interrupt import Interruptible
from arclyd.ingest.file.progress import Progress
from arclyd.ingest.file.source import Source, open_file, open_pipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STDIN: Final = "-"


def _tags(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    tags = dict(value.partition("=")[::2] for value in values)
    if "" in tags:
        raise click.BadParameter("a tag is NAME=VALUE")
    return tags


@click.command
@click.argument("source")
@click.argument("key")
@click.option("--fast", is_flag=True, help="Do not pace: publish as fast as the source gives (a live pipe, a test).")
@click.option("--loop", is_flag=True, help="Start again at the end, with timestamps that go on.")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End after that much media.")
@click.option("--socket", type=click.Path(), help="Control socket of the daemon (environment: ARCLYD_SOCKET).")
@click.option(
    "--ring-bytes", type=size, metavar="SIZE", help="Payload ring of the stream, as 64MiB (else: the application's)."
)
@click.option("--slots", type=click.IntRange(min=1), help="Frames the ring holds (else: the application's).")
@click.option("--on-taken", type=click.Choice(POLICIES), help="If the key has a publisher (else: the application's).")
@click.option("--tag", "tags", multiple=True, callback=_tags, metavar="NAME=VALUE", help="Metadata; may be repeated.")
@click.option("-q", "--quiet", is_flag=True, help="No progress line and no warnings.")
def publish(
    source: str,
    key: str,
    *,
    fast: bool,
    loop: bool,
    seconds: float | None,
    socket: str | None,
    ring_bytes: int | None,
    slots: int | None,
    on_taken: str | None,
    tags: dict[str, str],
    quiet: bool,
) -> None:
    """Publish SOURCE as the live stream KEY, frame by frame in real time.

    SOURCE is a media file; - for MPEG-TS, FLV or Matroska on standard input; or a test picture with sound,
    test:size=1280x720,fps=25,gop=50,bitrate=2M,sound=on, each part of which may be left out.

    A pipe that is live by itself is best published with --fast: its own clock then sets the pace. Ctrl-C and
    SIGTERM end the stream cleanly.
    """
    parse_key(key)
    if loop and source == STDIN:
        raise click.UsageError("--loop needs a source that can be read again; standard input can't")
    if quiet:
        logging.getLogger("arclyd").setLevel(logging.ERROR)
    with Interruptible() as signals, closing(_open(source, signals)) as opened:
        with signals.at_once():  # a backup waits here for its turn
            publisher = Publisher(
                key,
                opened.tracks,
                ring_bytes=ring_bytes,
                slots=slots,
                on_taken=on_taken,
                metadata={"ingest_protocol": _protocol(source), "tags": tags},
                socket=socket,
                name=f"publish {source}",
            )
        with publisher, _progress(key, quiet=quiet) as report:
            bound = None if seconds is None else Fraction(seconds)
            Feed(opened, publisher, signals.stop, paced=not fast, loop=loop, seconds=bound, report=report).run()


def _protocol(source: str) -> str:
    return "test" if source.startswith(PREFIX) else "pipe" if source == STDIN else "file"


def _open(source: str, signals: Interruptible) -> Source:
    if source.startswith(PREFIX):
        return GeneratedSource(Pattern.parse(source))
    if source != STDIN:
        return open_file(source)
    try:
        return open_pipe(sys.stdin.fileno(), signals.stop)
    except MediaError:
        if signals.stop.is_set():
            raise KeyboardInterrupt from None  # it ended early because it was told to
        raise


@contextmanager
def _progress(key: str, *, quiet: bool) -> Iterator[Callable[[Report], None] | None]:
    shown = Progress(key) if sys.stderr.isatty() and not quiet else None
    with shown or nullcontext():
        yield shown.show if shown else None

"""`arclyctl snapshot`: a stream's last keyframe as a picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arclyctl import units
from arclyctl.sinks import FileSink, StdoutSink
from arclyctl.types import StreamKey
from arclyd import Subscriber
from arclyd.errors import FrameOverwritten, RequestRefused
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.still import EXTENSIONS, still

if TYPE_CHECKING:
    from arclyctl.context import Context
    from arclyd import Track

STDOUT = "-"


@click.command
@click.argument("key", type=StreamKey())
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, allow_dash=True), help="File, or -.")
@click.option(
    "--format", "format_name", type=click.Choice(("jpeg", "png")), help="Else by the file's extension; jpeg for -."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="Seconds to wait for a keyframe, where the stream has none to start at.",
)
@click.pass_obj
def snapshot(context: Context, key: str, *, output: str, format_name: str | None, timeout: float) -> None:
    """Write the last keyframe of the stream KEY as a picture (jpg, png by the file's extension).

    The picture is that of the newest join point, at most a group of pictures old, in the size it was coded in. A file
    that is there is replaced, by the whole picture at once.
    """
    chosen = format_name or choose_format(output)
    with Subscriber(key, start="keyframe", socket=context.socket, name="arclyctl snapshot") as subscriber:
        track, keyframe = last_keyframe(subscriber, timeout)
    picture = still(track, keyframe, chosen)
    sink = StdoutSink() if output == STDOUT else FileSink(Path(output))
    kept = False
    try:
        sink.write(picture)
        kept = True
    finally:
        sink.finish(keep=kept)
    if output == STDOUT:
        return
    if context.json:
        told = {"file": output, "format": chosen, "width": track.width, "height": track.height, "bytes": len(picture)}
        context.emit(told)
    else:
        click.echo(f"{output}: {track.width}x{track.height}, {units.size(len(picture))}", err=True)


def choose_format(output: str) -> str:
    """The format that a file's extension asks for.

    Raises:
        UsageError: it asks for none there is.
    """
    if output == STDOUT:
        return "jpeg"
    found = EXTENSIONS.get(Path(output).suffix.lower())
    if found is None:
        raise click.UsageError(f"the extension of {output} names no picture ({', '.join(EXTENSIONS)}): use --format")
    return found


def last_keyframe(subscriber: Subscriber, timeout: float) -> tuple[Track, bytes]:
    """The first picture keyframe that ``subscriber`` reads within ``timeout`` seconds, and its track.

    Raises:
        RequestRefused: the stream has no pictures, or none came in time.
        EndOfStream: the stream is over.
    """
    pictures = {number for number, track in enumerate(subscriber.tracks) if track.kind is TrackKind.VIDEO}
    if not pictures:
        raise RequestRefused(f"stream {subscriber.key!r} has no video")
    deadline = time.monotonic() + timeout
    while True:
        try:
            frame = subscriber.recv(max(0.0, deadline - time.monotonic()))
            if frame.keyframe and frame.track in pictures:
                return subscriber.tracks[frame.track], frame.tobytes()
        except FrameOverwritten:  # a newer one comes
            continue
        except TimeoutError:
            problem = f"no keyframe of {subscriber.key!r} came within {units.seconds(timeout)}"
            raise RequestRefused(problem) from None

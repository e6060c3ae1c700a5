"""`arclyctl play`: a stream into a player of this machine, through a pipe."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

import click

from arclyctl import units
from arclyctl.types import StreamKey
from arclyd import Gap, Subscriber
from arclyd.errors import EndOfStream, FrameOverwritten, MediaError, RequestRefused
from arclyd.media.formats.container import FORMATS, Format, Muxer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyctl.context import Context
    from arclyd import Frame, Track

PLAYERS: Final = (
    ("mpv", "--profile=low-latency", "--really-quiet", "-"),
    ("ffplay", "-loglevel", "error", "-fflags", "nobuffer", "-autoexit", "-i", "-"),
)
"""Commands that play what they read from standard input, the best one first."""

LOOK_SECONDS: Final = 0.25
"""How long a silent stream is waited on before it is looked whether the player is still there."""


class PlayerEnded(Exception):
    """The player was closed."""


class Pipe:
    """A sink that is a player's standard input."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self.is_broken = False
        """Nobody reads any more."""

    def write(self, data: bytes, /) -> int:
        """Write all of it; waits while the player is paused.

        Raises:
            BrokenPipeError: the player is gone, once; what a container writes to its end then is dropped.
        """
        left = memoryview(data)
        while left and not self.is_broken:
            try:
                left = left[self._pipe.write(left) :]
            except BrokenPipeError:
                self.is_broken = True
                raise
        return len(data)


class Playing:
    """One player, and the container it is fed with."""

    def __init__(self, command: Sequence[str], container: Format, tracks: Sequence[Track]) -> None:
        self.tracks = tracks
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
        except OSError as error:
            raise RequestRefused(f"the player {command[0]} can't be started: {error.strerror}") from None
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        try:
            self._pipe = Pipe(self._stdin)
            self.muxer = Muxer(self._pipe, container, tracks, seekable=False)
        except BaseException:
            self.end()
            raise

    def write(self, frame: Frame) -> None:
        """Hand on one frame.

        Raises:
            PlayerEnded: nobody is there to see it.
        """
        if not self.is_running():
            raise PlayerEnded
        try:
            self.muxer.write(frame)
        except BrokenPipeError:
            raise PlayerEnded from None

    def is_running(self) -> bool:
        """Whether the player is there."""
        return self._process.poll() is None

    def finish(self) -> int:
        """Nothing more comes: wait until the player has played what it has. Returns its exit code."""
        try:
            self.muxer.close()
        except (BrokenPipeError, MediaError):  # FFmpeg remembers that a write failed
            if not self._pipe.is_broken:
                raise
        self._stdin.close()
        return self._process.wait()

    def end(self) -> None:
        """End the player, whatever it does. Idempotent."""
        self._stdin.close()
        if self.is_running():
            self._process.terminate()
        self._process.wait()


class Play:
    """Feeds a player with a stream, and a new player where the stream's configuration changes."""

    def __init__(self, subscriber: Subscriber, command: Sequence[str], format_name: str | None) -> None:
        self._subscriber = subscriber
        self._command = command
        self._format = format_name
        self._epoch: int | None = None
        self._playing = self._start()

    def run(self) -> int:
        """Play until the stream ends or the player does; returns the player's exit code."""
        try:
            try:
                self._feed()
            except PlayerEnded:
                pass
            except EndOfStream as end:
                click.echo(f"the stream is over: {end.reason}", err=True)
            return self._playing.finish()
        except BaseException:
            self._playing.end()
            raise

    def _feed(self) -> None:
        while self._playing.is_running():
            with suppress(TimeoutError):
                self._take(self._subscriber.recv_raw(timeout=LOOK_SECONDS))

    def _take(self, item: Frame | Gap) -> None:
        if isinstance(item, Gap):
            click.echo(f"arclyctl: gap: {units.count(item.missed)} frames missed", err=True)
            self._playing.muxer.resync()
            return
        try:
            if not self._same_tracks(item) or not self._playing.muxer.fits(item):
                self._playing.finish()
                self._playing = self._start()
            self._playing.write(item)
        except FrameOverwritten:
            self._playing.muxer.resync()

    def _same_tracks(self, frame: Frame) -> bool:
        if frame.epoch == self._epoch:
            return True
        first, self._epoch = self._epoch is None, frame.epoch
        kinds = [[(track.codec, track.time_base) for track in tracks] for tracks in (self._playing.tracks, self._now())]
        return first or kinds[0] == kinds[1]

    def _now(self) -> Sequence[Track]:
        return self._subscriber.tracks

    def _start(self) -> Playing:
        tracks = self._now()
        container = FORMATS[self._format] if self._format else best_format(tracks)
        return Playing(self._command, container, tracks)


def best_format(tracks: Sequence[Track]) -> Format:
    """MPEG-TS, which starts fastest; Matroska where that can hold more of the tracks."""
    held = {name: sum(track.codec in FORMATS[name].codecs for track in tracks) for name in ("ts", "mkv")}
    return FORMATS["mkv"] if held["mkv"] > held["ts"] else FORMATS["ts"]


def choose_player(named: str | None) -> Sequence[str]:
    """The command named, or the first player that is installed.

    Raises:
        RequestRefused: there is none.
    """
    if named is not None:
        try:
            command = shlex.split(named)
        except ValueError as error:
            raise click.UsageError(f"--player {named!r}: {error}") from None
        if not command:
            raise click.UsageError("--player names no command")
        return command
    for player in PLAYERS:
        if shutil.which(player[0]):
            return player
    names = " nor ".join(player[0] for player in PLAYERS)
    raise RequestRefused(
        f"neither {names} is installed: install one, or name a command that reads the stream: --player"
    )


@click.command
@click.argument("key", type=StreamKey())
@click.option("--player", metavar="COMMAND", help="A command that plays its standard input (else: mpv, ffplay).")
@click.option("--format", "format_name", type=click.Choice(("ts", "mkv")), help="Container (else: by the codecs).")
@click.option("--last", type=click.FloatRange(min=0, min_open=True), help="Begin so many seconds in the past.")
@click.pass_obj
def play(context: Context, key: str, *, player: str | None, format_name: str | None, last: float | None) -> None:
    """Watch the stream KEY in a player on this machine: mpv or ffplay, or any command that reads standard input.

    It ends with the stream, or when the player is closed. Pausing the player is no harm: it goes on where the ring
    still holds the stream, or at the newest keyframe.
    """
    command = choose_player(player)
    start = "keyframe" if last is None else -last
    with Subscriber(key, start=start, socket=context.socket, name="arclyctl play") as subscriber:
        code = Play(subscriber, command, format_name).run()
    if code:
        raise RequestRefused(f"the player {command[0]} ended with {code}")

"""One file of a recording: a container on disk, in which every track begins where the file does."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.container import FORMATS, Format
from arclyd.media.formats.libav import open_growing_mp4
from arclyd.media.timebase import rescale_floor

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from arclyd.media.track import Track
    from arclyd.recorder.disk import DiskFile
    from arclyd.recorder.order import Unit

CONTAINERS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "mp4": replace(FORMATS["mp4"], open=open_growing_mp4),
        "ts": FORMATS["ts"],
        "mkv": FORMATS["mkv"],
    }
)
"""What a recording can be: containers of which a cut-off file plays up to there."""


def container_of(path: str) -> Format | None:
    """The container that the extension of ``path`` asks for."""
    lower = path.lower()
    return next((entry for entry in CONTAINERS.values() if lower.endswith(entry.extensions)), None)


class Segment:
    """A file that begins with ``first``, whose decoding time is its zero.

    Raises:
        MediaError: the container refuses the tracks.
        OSError: the disk does; there is no file then.
    """

    def __init__(self, file: DiskFile, container: Format, tracks: Mapping[int, Track], first: Unit) -> None:
        self._file = file
        self._places = {number: place for place, number in enumerate(sorted(tracks))}
        base = tracks[first.track].time_base
        self._origins = {number: rescale_floor(first.dts, base, track.time_base) for number, track in tracks.items()}
        self._pictures = frozenset(number for number, track in tracks.items() if track.kind is TrackKind.VIDEO)
        self._awaiting_key = set(self._pictures)
        self._group = self._largest_group = 0
        self._payload = 0
        self._unconfirmed = 0
        self.first = first
        self.path = file.path
        self.start = self.end = first.at
        self.last_seq = first.seq
        self.lacks_track = False
        """A track has begun that is not in the file's header."""
        self.refused = False
        """The container did not take a frame."""
        self.frames = 0
        """Frames whose bytes the file has."""
        try:
            self._output = container.open(file, [tracks[number] for number in sorted(tracks)], seekable=True)
            file.commit()
        except BaseException:
            file.abandon()
            file.close()
            raise

    @property
    def seconds(self) -> Fraction:
        """How much media was written."""
        return self.end - self.start

    @property
    def size(self) -> int:
        """Size of the file."""
        return self._file.size

    @property
    def bytes(self) -> int:
        """`size`, with what the container still holds back."""
        return max(self.size, self._payload)

    @property
    def largest_group(self) -> int:
        """Bytes of the largest group of pictures so far, with its sound."""
        return max(self._largest_group, self._group)

    @property
    def next_bytes(self) -> int:
        """What the size will be at the next place to cut, should what comes be no larger than what came."""
        return self.bytes + self.largest_group

    def write(self, unit: Unit) -> None:
        """Write one unit; a picture that can't be decoded is left out, and so is a track that began too late.

        Raises:
            MediaError, OverflowError: the container refuses it, and may go on.
            OSError: the disk is full or fails. Nothing is written any more; the file plays up to there.
        """
        if unit.track not in self._places:
            self.lacks_track = True
            return
        if unit.track in self._awaiting_key:
            if not unit.keyframe:
                return
            self._awaiting_key.discard(unit.track)
        if unit.starts:
            self._largest_group, self._group = max(self._largest_group, self._group), 0
        origin = self._origins[unit.track]
        try:
            self._output.write(
                self._places[unit.track],
                unit.payload,
                pts=unit.pts - origin,
                dts=unit.dts - origin,
                duration=unit.duration,
                keyframe=unit.keyframe,
            )
        except (MediaError, OverflowError):
            self.refused = True
            raise
        self._payload += len(unit.payload)
        self._group += len(unit.payload)
        self._unconfirmed += 1
        self.end = max(self.end, unit.end, unit.at)
        self.last_seq = max(self.last_seq, unit.seq)
        if self._file.commit():
            self._confirm()

    def resync(self) -> None:
        """Frames were lost: every picture track goes on with its next keyframe."""
        self._awaiting_key = set(self._pictures)

    def finish(self) -> None:
        """Complete the container and close the file, which then is gone if it has no frame.

        Raises:
            OSError: there is no room for the container's end; the file plays without it.
        """
        try:
            self._output.close()
            self._file.commit()
            self._confirm()
        except OSError:
            self._file.abandon()
            raise
        finally:
            self._close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.abandon()
        self._output.close()  # into nothing
        self._close()

    def _confirm(self) -> None:
        self.frames += self._unconfirmed
        self._unconfirmed = 0

    def _close(self) -> None:
        if not self.frames:
            self._file.size = 0
        self._file.close()

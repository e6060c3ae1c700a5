"""One stream's recorder: which file the units go to, until when, and what happens when the disk takes no more."""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.recorder.disk import DiskFile
from arclyd.recorder.index import Index, Recording
from arclyd.recorder.intake import Break, Header, Item, Lost
from arclyd.recorder.order import Unit
from arclyd.recorder.segment import Segment

if TYPE_CHECKING:
    from fractions import Fraction
    from pathlib import Path

    from arclyd.media.formats.container import Format
    from arclyd.media.track import Track
    from arclyd.recorder.activity import Activities
    from arclyd.recorder.report import Report, Status
    from arclyd.recorder.template import PathTemplate

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that mean: no room."""

RETRY_SECONDS: Final = 1.0
"""How long after a disk refused it is tried again, at the next keyframe."""

MOST: Final = (1 << 63) - 1
"""The largest number the index holds. A sequence has a bit more, which no honest stream comes to use."""

LEAST_ROOM: Final = 1 << 20
"""Bytes that have to be free before a recording goes on; more where a group of pictures is larger."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Where and how to record. ``seconds`` of media and ``bytes``: bounds of one file; None: no such bound."""

    template: PathTemplate
    container: Format
    seconds: Fraction | None = None
    bytes: int | None = None
    split: bool = False
    utc: bool = False


@dataclass(slots=True)
class _Refusal:
    """The disk takes no more: since when (monotonic), when it is tried again, and what was not recorded."""

    since: float
    retry: float
    room: int
    frames: int = 0


class Recorder:
    """Takes the items of one stream and writes them to files."""

    def __init__(self, rules: Rules, index: Index, status: Status, *, report: Report, activities: Activities) -> None:
        self._key = status.key
        self._rules = rules
        self._index = index
        self._report = report
        self._activities = activities
        self._status = status
        self._header: Header | None = None
        self._segment: Segment | None = None
        self._row: Recording | None = None
        self._unsaved: list[Recording] = []
        self._refusal: _Refusal | None = None
        self._unholdable = False
        self._left_out: tuple[Track, ...] = ()
        self._number = 0

    def take(self, item: Item) -> None:
        """The next item."""
        match item:
            case Unit():
                self._unit(item)
            case Lost(missed):
                self._lost(missed)
            case Break(reason):
                self.end(reason)
            case Header(tracks, left_out):
                self._header, self._unholdable = item, False
                if not tracks:
                    names = ", ".join(track.codec.label for track in left_out)
                    self._report.warn(self._key, f"not recorded: {self._rules.container.name} can't hold {names}")

    def end(self, reason: str) -> None:
        """Complete the file at hand, if there is one; ``reason`` in a word."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        try:
            segment.finish()
        except OSError as error:
            self._closed(segment, "no_room" if error.errno in FULL else "disk_error")
            self._refuse(error, segment)
        except MediaError as error:
            self._report.warn(self._key, str(error))
            self._closed(segment, reason)
        else:
            self._closed(segment, reason)

    def _unit(self, unit: Unit) -> None:
        if unit.starts:
            if self._segment is not None and (why := self._due(self._segment, unit)):
                self.end(why)
            if self._segment is None:
                self._begin(unit)
        segment = self._segment
        if segment is None:
            if self._refusal is not None:
                self._refusal.frames += 1
            return
        try:
            segment.write(unit)
        except OSError as error:
            self._segment = None
            segment.abandon()
            self._closed(segment, "no_room" if error.errno in FULL else "disk_error")
            self._refuse(error, segment)
        except (MediaError, OverflowError) as error:
            self._report.count(self._key, f"{{}} frames left out: {error}", 1)
        else:
            if self._refusal is not None and segment.frames:
                self._resumed(segment, self._refusal)
            self._show(segment, len(unit.payload))

    def _due(self, segment: Segment, unit: Unit) -> str:
        """Why the file at hand ends before ``unit``; empty: it does not."""
        rules = self._rules
        if rules.seconds is not None and unit.at - segment.start >= rules.seconds:
            return "split"
        if rules.bytes is not None and segment.next_bytes > rules.bytes:
            return "split"
        if segment.refused:
            return "refused_frame"
        return "tracks" if segment.lacks_track else ""

    def _lost(self, missed: int) -> None:
        self._status.missed += missed
        self._report.count(self._key, "gap: {} frames missed", missed)
        if self._segment is not None and self._row is not None:
            self._segment.resync()
            self._row = replace(self._row, gaps=self._row.gaps + 1, missed=self._row.missed + missed)

    # ------------------------------------------------------------- files

    def _begin(self, unit: Unit) -> None:
        if self._header is None or self._unholdable or not self._has_room():
            return
        rules = self._rules
        when = datetime.fromtimestamp(unit.wall_ns / 1e9, tz=UTC)
        when = when if rules.utc else when.astimezone()
        path = rules.template.path(self._key, when, number=self._number + 1, epoch=unit.epoch)
        # A header names the tracks there are: some containers wait for the first frame of each.
        here = unit.beside | {unit.track}
        tracks = {number: track for number, track in self._header.tracks.items() if number in here}
        try:
            self._segment = segment = Segment(DiskFile(path), rules.container, tracks, unit)
        except OSError as error:
            self._refuse(error, None)
            return
        except MediaError as error:
            self._unholdable = True
            self._report.warn(self._key, f"not recorded: {error}")
            return
        self._number += 1
        self._opened(segment, unit)

    def _opened(self, segment: Segment, unit: Unit) -> None:
        self._row = Recording(
            file=self._index.name(segment.path),
            key=self._key,
            format=self._rules.container.name,
            started_ms=unit.wall_ns // 1_000_000,
            first_seq=min(unit.seq, MOST),
            epoch=min(unit.epoch, MOST),
        )
        self._save(self._row)
        self._activities.begin(self._key)
        self._status.state, self._status.file = "recording", str(segment.path)
        self._status.files += 1
        if self._refusal is None:  # else the file is an attempt, whose success is told
            self._report.say(self._key, f"writing {segment.path}")
        for track in self._new_left_out():
            self._report.warn(self._key, f"the {track.codec.label} track is left out")

    def _new_left_out(self) -> tuple[Track, ...]:
        """Tracks that are not recorded, those that were not told of."""
        left_out = self._header.left_out if self._header is not None else ()
        before, self._left_out = self._left_out, left_out
        return left_out if left_out != before else ()

    def _closed(self, segment: Segment, reason: str) -> None:
        row, self._row = self._row, None
        assert row is not None
        self._activities.end(self._key)
        self._status.state, self._status.file, self._status.seconds, self._status.bytes = "waiting", "", 0.0, 0
        if not segment.frames:
            self._forget(row)
            return
        done = replace(
            row,
            ended=reason,
            ended_ms=time.time_ns() // 1_000_000,
            seconds=round(float(segment.seconds), 3),
            bytes=segment.size,
            frames=segment.frames,
            last_seq=min(segment.last_seq, MOST),
        )
        self._save(done)
        if self._refusal is not None:
            return
        self._report.say(self._key, f"{segment.path}: {done.seconds:.1f} s, {done.frames:,} frames, {reason}")

    def _show(self, segment: Segment, size: int) -> None:
        status = self._status
        status.seconds, status.bytes = float(segment.seconds), segment.bytes
        status.total_bytes += size

    # -------------------------------------------------------------- index

    def _save(self, row: Recording) -> None:
        """Into the index, with what it did not take before."""
        self._unsaved = [older for older in self._unsaved if older.file != row.file] + [row]
        self.settle()

    def settle(self) -> None:
        """Try again what the index did not take; the recording goes on without it."""
        try:
            while self._unsaved:
                self._index.save(self._unsaved[0])
                self._unsaved.pop(0)
        except OSError as error:
            if error.errno in FULL:
                return  # it lies where the recordings do, of which that is told
            self._report.count(self._key, f"the index did not take {{}} rows yet: {error.strerror}", len(self._unsaved))

    def _forget(self, row: Recording) -> None:
        self._unsaved = [older for older in self._unsaved if older.file != row.file]
        try:
            self._index.forget(row)
        except OSError as error:
            self._report.warn(self._key, f"the index keeps a row of {row.file}, which is gone: {error.strerror}")

    # --------------------------------------------------------------- room

    def _refuse(self, error: OSError, segment: Segment | None) -> None:
        now = time.monotonic()
        if self._refusal is not None:  # it was tried in vain
            self._refusal.retry = now + RETRY_SECONDS
            return
        group = segment.largest_group if segment is not None else 0
        self._refusal = _Refusal(now, now + RETRY_SECONDS, max(LEAST_ROOM, 2 * group))
        self._status.state = "no room" if error.errno in FULL else "disk error"
        where = f" ({error.filename})" if error.filename else ""
        self._report.warn(
            self._key,
            f"not recording: {error.strerror}{where}; the stream is read on, and recorded again when that is over",
        )

    def _resumed(self, segment: Segment, refusal: _Refusal) -> None:
        self._refusal = None
        lasted = time.monotonic() - refusal.since
        self._report.warn(
            self._key,
            f"recording again, in {segment.path}: {refusal.frames:,} frames of {lasted:.0f} s were not recorded",
        )

    def _has_room(self) -> bool:
        refusal = self._refusal
        if refusal is None:
            return True
        if time.monotonic() < refusal.retry:
            return False
        refusal.retry = time.monotonic() + RETRY_SECONDS
        return free_bytes(self._rules.template.root) >= refusal.room


def free_bytes(folder: Path) -> int:
    """Bytes an ordinary user may still write below ``folder``; 0 where that can't be told."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize

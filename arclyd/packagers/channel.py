"""One stream being packaged: reads its frames, cuts them, keeps the window, wakes who waits for more of it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from arclyd import AsyncSubscriber, Gap
from arclyd.errors import EndOfStream
from arclyd.media.codecs import TrackKind
from arclyd.packagers import bookmark
from arclyd.packagers.codec_names import PACKAGED
from arclyd.packagers.segmenter import Cutting, Segmenter
from arclyd.packagers.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from arclyd import AsyncControl, Frame
    from arclyd.media.track import Track
    from arclyd.packagers.segmenter import Event

log: Final = logging.getLogger(__name__)

ID_LENGTH: Final = 8
"""Hexadecimal digits of the region's id that name a stream's life: two of one key never meet in a cache."""


OVER: Final = frozenset({"ended", "publisher_gone", "reaped"})
"""Reasons that end the stream. Others end only this reading of it (an operator's kick): the next goes on."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How streams are packaged. ``window``: seconds of the past that playlists list. ``name``: the packager's."""

    cutting: Cutting = field(default_factory=Cutting)
    window: Fraction = Fraction(30)
    low_latency: bool = True
    name: str = "package"


@dataclass(slots=True)
class Received:
    """What was read of a stream so far: bytes of all its frames, and pictures of its first picture track."""

    bytes: int = 0
    pictures: int = 0


@dataclass(slots=True, eq=False)
class _Waiter:
    """Who waits until ``condition`` holds, and what to do in that moment."""

    condition: Callable[[], bool]
    at_once: Callable[[], None] | None
    woken: asyncio.Future[None]

    def ask(self) -> bool:
        """True: it waits no more."""
        if self.woken.done():
            return True
        try:
            if not self.condition():
                return False
            if self.at_once is not None:
                self.at_once()
        except Exception as error:  # whoever waits is told, the others are not to be held up by it
            self.woken.set_exception(error)
        else:
            self.woken.set_result(None)
        return True


class Channel:
    """The packaging of one stream, from where the ring starts to where the stream ends.

    Args:
        key: what the stream is shown as.
        settings: how.
        after: the channel of an earlier stream of that key, whose numbers are not given out again.
        stream: its own key, if it is shown as another.
    """

    def __init__(self, key: str, settings: Settings, after: Channel | None = None, *, stream: str = "") -> None:
        self.key = key
        self.stream = stream or key
        self.settings = settings
        self.window = Window("", settings.cutting, settings.window)
        self.received = Received()
        self._subscriber: AsyncSubscriber | None = None
        self._picture: int | None = None
        self._numbers = after.last_numbers if after else (-1, -1)
        self._segmenter = Segmenter(settings.cutting)
        self._epoch = -1
        self._waiters: dict[_Waiter, None] = {}
        self._caught_up = False
        self.over = False
        """Nothing is read any more: what is not there by now will not come."""

    @property
    def name(self) -> str:
        """The key without the application."""
        return self.key.partition("/")[2]

    @property
    def variant(self) -> str:
        """What tells it from other renditions of its stream: what follows the ``~``, or "source"."""
        return self.key.partition("~")[2] or "source"

    @property
    def ready(self) -> bool:
        """There is a playlist to be had: its target duration is known, and what the ring held is in it."""
        return bool(self.window.target) and self._caught_up

    @property
    def last_numbers(self) -> tuple[int, int]:
        """The newest segment's number and its period's."""
        period = self.window.period
        return (self.window.next_number, period.number) if period else self._numbers

    @property
    def lag_seconds(self) -> float:
        """How far the packager is behind the newest frame."""
        return self._subscriber.lag.seconds if self._subscriber else 0.0

    async def run(self, control: AsyncControl, socket: str | None) -> str:
        """Package until the stream is over; returns why.

        Raises:
            ArclydError: it can't be attached to, or not be read.
        """
        try:
            return await self._run(control, socket)
        finally:
            self.over = True
            self._wake()

    async def _run(self, control: AsyncControl, socket: str | None) -> str:
        name, cutting = f"{self.settings.name} {self.key}", self.settings.cutting
        metadata = await control.metadata(self.stream)
        found = bookmark.read(metadata.tags.get(f"{self.settings.name}.resume", ""))
        resume = found.resume if found and found.cutting == cutting else None
        start = "oldest" if resume else -float(self.settings.window + 2 * cutting.segment)
        async with AsyncSubscriber(self.stream, start=start, socket=socket, name=name) as subscriber:
            info = await control.info(self.stream)
            self._epoch = info.epoch - 1  # what is older may have had other tracks than the ring tells of
            self.window.id = found.id if found else info.region_id.replace("-", "")[:ID_LENGTH]
            given_out = found.numbers_by(info.head) if found else (-1, -1)
            after = max(self._numbers[0], given_out[0]), max(self._numbers[1], given_out[1])
            self._segmenter = Segmenter(cutting, resume, after)
            if resume is not None:
                self.window.target = int(resume.longest)
            self._subscriber = subscriber
            try:
                return await self._read(subscriber)
            finally:
                self._subscriber = None

    async def until(self, condition: Callable[[], bool], at_once: Callable[[], None] | None = None) -> None:
        """Wait until ``condition`` holds; it is asked after every change of the window.

        ``at_once``: called in the moment it holds, if that was to be waited for, and before any other task gets its
        turn; what it raises is raised here.
        """
        if condition():
            return
        waiter = _Waiter(condition, at_once, asyncio.get_running_loop().create_future())
        self._waiters[waiter] = None
        try:
            await waiter.woken
        finally:
            self._waiters.pop(waiter, None)

    def bookmark(self) -> str | None:
        """What a later packager needs to go on here; None: nothing yet."""
        resume = self.window.resume()
        return bookmark.write(self.window.id, self.settings.cutting, resume) if resume else None

    async def _read(self, subscriber: AsyncSubscriber) -> str:
        try:
            while True:
                item = await subscriber.recv_raw()
                if isinstance(item, Gap):
                    log.warning("%s: %d frames were overwritten before they were read", self.key, item.missed)
                    self._apply(self._segmenter.receive_gap())
                else:
                    self._frame(item, subscriber)
                    self._count(item)
                if not self.ready:
                    self._settle(caught_up=subscriber.lag.frames == 0)
        except EndOfStream as end:
            self._apply(self._segmenter.receive_end())
            self._settle(caught_up=True)
            if end.reason in OVER:
                self.window.end()
            self._wake()
            return end.reason

    def _frame(self, frame: Frame, subscriber: AsyncSubscriber) -> None:
        if frame.epoch > self._epoch:
            self._epoch = frame.epoch
            tracks = subscriber.tracks
            pictures = (number for number, track in enumerate(tracks) if track.kind is TrackKind.VIDEO)
            self._picture = next(pictures, None)
            self._apply(self._segmenter.receive_tracks(tracks))
            for track in self._segmenter.left_out:
                log.warning("%s: %s", self.key, self._why_left_out(track))
        if frame.epoch == self._epoch:
            self._apply(self._segmenter.receive_frame(frame))
            for problem in self._segmenter.take_problems():
                log.warning("%s: %s", self.key, problem)

    def _why_left_out(self, track: Track) -> str:
        text = f"a {track.codec.label} track is left out"
        if track.kind is TrackKind.VIDEO and track.codec in PACKAGED:
            return f"{text}: it is not the first picture; publish it as a rendition, {self.key}~VARIANT"
        return text

    def _count(self, frame: Frame) -> None:
        self.received.bytes += len(frame)
        if frame.track == self._picture and not frame.is_config:
            self.received.pictures += 1

    def _settle(self, *, caught_up: bool) -> None:
        self._caught_up = self._caught_up or caught_up
        longest = self.window.settle() if self._caught_up else None
        if longest is not None:
            self._segmenter.longest = longest
            self._wake()

    def _apply(self, events: Iterable[Event]) -> None:
        changed = False
        for event in events:
            self.window.apply(event)
            changed = True
        if changed:
            self._wake()

    def _wake(self) -> None:
        for waiter in [each for each in self._waiters if each.ask()]:
            self._waiters.pop(waiter, None)

"""Which streams are packaged: those asked for, as they come, go and come back."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from arclyd import AsyncControl
from arclyd.control.keys import parse_key
from arclyd.errors import ArclydError, DaemonUnavailable
from arclyd.packagers.channel import Channel, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log: Final = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""Between two looks at which streams there are."""

TELL_SECONDS: Final = 5.0
"""Between two bookmarks, each of which is an event: a later packager starts that much earlier in the ring."""

COUNT_SECONDS: Final = 1.0
"""Between two counts of viewers."""

RETRY_SECONDS: Final = 1.0
"""Before a stream that could not be packaged is tried again."""


ENDED: Final = ("ended",)
"""The state of a stream that the daemon lists no more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams: these keys with their renditions, those of these applications; neither: all.

    ``named``: streams that are packaged, too, by the key they are shown as.
    """

    keys: frozenset[str] = frozenset()
    apps: frozenset[str] = frozenset()
    named: Mapping[str, str] = field(default_factory=dict)

    def shown_as(self, stream: str) -> str | None:
        """The key that ``stream`` is shown as; None: it is not to be packaged, or another one has its key."""
        for key, named in self.named.items():
            if named == stream:
                return key
        return stream if stream not in self.named and self._has(stream) else None

    def _has(self, key: str) -> bool:
        if not self.keys and not self.apps:
            return True
        return parse_key(key)[0] in self.apps or key in self.keys or whole(key) in self.keys


@dataclass(slots=True)
class _Entry:
    """A stream at work, and the channel before it: shown as long as this one has nothing, and held a while longer."""

    channel: Channel
    task: asyncio.Task[None]
    before: Channel | None
    state: tuple[str, ...] = ()
    before_until: float | None = None
    over_at: float | None = None
    said: dict[str, str] = field(default_factory=dict)
    said_at: float = 0.0

    @property
    def shown(self) -> Channel:
        return self.before if self.before is not None and not self.channel.ready else self.channel


class Roster:
    """The channels of a process, by the keys they are shown as.

    Args:
        wanted: which streams.
        settings: how they are packaged.
        socket: the daemon's control socket.
        viewers: how many view each stream now; the daemon is told.
    """

    def __init__(
        self, wanted: Wanted, settings: Settings, socket: str | None, viewers: Callable[[], Mapping[str, int]]
    ) -> None:
        self.settings = settings
        self._wanted = wanted
        self._socket = socket
        self._entries: dict[str, _Entry] = {}
        self._renditions: dict[str, list[str]] = {}
        self._viewers = viewers

    def channel(self, key: str) -> Channel | None:
        """The channel of that stream."""
        entry = self._entries.get(key)
        return entry.shown if entry else None

    def state(self, key: str) -> tuple[str, ...]:
        """The words of its state (`StreamInfo`), as the daemon said last; empty: it is none of ours."""
        entry = self._entries.get(key)
        return entry.state if entry else ()

    def earlier(self, key: str) -> Channel | None:
        """The channel of the stream before it, as long as players may still fetch what that listed."""
        entry = self._entries.get(key)
        return entry.before if entry else None

    def channels(self) -> list[Channel]:
        """All of them, by key."""
        return [self._entries[key].shown for key in sorted(self._entries)]

    def renditions(self, key: str) -> list[Channel]:
        """The channels with a playlist, by key: of ``key`` and its variants ``key~…``, or of that one variant."""
        together = self._renditions.get(whole(key), ())
        shown = [self._entries[each].shown for each in together if key in {each, whole(each)}]
        return [channel for channel in shown if channel.ready]

    async def run(self) -> None:
        """Look after the streams for ever; a daemon that is away is waited for."""
        away = False
        async with AsyncControl(self._socket, name=self.settings.name) as control:
            try:
                while True:
                    try:
                        await self._look(control)
                        away = False
                    except DaemonUnavailable as error:
                        if not away:
                            log.warning("%s; streams that are read go on", error)
                        away = True
                    await asyncio.sleep(LOOK_SECONDS)
            finally:
                await self._stop()

    async def _look(self, control: AsyncControl) -> None:
        states = {}
        for stream in await control.list_streams():
            if (key := self._wanted.shown_as(stream.key)) is not None:
                states[key] = stream.state
                self._begin(key, stream.key, control)
        viewers = self._viewers()
        for key, entry in list(self._entries.items()):
            entry.state = states.get(key, ENDED)
            self._release(entry)
            if entry.over_at is not None and time.monotonic() > entry.over_at:
                self._forget(key)
            elif not entry.task.done():
                await self._tell(control, entry, viewers.get(key, 0))

    def _begin(self, key: str, stream: str, control: AsyncControl) -> None:
        entry = self._entries.get(key)
        if entry is not None and not entry.task.done():
            return
        before = entry.shown if entry else None
        channel = Channel(key, self.settings, before, stream=stream)
        task = asyncio.create_task(self._tend(channel, control), name=f"package {key}")
        self._entries[key] = _Entry(channel, task, before if before is not None and before.ready else None)
        if entry is None:
            together = self._renditions.setdefault(whole(key), [])
            together.append(key)
            together.sort()

    def _release(self, entry: _Entry) -> None:
        """Let go of the channel before, which holds a whole window, once nobody can want it any more."""
        if entry.before is None or not entry.channel.ready:
            return
        if entry.before_until is None:
            entry.before_until = time.monotonic() + float(self.settings.window)
        elif time.monotonic() > entry.before_until:
            entry.before = None

    def _forget(self, key: str) -> None:
        del self._entries[key]
        together = self._renditions[whole(key)]
        together.remove(key)
        if not together:
            del self._renditions[whole(key)]

    async def _tend(self, channel: Channel, control: AsyncControl) -> None:
        try:
            reason = await channel.run(control, self._socket)
            log.info("%s: over (%s)", channel.key, reason)
        except ArclydError as error:
            log.warning("%s: %s", channel.key, error)
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            entry = self._entries.get(channel.key)
            if entry is not None and entry.channel is channel:
                # Players that have its last playlist still fetch what that lists.
                entry.over_at = time.monotonic() + float(self.settings.window)

    async def _tell(self, control: AsyncControl, entry: _Entry, viewers: int) -> None:
        """Say how many view the stream and where a later packager goes on, if that is news."""
        channel, name = entry.channel, self.settings.name
        counted = f"{name}.viewers"
        tags = {counted: str(viewers)}
        if (text := channel.bookmark()) is not None:
            tags[f"{name}.resume"] = text
        new = len(tags) != len(entry.said)
        wait = COUNT_SECONDS if tags[counted] != entry.said.get(counted) else TELL_SECONDS
        if tags == entry.said or (not new and time.monotonic() < entry.said_at + wait):
            return
        entry.said, entry.said_at = tags, time.monotonic()
        try:
            await control.update_metadata(channel.stream, tags=tags)
        except DaemonUnavailable:
            entry.said = {}
            raise
        except ArclydError as error:  # it ended meanwhile
            log.debug("%s: %s", channel.key, error)

    async def _stop(self) -> None:
        tasks = [entry.task for entry in self._entries.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def whole(key: str) -> str:
    """The key without the ``~`` and the variant after it."""
    return key.partition("~")[0]

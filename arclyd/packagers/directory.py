"""The same files in a directory, for nginx or a CDN to serve: whole segments first, what lists them after.

Every file appears complete, by a rename. What no playlist lists any more and nobody still reads by an older one is
removed, also what an earlier process left.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.packagers import names
from arclyd.packagers.dash.mpd import manifest
from arclyd.packagers.hls.media_playlist import Style, media_playlist
from arclyd.packagers.hls.multivariant import multivariant
from arclyd.packagers.hls.transport import transport_segment, transportable
from arclyd.packagers.variant import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from arclyd.packagers.channel import Channel
    from arclyd.packagers.roster import Roster
    from arclyd.packagers.window import Window

    Make = Callable[[], bytes]

log: Final = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.1
"""Between two looks for segments that are complete."""

UNFINISHED: Final = ".part"

RETRY_SECONDS: Final = 1.0
"""After a write that failed: a full disk is not tried ten times a second."""


class Directory:
    """Writes the channels of ``roster`` below ``root``, as ``kind``: "hls" or "dash"."""

    def __init__(self, root: Path, roster: Roster, kind: str) -> None:
        self._root = root
        self._roster = roster
        self._kind = kind
        self._written: dict[str, tuple[str, int, bool]] = {}

    async def run(self) -> None:
        """Write for ever; what can't be written is tried again."""
        failing: dict[str, str] = {}
        while True:
            pause = LOOK_SECONDS
            channels = self._roster.channels()
            for channel in channels:
                try:
                    if await self._write(channel) and failing.pop(channel.key, ""):
                        log.warning("%s: written again", channel.key)
                except (OSError, MediaError) as error:
                    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
                    if failing.get(channel.key) != why:
                        failing[channel.key] = why
                        log.warning("%s: not written to %s: %s", channel.key, self._root, why)
                    pause = RETRY_SECONDS
            present = {channel.key for channel in channels}
            self._written = {key: state for key, state in self._written.items() if key in present}
            failing = {key: why for key, why in failing.items() if key in present}
            await asyncio.sleep(pause)

    async def _write(self, channel: Channel) -> bool:
        """Write what is new of a channel; False: that is nothing."""
        window = channel.window
        state = (window.id, window.listed[-1].number if window.listed else -1, window.ended)
        if not channel.ready or self._written.get(channel.key) == state:
            return False
        files = list(self._media(window))
        lists = list(self._lists(channel))
        await asyncio.to_thread(_publish, self._root / channel.key, files, lists)
        self._written[channel.key] = state
        return True

    def _media(self, window: Window) -> Iterator[tuple[str, Make]]:
        """Every file that playlists list or listed lately, with how its content is made."""
        for segment in window.segments:
            if not segment.complete:
                continue
            for lane in segment.period.lanes.values():
                yield names.init(lane.name), partial(bytes, lane.init)
                if pieces := [chunk.data for chunk in segment.chunks(lane.id)]:
                    yield names.segment(window.id, lane.id, segment.number), partial(b"".join, pieces)
            if self._kind == "hls" and transportable(segment.period):
                yield names.transport(window.id, segment.number), partial(transport_segment, segment)

    def _lists(self, channel: Channel) -> Iterator[tuple[str, str]]:
        """What lists them, the outermost last."""
        window = channel.window
        variants = [self._variant(channel, each) for each in self._roster.renditions(channel.key)]
        if self._kind == "dash":
            yield names.MANIFEST, manifest(variants, low_latency=False)
            return
        lanes = {number for segment in window.listed for number in segment.period.lanes}
        for lane in sorted(lanes):
            yield names.playlist(lane), media_playlist(window, Style(lane, low_latency=False, server=False))
        if any(transportable(segment.period) for segment in window.listed):
            yield names.TRANSPORT_PLAYLIST, media_playlist(window, Style(None, low_latency=False, server=False))
            yield names.TRANSPORT_MULTIVARIANT, multivariant(variants, transport=True)
        yield names.MULTIVARIANT, multivariant(variants)

    @staticmethod
    def _variant(channel: Channel, rendition: Channel) -> Variant:
        return Variant("" if rendition is channel else f"../{rendition.name}/", rendition.variant, rendition.window)


def _publish(folder: Path, media: Sequence[tuple[str, Make]], lists: Sequence[tuple[str, str]]) -> None:
    """Write what is missing, then the lists; then remove what is neither, also where there was no room for them."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, make in media:
            path = folder / name
            if not path.exists():  # a name always has the same content
                _write(path, make())
        for name, text in lists:
            _write(folder / name, text.encode())
    finally:
        _remove_others(folder, {name for name, _ in media} | {name for name, _ in lists})


def _remove_others(folder: Path, wanted: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in wanted and (names.is_own(path.name) or path.name.endswith(UNFINISHED)):
            path.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise

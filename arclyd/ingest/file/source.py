"""Where the media comes from: what every source offers, and the one that demuxes a file or a pipe by PyAV."""

from __future__ import annotations

import itertools
import logging
import os
import select
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

import av
from av.error import FFmpegError

from arclyd.errors import MediaError
from arclyd.ingest.file.leading import LeadingPictures
from arclyd.ingest.file.to_frames import Adapter, adapt

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from typing_extensions import Buffer

    from arclyd.media.track import Track

log = logging.getLogger(__name__)

SETTLE_PACKETS: Final = 512
"""Packets looked at before publishing, at most, for configurations that stand in the frames themselves."""

PIPE_POLL_SECONDS: Final = 0.2
"""How long a silent pipe is waited on before the stop flag is looked at."""

ANALYZE_MICROSECONDS: Final = 2_000_000
"""How much of a pipe FFmpeg looks at to learn its tracks; its own default of 5 s is a long start for live input."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit in arclyd's form, in its track's time base. ``config``: a new configuration from here on."""

    track: int
    payload: Buffer
    pts: int | None
    dts: int | None
    duration: int | None
    keyframe: bool
    droppable: bool = False
    corrupt: bool = False
    config: bytes | None = None


class Source(Protocol):
    """Tracks, and their access units in decoding order."""

    @property
    def tracks(self) -> Sequence[Track]:
        """The tracks, by id, with the configurations known before the first unit."""

    def units(self) -> Iterator[Unit]:
        """The access units once through; called again, from the start."""

    def request_keyframe(self) -> None:
        """A reader would like a keyframe; a source that can't make one ignores it."""

    def close(self) -> None:
        """Let go of files and codecs."""


@contextmanager
def translated(what: str) -> Iterator[None]:
    """FFmpeg's errors as `MediaError` about ``what``."""
    try:
        yield
    except FFmpegError as error:
        raise MediaError(what, error.strerror or str(error)) from error


class PipeReader:
    """Standard input as PyAV reads it: short reads at once, and an end when ``stop`` is set.

    A blocking read inside FFmpeg could not be left by Ctrl-C, and a buffered one would delay live input.
    """

    def __init__(self, fd: int, stop: threading.Event) -> None:
        self._fd = fd
        self._stop = stop

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes as soon as there are any; empty at the end or once stopped."""
        while not self._stop.is_set():
            ready, _, _ = select.select([self._fd], [], [], PIPE_POLL_SECONDS)
            if ready:
                return os.read(self._fd, size)
        return b""


class DemuxSource:
    """A `Source` over whatever FFmpeg demuxes; tracks arclyd has no codec for are left out with a warning.

    Args:
        name: what errors call it.
        opener: opens the container anew; called once a pass.
    """

    def __init__(self, name: str, opener: Callable[[], InputContainer]) -> None:
        self._name = name
        self._opener = opener
        self._container: InputContainer | None = None
        container = self._open()
        self._adapters = self._adapt(container, warn=True)
        if not self._adapters:
            self.close()
            raise MediaError(name, "no track of a codec that arclyd carries")
        self._packets = self._demux(container)
        self._ahead = self._settle()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """The kept tracks in the container's order."""
        return tuple(adapter.track() for adapter in self._adapters.values())

    def units(self) -> Iterator[Unit]:
        """The access units in the container's order."""
        if self._container is None:
            self._reopen()
        ahead, self._ahead = self._ahead, []
        leading = {adapter.id: LeadingPictures() for adapter in self._adapters.values() if adapter.reordered}
        for packet in itertools.chain(_drained(ahead), self._packets):
            unit = self._unit(packet)
            if unit is None:
                continue
            if unit.track in leading:
                yield from leading[unit.track].push(unit)
            else:
                yield unit if unit.dts is not None else replace(unit, dts=unit.pts)
        for held in leading.values():
            yield from held.flush()
        self.close()

    def request_keyframe(self) -> None:
        """A file has its keyframes where they are."""

    def close(self) -> None:
        """Close the container; `units` opens it again."""
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _open(self) -> InputContainer:
        with translated(self._name):
            self._container = self._opener()
        return self._container

    def _reopen(self) -> None:
        container = self._open()
        fresh = self._adapt(container, warn=False)
        if [adapter.identity for adapter in fresh.values()] != [
            adapter.identity for adapter in self._adapters.values()
        ]:
            raise MediaError(self._name, "its tracks are not those it had on the pass before")
        for old, new in zip(self._adapters.values(), fresh.values(), strict=True):
            new.announced = old.announced
        self._adapters = fresh
        self._packets = self._demux(container)

    def _adapt(self, container: InputContainer, *, warn: bool) -> dict[int, Adapter]:
        adapters: dict[int, Adapter] = {}
        for stream in container.streams:
            adapter = adapt(stream, len(adapters))
            if adapter is not None:
                adapters[stream.index] = adapter
            elif warn:
                log.warning("%s: stream %d (%s) is left out", self._name, stream.index, describe(stream))
        return adapters

    def _demux(self, container: InputContainer) -> Iterator[Packet[Stream]]:
        kept = [container.streams[index] for index in self._adapters]
        with translated(self._name):
            for packet in container.demux(kept):
                if packet.size:  # PyAV ends each stream by an empty packet
                    yield packet

    def _settle(self) -> list[Packet[Stream]]:
        """Read until every configuration is known, so that the tracks can be announced complete."""
        ahead: list[Packet[Stream]] = []
        while len(ahead) < SETTLE_PACKETS and not all(adapter.ready for adapter in self._adapters.values()):
            packet = next(self._packets, None)
            if packet is None:
                break
            self._adapters[packet.stream_index].payload(packet)
            ahead.append(packet)
        for adapter in self._adapters.values():
            adapter.announced = adapter.config
        return ahead

    def _unit(self, packet: Packet[Stream]) -> Unit | None:
        adapter = self._adapters[packet.stream_index]
        payload = adapter.payload(packet)
        if payload is None:
            return None
        config = adapter.config if adapter.config and adapter.config != adapter.announced else None
        if config is not None:
            adapter.announced = config
        return Unit(
            adapter.id,
            payload,
            pts=packet.pts,
            dts=packet.dts,
            duration=packet.duration or None,
            keyframe=packet.is_keyframe,
            droppable=packet.is_disposable,
            corrupt=packet.is_corrupt,
            config=config,
        )


def _drained(packets: list[Packet[Stream]]) -> Iterator[Packet[Stream]]:
    """The packets, each let go of as it is used."""
    packets.reverse()
    while packets:
        yield packets.pop()


def _identities(adapters: dict[int, Adapter]) -> list[object]:
    return [adapter.identity for adapter in adapters.values()]


def describe(stream: Stream) -> str:
    """Kind and codec of a stream, for people."""
    codec = getattr(stream.codec_context, "name", None) or stream.name or "unknown codec"
    return f"{stream.type}, {codec}"


def open_file(path: str) -> DemuxSource:
    """A media file as a source.

    Raises:
        MediaError: no such file, or nothing FFmpeg or arclyd understands.
    """
    return DemuxSource(path, lambda: av.open(path, "r"))


def open_pipe(fd: int, stop: threading.Event) -> DemuxSource:
    """A container on a pipe (MPEG-TS, FLV, Matroska or fragmented MP4), recognised by its content."""
    options = {"analyzeduration": str(ANALYZE_MICROSECONDS)}
    return DemuxSource("standard input", lambda: av.open(PipeReader(fd, stop), "r", options=options))

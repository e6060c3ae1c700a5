"""`Publisher`: the one writer of a stream."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Final

from arclyd.client.claim import Claim, Terms
from arclyd.client.exchange import socket_path
from arclyd.control.keys import parse_key
from arclyd.errors import MediaError, RequestRefused
from arclyd.media.codecs.describe import describe_config

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Buffer

    from arclyd.client.observer import Observer
    from arclyd.media.track import Track
    from arclyd.ring._ring import Span, Writer

POLICIES: Final = ("reject", "replace", "backup")


class Publisher:
    """Claims a stream key and publishes frames into its region.

    ``key``: ``app/name``. ``tracks``: the stream's tracks; a track's id is its place, and its ``config`` is
    published as a CONFIG frame at once. ``ring_bytes``, ``slots``: the region's payload bytes and frames
    (None: the application's setting). ``on_taken``: what to do where the key has a living publisher —
    "reject" (`AlreadyPublishing`), "replace" it, or stand by as "backup" until it is gone (the constructor
    waits); None: the application's policy. ``metadata``: the stream's metadata fields. ``observer``: told
    of what happens. ``socket``: the daemon's control socket. ``name``: what tools call this publisher.

    Leaving its ``with`` block, by an exception too, ends the stream. A publisher that is killed, or collected
    without having been closed, leaves it interrupted: the next one goes on where it stopped. In a forked
    child it is dead. Threads may share it: frames are published one at a time, whole; while one thread fills a
    span (`reserve`), publishing in another is a `RuntimeError`.

    Raises:
        InvalidKey, AlreadyPublishing, PublisherLimit, MemoryBudget, NoSpace, Unauthorized: the claim failed.
        DaemonUnavailable: no daemon answers.
    """

    def __init__(
        self,
        key: str,
        tracks: Iterable[Track],
        *,
        ring_bytes: int | None = None,
        slots: int | None = None,
        on_taken: str | None = None,
        metadata: Mapping[str, object] | None = None,
        observer: Observer | None = None,
        socket: str | os.PathLike[str] | None = None,
        name: str | None = None,
    ) -> None:
        parse_key(key)
        if on_taken is not None and on_taken not in POLICIES:
            raise RequestRefused(f"on_taken is one of {', '.join(POLICIES)}, not {on_taken!r}")
        self.key = key
        """The stream key."""
        self.tracks = tuple(tracks)
        """The tracks as declared."""
        terms = Terms(key, self.tracks, ring_bytes, slots, on_taken, metadata or {})
        self._claim = Claim(terms, socket_path(socket), name=name or "", observer=observer)
        self._writer = self._claim.writer
        finalizer = weakref.finalize(self, self._claim.drop)
        finalizer.atexit = False
        # One call from the caller into the ring: a method in between would double what a small frame costs.
        self.__dict__["publish"] = self._writer.publish
        self.__dict__["reserve"] = self._writer.reserve
        if observer is not None:
            self.__dict__["publish"] = _observed(key, self._writer, observer)
            observer.on_publish_started(key, self.epoch)

    @property
    def epoch(self) -> int:
        """Which incarnation of the stream's publisher this is, from 1."""
        return self._writer.epoch

    @property
    def gated(self) -> int:
        """Frames not published because a stream that was interrupted must go on with a keyframe."""
        return self._writer.gated

    def publish(
        self,
        track: int,
        payload: Buffer,
        *,
        pts: int,
        dts: int | None = None,
        duration: int | None = None,
        keyframe: bool = False,
        discontinuity: bool = False,
        droppable: bool = False,
        corrupt: bool = False,
        capture_ns: int | None = None,
    ) -> int:
        """Publish one frame; returns the number of attached subscribers.

        ``pts``, ``dts`` (None: as pts) and ``duration``: in the time base of the track. ``keyframe``:
        decoding can start here. ``discontinuity``: timestamps or encoder changed before it. ``droppable``:
        nothing depends on it. ``corrupt``: it came damaged. ``capture_ns``: when it was captured, wall clock
        (None: now).

        Raises:
            FrameTooLarge: above an eighth of the payload ring; the stream goes on.
            PublisherReplaced, PublisherClosed: it is over for this publisher.
        """
        return self._writer.publish(
            track,
            payload,
            pts=pts,
            dts=dts,
            duration=duration,
            keyframe=keyframe,
            discontinuity=discontinuity,
            droppable=droppable,
            corrupt=corrupt,
            capture_ns=capture_ns,
        )

    def reserve(self, track: int, size: int) -> Span:
        """Memory for a frame of up to ``size`` bytes, to be filled in place and committed.

        Raises as `publish` does.
        """
        return self._writer.reserve(track, size)

    def set_config(self, track: int, config: Buffer, *, width: int = 0, height: int = 0) -> int:
        """Start a new configuration generation of the track, as a CONFIG frame; returns its number.

        ``width``, ``height``: of the picture, in pixels; both 0: as ``config`` says, or as before.

        Raises:
            ConfigTooLarge: above the region's configuration record; nothing changed.
        """
        if not width and not height and 0 <= track < len(self.tracks):
            width, height = _picture(self.tracks[track], bytes(config))
        return self._writer.set_config(track, config, width, height)

    def keyframe_requested(self) -> bool:
        """True once for each batch of requests for a keyframe since the last call."""
        return not self._claim.over and self._writer.keyframe_requested()

    def end(self) -> None:
        """End the stream: readers get what is there, then `EndOfStream` ("ended"). Idempotent."""
        self._claim.end()

    def interrupt(self) -> None:
        """Let go as a killed publisher would: the stream waits for the next one for the grace time. Idempotent."""
        self._claim.drop()

    def close(self) -> None:
        """As `end`."""
        self.end()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def _picture(track: Track, config: bytes) -> tuple[int, int]:
    """Width and height in ``config``; 0 where it says none, or is of a kind that this build can't read."""
    try:
        facts = describe_config(track.codec, config)
    except MediaError:
        return 0, 0
    return facts.width, facts.height


def _observed(key: str, writer: Writer, observer: Observer) -> Callable[..., int]:
    """The publishing function that tells ``observer``; without one, the ring's own is used."""
    attached = 0
    one_at_a_time = threading.Lock()

    def publish(track: int, payload: Buffer, *, pts: int, **facts: int | bool | None) -> int:
        nonlocal attached
        with one_at_a_time:  # else the head seen may be another thread's frame
            head = region.head if (region := writer.region) else 0
            now = writer.publish(track, payload, pts=pts, **facts)  # type: ignore[arg-type] # by Publisher.publish
        if region is not None and (frame := region.frame(head)) is not None:
            observer.on_frame(key, frame)
        if now != attached:
            told = observer.on_joined if now > attached else observer.on_left
            attached = now
            told(key, now)
        return now

    return publish

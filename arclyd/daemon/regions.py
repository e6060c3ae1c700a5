"""The daemon's hold on shared memory: one handle per region, named or sealed, and the store they come from.

The handle keeps a descriptor of its own (to ask the kernel whether the writer's lock is
held, which it never takes) and a writable mapping (for the daemon's words in the header).
Descriptors for others are opened afresh, so that the receiver alone holds the lock it takes.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from arclyd.errors import ArclydError, RegionCorrupt
from arclyd.ring import _ring, region

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


U64: Final = (1 << 64) - 1
"""The largest number the control protocol can say; a region's counters may hold anything."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a cursor is behind the head."""

    frames: int
    bytes: int
    ns: int
    lapped: bool = False
    """The ring has overtaken it: bytes and ns are what is left to be measured, the whole ring."""


class Handle(Protocol):
    """What the registry does with one region."""

    name: str
    region_id: str
    key: str
    size: int
    ring_bytes: int
    slots: int
    layout: str
    gop_limits: tuple[int, int, int]
    base_seq: int

    @property
    def is_sealed(self) -> bool:
        """It has no name, and nobody can change its size."""

    @property
    def head(self) -> int:
        """Sequence of the next frame."""

    @property
    def epoch(self) -> int:
        """Epoch of the newest writer; 0: there was none."""

    @property
    def has_ended(self) -> bool:
        """Its writer said that the stream is over."""

    @property
    def closed(self) -> int:
        """The CLOSED_ word, 0 while it is open."""

    @property
    def subscribers(self) -> int:
        """The number of subscribers last published."""

    @property
    def created_ms(self) -> int:
        """When it was made, wall clock."""

    def writer_lives(self) -> bool:
        """Somebody holds the writer's lock."""

    def counters(self) -> _ring.Counters:
        """Cumulative counters, now."""

    def tracks(self) -> Sequence[_ring.TrackInfo]:
        """Track table with its counters."""

    def gops(self, newest: int = 0) -> Sequence[_ring.GopInfo]:
        """Join points, oldest first; at most the ``newest`` ones (0: all)."""

    def frame(self, seq: int) -> _ring.Frame | None:
        """A frame still held."""

    def lag(self, cursor: int) -> Lag:
        """How far ``cursor`` is behind the head."""

    def grant(self, epoch: int) -> None:
        """Name the epoch that may write."""

    def request_keyframe(self) -> None:
        """Ask the writer for a keyframe."""

    def set_subscribers(self, count: int) -> None:
        """Publish the number of subscribers."""

    def open_writable(self) -> int:
        """A fresh read-write descriptor."""

    def open_readonly(self) -> int:
        """A fresh read-only descriptor."""

    def close(self, closed: int) -> None:
        """End the stream for all readers with a CLOSED_ word and remove the name. Figures stay readable."""

    def remove(self) -> None:
        """Remove the name of a region that is closed already."""

    def release(self) -> None:
        """Let go of the region and leave it as it is."""


class Store(Protocol):
    """Where regions come from."""

    def create(
        self, key: str, spec: region.RegionSpec, *, sealed: bool = False, memory: region.Memory | None = None
    ) -> Handle:
        """A new, empty region, of ``memory`` if that was reserved for it; raises `NoSpace`."""

    def reserve(self, key: str, size: int, *, sealed: bool = False) -> Future[region.Memory]:
        """Memory for `create`, without waiting for it."""

    def readmit(self, fd: int, key: str, region_id: str) -> Handle:
        """The sealed region that a publisher brings back; raises `RegionCorrupt`."""


class RingHandle:
    """`Handle` on a region: the one behind ``fd``, which is the handle's from now on."""

    def __init__(self, name: str, fd: int) -> None:
        self.name = name
        self._fd = fd
        try:
            self._region = _ring.Region(self._fd, writable=True)
        except BaseException:
            os.close(self._fd)
            raise
        self.region_id = self._region.region_id.hex()
        self.key = self._region.key
        self.size = self._region.size
        self.ring_bytes = self._region.ring_bytes
        self.slots = self._region.slots
        self.gop_limits = self._region.gop_limits
        self.base_seq = self._region.base_seq
        self.layout = ".".join(str(part) for part in self._region.layout)

    @property
    def is_sealed(self) -> bool:
        """It has no name, and nobody can change its size."""
        return self.name.startswith(region.SEALED)

    @property
    def head(self) -> int:
        """Sequence of the next frame."""
        return self._region.head

    @property
    def epoch(self) -> int:
        """Epoch of the newest writer; 0: there was none."""
        return self._region.epoch

    @property
    def has_ended(self) -> bool:
        """Its writer said that the stream is over."""
        return self._region.state == _ring.STATE_ENDED

    @property
    def closed(self) -> int:
        """The CLOSED_ word, 0 while it is open."""
        return self._region.closed

    @property
    def subscribers(self) -> int:
        """The number of subscribers last published."""
        return self._region.subscribers

    @property
    def created_ms(self) -> int:
        """When it was made, wall clock."""
        return self._region.created_ns // 1_000_000

    def writer_lives(self) -> bool:
        """Somebody holds the writer's lock."""
        return region.lock_held(self._fd)

    def counters(self) -> _ring.Counters:
        """Cumulative counters, now."""
        return self._region.counters()

    def tracks(self) -> Sequence[_ring.TrackInfo]:
        """Track table with its counters."""
        return self._region.tracks()

    def gops(self, newest: int = 0) -> Sequence[_ring.GopInfo]:
        """Join points, oldest first; at most the ``newest`` ones (0: all)."""
        return self._region.gops(newest)

    def frame(self, seq: int) -> _ring.Frame | None:
        """A frame still held."""
        return self._region.frame(seq)

    def lag(self, cursor: int) -> Lag:
        """How far ``cursor`` is behind the head."""
        frames = max(0, self._region.head - cursor)
        if not frames:
            return Lag(0, 0, 0)
        reader = _ring.Reader(self._region, ("seq", cursor))
        try:
            # A reader has its place from its first item on: the configuration in force, or the frame.
            first = reader.recv(0)
        except RegionCorrupt:  # one bad region must not cost the list of all subscribers
            first = None
        if not isinstance(first, _ring.Frame) or reader.cursor > cursor + 1:
            counters = self._region.counters()
            return Lag(frames, counters.held_bytes, counters.retention_ns, lapped=True)
        _, size, ns = reader.lag()
        if reader.cursor > cursor:
            size, ns = min(size + len(first), U64), self._region.counters().last_publish_ns - first.publish_ns
        return Lag(frames, size, max(0, ns))

    def grant(self, epoch: int) -> None:
        """Name the epoch that may write."""
        self._region.grant(epoch)

    def request_keyframe(self) -> None:
        """Ask the writer for a keyframe."""
        self._region.request_keyframe()

    def set_subscribers(self, count: int) -> None:
        """Publish the number of subscribers."""
        self._region.set_subscribers(count)

    def open_writable(self) -> int:
        """A fresh read-write descriptor."""
        return region.reopen(self._fd, os.O_RDWR)

    def open_readonly(self) -> int:
        """A fresh read-only descriptor."""
        return region.reopen(self._fd, os.O_RDONLY)

    def close(self, closed: int) -> None:
        """End the stream for all readers with a CLOSED_ word and remove the name. Figures stay readable."""
        self._region.close_stream(closed)
        self.remove()

    def remove(self) -> None:
        """Remove the name of a region that is closed already; a sealed one has none."""
        if not self.is_sealed:
            region.unlink(self.name)

    def release(self) -> None:
        """Let go of the region and leave it as it is. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RingStore:
    """Regions of one daemon instance: those in /dev/shm are found again, sealed ones are brought back."""

    def __init__(self, instance: str) -> None:
        self.instance = instance

    def create(
        self, key: str, spec: region.RegionSpec, *, sealed: bool = False, memory: region.Memory | None = None
    ) -> RingHandle:
        """A new, empty region, of ``memory`` if that was reserved for it; raises `NoSpace`."""
        if sealed:
            made, fd = region.create_sealed(self.instance, key, spec, memory)
            return RingHandle(made.name, fd)
        made = region.create(self.instance, key, spec, memory)
        try:
            return RingHandle(made.name, region.open_own(made.name))
        except BaseException:
            region.unlink(made.name)
            raise

    def reserve(self, key: str, size: int, *, sealed: bool = False) -> Future[region.Memory]:
        """Memory for `create`, reserved by a thread of its own."""
        reserved: Future[region.Memory] = Future()

        def work() -> None:
            try:
                reserved.set_result(region.Memory(self.instance, key, size, sealed=sealed))
            except (ArclydError, OSError) as error:
                reserved.set_exception(error.with_traceback(None))

        threading.Thread(target=work, name="arclyd-reserve", daemon=True).start()
        return reserved

    def readmit(self, fd: int, key: str, region_id: str) -> RingHandle:
        """The sealed region that a publisher brings back; ``fd`` stays the caller's.

        Raises:
            RegionCorrupt: nothing that a daemon of this instance made for ``key``.
        """
        name = region.sealed_name(fd)
        ours = region.region_name(self.instance, key, "").lstrip("/")
        if not name.startswith(region.SEALED + ours):
            raise RegionCorrupt("descriptor", "of another key or another daemon")
        try:
            handle = RingHandle(name, region.reopen(fd, os.O_RDWR))
        except OSError as error:
            raise RegionCorrupt("descriptor", f"it can't be opened: {error.strerror}") from error
        if (handle.key, handle.region_id) == (key, region_id):
            return handle
        handle.release()
        raise RegionCorrupt("descriptor", "the region behind it is another one")

    def found(self) -> Iterator[RingHandle | tuple[str, ArclydError | OSError]]:
        """Every region of this instance that is there: a handle, or its name and why it is of no use."""
        for name in region.list_names(self.instance):
            try:
                yield RingHandle(name, region.open_own(name))
            except (ArclydError, OSError) as error:
                yield name, error

    def discard(self, name: str) -> bool:
        """Remove the name of a region that is of no use; False: it is not ours to remove, and stays."""
        return region.unlink(name)

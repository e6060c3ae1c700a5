"""The C core as Python sees it: one process's handle on one region.

Nothing here opens a name or a socket: a region is attached by file descriptor.
The mapping lives as long as any object made from it, so that a view that
outlives its reader is safe to touch.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Self, final

from typing_extensions import Buffer

LAYOUT_MAJOR: Final[int]
LAYOUT_MINOR: Final[int]
BUILD_FLAGS: Final[tuple[str, ...]]

# Slot flags.
KEY: Final[int]
CONFIG: Final[int]
DISCONTINUITY: Final[int]
DROPPABLE: Final[int]
CORRUPT: Final[int]
HAS_CRC: Final[int]

# Stream states.
STATE_NEW: Final[int]
STATE_LIVE: Final[int]
STATE_ENDED: Final[int]

# Why the daemon closed a region (0: it is open).
CLOSED_ENDED: Final[int]
CLOSED_PUBLISHER_GONE: Final[int]
CLOSED_REAPED: Final[int]
CLOSED_KICKED: Final[int]
CLOSED_SUPERSEDED: Final[int]
CLOSED_REFUSED: Final[int]

def region_size(*, ring_bytes: int, slots: int) -> int:
    """Size in bytes of a region with that payload ring and that many slots."""

def format_region(
    fd: int,
    *,
    key: str,
    ring_bytes: int,
    slots: int,
    base_seq: int = 0,
    base_epoch: int = 0,
    gop_frames: int = 0,
    gop_bytes: int = 0,
    gop_ms: int = 0,
    crc: bool = False,
    region_id: bytes = b"",
) -> None:
    """Write an empty region into the object behind ``fd``, which has `region_size` bytes reserved.

    ``gop_*``: a GOP past one of these bounds is no join point (0: no bound).
    """

def crc32c(data: Buffer, value: int = 0) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4) of ``data``, continued from ``value``."""

@final
class TrackInfo:
    """One entry of the track table and its cumulative counters, read consistently."""

    id: int
    kind: int  # 0 video, 1 audio, 2 data
    codec: int
    time_base: tuple[int, int]
    width: int
    height: int
    sample_rate: int
    channels: int
    config_generation: int
    frames: int  # with configuration frames
    config_frames: int
    keyframes: int
    bytes: int
    last_publish_ns: int  # monotonic; 0: none yet
    last_pts: int
    last_dts: int

@final
class GopInfo:
    """One join point of the GOP ring."""

    number: int
    key_seq: int
    join_seq: int  # where a joiner starts: key_seq, or the audio that was published ahead of it
    track: int
    epoch: int
    pts: int  # in the time base of ``track``
    publish_ns: int  # monotonic
    frames: int  # from join_seq up to the next join point, or to the head
    bytes: int
    duration_ns: int  # in media time
    intact: bool  # all of it is still in the ring
    joinable: bool  # intact and within the GOP limits

@final
class ConfigInfo:
    """One configuration record."""

    generation: int
    track: int
    seq: int  # of its CONFIG frame
    data: bytes

@final
class Counters:
    """Cumulative counters and hot words, sampled at ``now_ns`` (monotonic)."""

    now_ns: int
    head: int  # sequence of the next frame
    base_seq: int
    reserved_pos: int
    total_frames: int
    total_bytes: int
    padding_bytes: int
    largest_frame: int
    keyframes: int
    gop_count: int
    longest_gop_frames: int
    longest_gop_bytes: int
    keyframe_interval_ns: int  # between the two newest join points, in media time
    last_publish_ns: int  # monotonic; 0: none yet
    held_frames: int  # how many frames back from the head are still in the ring
    held_bytes: int
    retention_ns: int  # age of the oldest held frame relative to the newest
    epoch: int
    state: int
    closed: int
    writer_pid: int
    subscribers: int
    keyframe_requests: int

@final
class Region:
    """A mapped region. Construction checks every field of the header.

    Raises `RegionCorrupt` or `LayoutMismatch`; ``fd`` stays the caller's.
    """

    def __init__(self, fd: int, *, writable: bool = False) -> None: ...
    key: str
    region_id: bytes
    size: int
    ring_bytes: int
    slots: int
    max_frame: int
    max_config: int
    max_tracks: int
    base_seq: int
    created_ns: int  # wall clock
    layout: tuple[int, int]
    gop_limits: tuple[int, int, int]  # frames, bytes, ms
    head: int
    state: int
    epoch: int
    closed: int
    subscribers: int
    keyframe_requests: int
    def counters(self) -> Counters: ...
    def tracks(self) -> list[TrackInfo]: ...
    def gops(self, newest: int = 0, /) -> list[GopInfo]:
        """Join points still in the GOP ring, oldest first; at most the ``newest`` ones (0: all)."""
    def configs(self) -> list[ConfigInfo]:
        """Configuration records, oldest generation first."""
    def frame(self, seq: int) -> Frame | None:
        """The frame of that sequence, if it is in the ring now."""
    # The daemon's words; need a writable mapping.
    def set_subscribers(self, count: int) -> None: ...
    def request_keyframe(self) -> None: ...
    def grant(self, epoch: int) -> None:
        """Name the epoch that may write; a writer of another one stops at its next publish."""
    def close_stream(self, closed: int) -> None:
        """Tell all readers, with one of the CLOSED_ words, and wake them."""

@final
class Frame:
    """One encoded frame, or a decoder configuration, as a view into the ring.

    Exports a read-only buffer of its payload. ``pts``, ``dts`` and ``duration``
    are in the time base of its track.
    """

    seq: int
    track: int
    pts: int
    dts: int
    duration: int | None
    size: int
    flags: int
    keyframe: bool
    is_config: bool
    discontinuity: bool
    droppable: bool
    corrupt: bool
    epoch: int
    config_generation: int
    join_seq: int  # key_seq of the join point this frame belongs to
    capture_ns: int  # wall clock
    publish_ns: int  # monotonic
    crc32c: int | None
    @property
    def data(self) -> memoryview:
        """The payload, zero copy, read-only; keeps the mapping alive."""
    def is_intact(self) -> bool:
        """True: every byte read from `data` so far is what was published."""
    def tobytes(self) -> bytes:
        """Copy of the payload, checked afterwards; raises `FrameOverwritten` or `FrameCorrupt`."""
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Gap:
    """Frames this reader lost: ``missed`` of them, and goes on at ``resumed_at``."""

    missed: int
    resumed_at: int
    def __init__(self, missed: int, resumed_at: int) -> None: ...

@final
class Span:
    """Memory of the frame to come, to be filled in place. Leaving it uncommitted gives it back."""

    buffer: memoryview
    def commit(
        self,
        size: int,
        *,
        pts: int,
        dts: int | None = None,
        duration: int | None = None,
        keyframe: bool = False,
        discontinuity: bool = False,
        droppable: bool = False,
        corrupt: bool = False,
        capture_ns: int | None = None,
    ) -> int: ...
    def abort(self) -> None: ...
    def __enter__(self) -> Span: ...
    def __exit__(self, *exc: object) -> None: ...

@final
class Writer:
    """The one writer of a region. The caller holds the region's lock.

    Construction re-claims: sequences go on, the epoch rises by one.
    ``tracks``: (kind, codec, (num, den), width, height, sample_rate, channels), a track's id being its place.
    """

    def __init__(
        self, region: Region, tracks: Sequence[tuple[int, int, tuple[int, int], int, int, int, int]]
    ) -> None: ...
    epoch: int
    region: Region | None  # None once released
    gated: int  # frames not published because a re-claimed stream awaits its keyframe
    reserved: bool  # a span is neither committed nor given back
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

        Raises `FrameTooLarge`, `PublisherClosed`, `PublisherReplaced`; `ValueError` for a track that is not.
        """
    def reserve(self, track: int, size: int) -> Span: ...
    def set_config(self, track: int, config: Buffer, width: int = 0, height: int = 0) -> int:
        """Start a new configuration generation and publish it as a CONFIG frame; returns the generation."""
    def keyframe_requested(self) -> bool:
        """True once for each batch of requests since the last call."""
    def end(self) -> None:
        """The stream is over: readers are told and woken. Idempotent."""
    def detach(self) -> None:
        """Stop writing and leave the stream open for the next writer (interrupted)."""
    def release(self) -> None:
        """As `detach`, and let go of the region: it is unmapped with the last view or span of it. Idempotent."""
    def refuse(self, refusal: Callable[[], BaseException]) -> None:
        """Publish nothing any more: `publish`, `reserve` and `set_config` raise what ``refusal()`` returns."""

@final
class Reader:
    """A cursor over a region. Not thread-safe but for `kick`.

    ``start``: ("keyframe" | "live" | "oldest", 0), ("seq", n) or ("ago", ns).
    ``track_mask``: bit n set: frames of track n are delivered. ``spin_ns``: how long it looks before it sleeps.
    """

    def __init__(
        self,
        region: Region,
        start: tuple[str, int] = ("keyframe", 0),
        *,
        resync_oldest: bool = False,
        track_mask: int = 0xFFFFFFFF,
        spin_ns: int = 0,
    ) -> None: ...
    cursor: int  # sequence of the next frame wanted
    missed: int  # frames lost so far
    awaiting_keyframe: bool  # no join point is usable yet
    closed: int  # a CLOSED_ word once the stream is over for this reader and drained, else 0
    def recv(self, timeout_ns: int) -> Frame | Gap | None:
        """The next frame; a `Gap` where frames were lost.

        ``timeout_ns``: -1 waits for ever, 0 only looks. None: nothing within that
        time, or the stream is over (`closed` says which). Signal handlers run, the GIL is released.
        """
    def recv_many(self, max_frames: int, timeout_ns: int) -> list[Frame | Gap]:
        """What is there at once, up to ``max_frames``; waits only for the first. Empty: as None of `recv`."""
    def wait(self, timeout_ns: int) -> bool:
        """True: `recv` has something to say (a frame, a gap, the end)."""
    def lag(self) -> tuple[int, int, int]:
        """(frames, payload bytes, ns) from the cursor to the head."""
    def kick(self, closed: int) -> None:
        """End this reader alone, from any thread."""

class Receiver:
    """What runs of a `Subscriber` for each frame; an iterator over every frame from here on, until the stream ends.

    Whoever is made of it has a method ``_frame_after(item, deadline, timeout)``, which is called with what is no
    frame, and with frames, too, where they are shown to somebody; it returns the frame to deliver. ``deadline``:
    on the monotonic clock, in seconds, None: none.
    """

    _reader: Any  # a Reader, or what has a method ``recv`` like it
    _shows: bool  # frames are shown to somebody
    def recv(self, timeout: float | None = None) -> Frame:
        """The next frame; frames lost on the way are counted in `dropped`.

        Raises:
            TimeoutError: none within ``timeout`` seconds (None: waits for as long as it takes).
            EndOfStream: none will come.
        """
    def __iter__(self) -> Self: ...
    def __next__(self) -> Frame: ...

@final
class Waiter:
    """Tells an event loop, by a descriptor, when to look at the ring of ``reader`` again.

    An io_uring waits for it where the kernel has one that can (Linux 6.7) and lets it be used, else (or with
    ``thread``) a thread in C. One thread at a time may use it; in a forked child it is dead.
    """

    def __init__(self, reader: Reader, *, thread: bool = False) -> None: ...
    has_uring: bool  # an io_uring waits, not a thread
    def fileno(self) -> int:
        """The descriptor to poll for reading; -1: closed."""
    def arm(self) -> bool:
        """True: ``reader`` has something to say. Else the descriptor gets readable once that may be so.

        It gets readable without cause, too, twice a second at least. Raises `ValueError` once stopped, `OSError`
        where the system has no thread to give.
        """
    def clear(self) -> bool:
        """Make it unreadable again; True: the wait is over, False: it goes on."""
    def stop(self) -> None:
        """Wait no more; the descriptor stays open. From any thread. Idempotent."""
    def close(self) -> None:
        """Wait no more and close the descriptor. Idempotent."""

"""Every exception arclyd raises on purpose, in one tree. Imports nothing.

::

    ArclydError
    ├── InvalidKey             a stream key that breaks the one rule for keys
    ├── ConfigError            a configuration file that says something wrong
    ├── DaemonUnavailable      no daemon answers on the control socket
    ├── ProtocolError          the peer broke the control protocol
    ├── RequestRefused         a request that is well formed but makes no sense
    ├── StreamNotFound         no such stream
    ├── SubscriberNotFound     no such subscriber on that stream
    ├── AlreadyPublishing      the key has a living publisher
    ├── Unauthorized           the peer may not do that
    ├── LimitReached           a limit set by the operator
    │   ├── PublisherLimit
    │   ├── ConnectionLimit
    │   ├── DescriptorLimit
    │   └── MemoryBudget
    ├── NoSpace                shared memory can't hold the region
    ├── RegionError            a region that can't be used
    │   ├── RegionCorrupt
    │   └── LayoutMismatch
    ├── FrameTooLarge          one frame too large for its ring; the stream goes on
    ├── ConfigTooLarge         one decoder configuration too large for its record
    ├── FrameOverwritten       the writer overtook this view
    ├── FrameCorrupt           the payload does not match its checksum
    ├── PublisherClosed        publishing on a publisher that is closed
    │   └── PublisherReplaced  … because another one took the key over
    ├── EndOfStream            no more frames will come; ``reason`` says why
    ├── MediaError             bytes that are not what their codec says
    │   └── UnknownCodec
    └── WireError              the other side of a media connection broke its protocol, or refused

A constructor takes the facts as keyword-able arguments and keeps them as
attributes of the same names; ``str()`` makes the sentence. ``code`` is the
stable word that travels on the control socket, ``exit_code`` what a command
exits with. `arclyd.error_maps` carries an error from one process to another.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyPublishing",
    "ArclydError",
    "ConfigError",
    "ConfigTooLarge",
    "ConnectionLimit",
    "DaemonUnavailable",
    "DescriptorLimit",
    "EndOfStream",
    "FrameCorrupt",
    "FrameOverwritten",
    "FrameTooLarge",
    "InvalidKey",
    "LayoutMismatch",
    "LimitReached",
    "MediaError",
    "MemoryBudget",
    "NoSpace",
    "ProtocolError",
    "PublisherClosed",
    "PublisherLimit",
    "PublisherReplaced",
    "RegionCorrupt",
    "RegionError",
    "RequestRefused",
    "StreamNotFound",
    "SubscriberNotFound",
    "Unauthorized",
    "UnknownCodec",
    "WireError",
]


class ArclydError(Exception):
    """Base of all: catch it to catch everything arclyd raises on purpose."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1


class InvalidKey(ArclydError):
    """A stream key that is not ``app/name`` with parts of ``[A-Za-z0-9._-]``."""

    code = "invalid_key"
    exit_code = 3

    def __init__(self, key: str, problem: str = "") -> None:
        super().__init__(key, problem)
        self.key = key
        self.problem = problem

    def __str__(self) -> str:
        shown = self.key if len(self.key) <= 80 else self.key[:77] + "..."
        why = f": {self.problem}" if self.problem else ""
        return f"invalid stream key {shown!r}{why} (a key is app/name, e.g. live/cam1)"


class ConfigError(ArclydError):
    """A configuration that can't be used; ``path`` is the place in it, as ``$.apps.live.grace``."""

    code = "config_error"
    exit_code = 4

    def __init__(self, path: str, problem: str, file: str = "") -> None:
        super().__init__(path, problem, file)
        self.path = path
        self.problem = problem
        self.file = file

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        return f"{where}{self.problem} (at {self.path})"


class DaemonUnavailable(ArclydError):
    """No daemon answers on the control socket."""

    code = "daemon_unavailable"
    exit_code = 5

    def __init__(self, socket: str, problem: str) -> None:
        super().__init__(socket, problem)
        self.socket = socket
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"no arclyd answers on {self.socket}: {self.problem} "
            "(start one with `arclyd serve`, or name its socket with --socket or ARCLYD_SOCKET)"
        )


class ProtocolError(ArclydError):
    """The other side of the control socket broke the protocol."""

    code = "protocol_error"
    exit_code = 6

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"control protocol: {self.problem}"


class RequestRefused(ArclydError):
    """A well-formed request that can't be carried out as asked."""

    code = "request_refused"
    exit_code = 7

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class StreamNotFound(ArclydError):
    """No stream of that key is known to the daemon."""

    code = "stream_not_found"
    exit_code = 8

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"no stream {self.key!r} (arclyctl ls shows what there is)"


class SubscriberNotFound(ArclydError):
    """No subscriber of that id is attached to the stream."""

    code = "subscriber_not_found"
    exit_code = 8

    def __init__(self, key: str, id: int) -> None:
        super().__init__(key, id)
        self.key = key
        self.id = id

    def __str__(self) -> str:
        return f"stream {self.key!r} has no subscriber {self.id} (arclyctl subscribers shows them)"


class AlreadyPublishing(ArclydError):
    """The key has a publisher, and the application's policy is to keep it."""

    code = "already_publishing"
    exit_code = 9

    def __init__(self, key: str, pid: int = 0) -> None:
        super().__init__(key, pid)
        self.key = key
        self.pid = pid

    def __str__(self) -> str:
        by = f" by process {self.pid}" if self.pid else ""
        return f"stream {self.key!r} is already being published{by}"


class Unauthorized(ArclydError):
    """The peer's credentials do not allow the action."""

    code = "unauthorized"
    exit_code = 10

    def __init__(self, action: str, subject: str, problem: str = "") -> None:
        super().__init__(action, subject, problem)
        self.action = action
        self.subject = subject
        self.problem = problem

    def __str__(self) -> str:
        why = f": {self.problem}" if self.problem else ""
        return f"not allowed to {self.action} {self.subject}{why}"


class LimitReached(ArclydError):
    """Base of the limits an operator sets."""

    code = "limit_reached"
    exit_code = 11


class PublisherLimit(LimitReached):
    """``[server] max_publishers`` publishers are live."""

    code = "publisher_limit"

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the limit of {self.limit} publishers is reached ([server] max_publishers)"


class ConnectionLimit(LimitReached):
    """``[server] max_connections`` control connections are open."""

    code = "connection_limit"

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the limit of {self.limit} control connections is reached ([server] max_connections)"


class DescriptorLimit(LimitReached):
    """The daemon has opened as many files as its process may, but for a few it keeps for the streams it has."""

    code = "descriptor_limit"

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"the daemon has no descriptor to spare of its {self.limit}: raise LimitNOFILE, or close connections"


class MemoryBudget(LimitReached):
    """The region would exceed ``[server] memory_budget``. All sizes in bytes."""

    code = "memory_budget"

    def __init__(self, needed: int, used: int, budget: int) -> None:
        super().__init__(needed, used, budget)
        self.needed = needed
        self.used = used
        self.budget = budget

    def __str__(self) -> str:
        return (
            f"a region of {self.needed} bytes does not fit the memory budget: {self.used} of "
            f"{self.budget} bytes are in use ([server] memory_budget, or a smaller ring_bytes)"
        )


class NoSpace(ArclydError):
    """Shared memory can't hold the region. Sizes in bytes."""

    code = "no_space"
    exit_code = 12

    def __init__(self, needed: int, available: int, where: str = "/dev/shm") -> None:  # noqa: S108 -- no file is made there
        super().__init__(needed, available, where)
        self.needed = needed
        self.available = available
        self.where = where

    def __str__(self) -> str:
        return (
            f"no room in {self.where} for a region of {self.needed} bytes ({self.available} free): "
            f"enlarge it (mount -o remount,size=… {self.where}), set a smaller ring_bytes, "
            "or remove stale regions (arclyctl doctor names them)"
        )


class RegionError(ArclydError):
    """Base: a region that can't be used."""

    code = "region_error"
    exit_code = 13


class RegionCorrupt(RegionError):
    """The region's bytes contradict the layout; ``field`` is the first that does."""

    code = "region_corrupt"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem

    def __str__(self) -> str:
        return f"not a usable region: {self.field}: {self.problem}"


class LayoutMismatch(RegionError):
    """A sound region of a layout this build can't read."""

    code = "layout_mismatch"

    def __init__(self, found: str, supported: str) -> None:
        super().__init__(found, supported)
        self.found = found
        self.supported = supported

    def __str__(self) -> str:
        return f"the region has layout {self.found}, this build reads {self.supported}: upgrade the older side"


class FrameTooLarge(ArclydError):
    """A payload above the ring's largest frame (an eighth of the payload ring). Sizes in bytes."""

    code = "frame_too_large"
    exit_code = 14

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"a frame of {self.size} bytes is above this ring's limit of {self.limit}: set a larger ring_bytes"


class ConfigTooLarge(ArclydError):
    """A decoder configuration above the record's size. Sizes in bytes."""

    code = "config_too_large"
    exit_code = 14

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(size, limit)
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"a decoder configuration of {self.size} bytes is above the limit of {self.limit}"


class FrameOverwritten(ArclydError):
    """The writer has reused the memory of this frame; what was read from it since is not to be trusted."""

    code = "frame_overwritten"
    exit_code = 15

    def __init__(self, seq: int) -> None:
        super().__init__(seq)
        self.seq = seq

    def __str__(self) -> str:
        return f"frame {self.seq} was overwritten before it was read"


class FrameCorrupt(ArclydError):
    """The payload's CRC32C is not the one its writer stored."""

    code = "frame_corrupt"
    exit_code = 15

    def __init__(self, seq: int) -> None:
        super().__init__(seq)
        self.seq = seq

    def __str__(self) -> str:
        return f"frame {self.seq} does not match its checksum"


class PublisherClosed(ArclydError):
    """Publishing on a publisher that is closed, or that a fork left in the parent process."""

    code = "publisher_closed"
    exit_code = 16

    def __init__(self, problem: str = "this publisher is closed") -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return self.problem


class PublisherReplaced(PublisherClosed):
    """Another publisher took the stream key over."""

    code = "publisher_replaced"

    def __init__(self, key: str) -> None:
        super().__init__(f"another publisher took {key!r} over")
        self.key = key


class EndOfStream(ArclydError):
    """No more frames will come.

    ``reason`` is one of ``ended`` (the publisher closed), ``publisher_gone``
    (not back within the grace time), ``evicted`` (this reader lost more than
    its ``max_lag``), ``kicked`` (an operator's word), ``reaped`` (idle),
    ``refused`` (the daemon would not let it go on).
    """

    code = "end_of_stream"
    exit_code = 17

    def __init__(self, reason: str, key: str = "") -> None:
        super().__init__(reason, key)
        self.reason = reason
        self.key = key

    def __str__(self) -> str:
        which = f"stream {self.key!r}" if self.key else "the stream"
        return f"{which} is over for this reader: {self.reason}"


class MediaError(ArclydError):
    """Bytes that are not what their codec says they are."""

    code = "media_error"
    exit_code = 18

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(what, problem)
        self.what = what
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.what}: {self.problem}"


class UnknownCodec(MediaError):
    """A codec id or name outside the table; ``codec`` carries it."""

    code = "unknown_codec"

    def __init__(self, codec: int | str) -> None:
        super().__init__("codec", f"unknown codec {codec!r}")
        self.codec = codec


class WireError(ArclydError):
    """The other side of a media connection broke its protocol, or would not do what it was asked for."""

    code = "wire_error"
    exit_code = 19

    def __init__(self, protocol: str, problem: str) -> None:
        super().__init__(protocol, problem)
        self.protocol = protocol
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.protocol}: {self.problem}"

"""One stream as the daemon knows it: its region, its publisher, what is said and measured of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from arclyd.daemon.gop_index import GopWatch
from arclyd.daemon.qos import QosWindow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.control.messages import Publish, PublishGrant
    from arclyd.control.reports import Metadata
    from arclyd.daemon.auth import Peer
    from arclyd.daemon.config import AppConfig
    from arclyd.daemon.regions import Handle
    from arclyd.ring._ring import Counters, TrackInfo

SECOND: Final = 1_000_000_000
QUIET_NS: Final = 2 * SECOND
"""A stream without a frame for longer is called idle besides."""

ACTIVITIES: Final = ("recording", "transcoding")


class Now(NamedTuple):
    """One moment: monotonic nanoseconds to reckon with, wall clock milliseconds to show."""

    ns: int
    ms: int


class Phase(Enum):
    """Where a stream's publisher stands. A stream that ended is not in the registry any more."""

    CLAIMED = "claimed"
    """Granted; the publisher has not confirmed that it writes."""
    PUBLISHING = "publishing"
    """Its writer holds the region's lock."""
    INTERRUPTED = "interrupted"
    """No writer; one may come back within the grace time."""


@dataclass(frozen=True, slots=True)
class Party:
    """A control connection and the process behind it. ``conn`` 0: known by its lock only."""

    conn: int
    peer: Peer
    name: str = ""


@dataclass(slots=True)
class Publisher:
    """Who publishes a stream, or is about to."""

    party: Party
    since_ms: int
    connected: bool = True


@dataclass(slots=True)
class Claim:
    """A publish request that was found sound. ``token`` finds the request again when its answer is due later."""

    party: Party
    token: int
    request: Publish
    app: AppConfig
    metadata: Metadata
    replace: bool
    deadline_ns: int | None = None
    """When waiting for the old writer's lock ends; None: the old writer has not been told to stop."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to a claim, and the region whose descriptor goes with it (None: the publisher has it)."""

    grant: PublishGrant
    handle: Handle | None


@dataclass(slots=True)
class Stream:
    """A key that somebody publishes, is about to, or did a moment ago."""

    key: str
    app: AppConfig
    handle: Handle
    phase: Phase
    since_ns: int
    """When the phase began."""
    metadata: Metadata
    created_ms: int
    claimed_ns: int
    publisher: Publisher | None = None
    epoch_start: int = 0
    """Sequence at which the present epoch begins."""
    started_ms: int = 0
    """Wall clock time of the first frame; 0: there was none."""
    returns: bool = False
    """The stream had a publisher before the present one."""
    interrupted_ns: int | None = None
    """When it lost its publisher, until the next one has confirmed."""
    waiting: Claim | None = None
    """The one claim that waits to replace the publisher."""
    activities: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in ACTIVITIES})
    """How often each connection has begun each activity."""
    floor: int = 0
    """Subscribers it had before they had to reconnect, believed until ``floor_until_ns``."""
    floor_until_ns: int = 0
    sampled_ns: int = 0
    keyframe_told_ns: int = -SECOND
    qos: QosWindow = field(default_factory=QosWindow)
    gops: GopWatch = field(default_factory=GopWatch)
    gop_told_ns: int = 0

    @property
    def app_name(self) -> str:
        """The application the key belongs to."""
        return self.key.partition("/")[0]

    @property
    def publisher_pid(self) -> int:
        """Process id of the publisher; 0: unknown."""
        return self.publisher.party.peer.pid if self.publisher else 0

    @property
    def publisher_facts(self) -> dict[str, int]:
        """Who publishes it, for the log; a uid of -1: known by its lock only."""
        return {"pid": self.publisher_pid, "uid": self.publisher.party.peer.uid if self.publisher else -1}

    def published_by(self, conn: int) -> bool:
        """Connection ``conn`` is the publisher's."""
        return self.publisher is not None and self.publisher.connected and self.publisher.party.conn == conn

    def enter(self, phase: Phase, now: Now) -> None:
        """Begin a phase."""
        self.phase, self.since_ns = phase, now.ns

    def active(self, activity: str) -> int:
        """How many of an activity are going on."""
        return sum(self.activities[activity].values())

    def last_activity_ns(self, last_publish_ns: int) -> int:
        """When something last happened on it: a claim counts as a frame does."""
        return max(last_publish_ns, self.claimed_ns)

    def words(self, last_publish_ns: int, now_ns: int) -> tuple[str, ...]:
        """Its state as a sorted set of words."""
        words = {activity for activity in ACTIVITIES if self.active(activity)}
        if self.handle.has_ended:
            words.add("ended")
        elif self.phase is not Phase.CLAIMED:
            words.add(self.phase.value)
        quiet = now_ns - self.last_activity_ns(last_publish_ns) > QUIET_NS
        if self.phase is Phase.CLAIMED or (self.phase is Phase.PUBLISHING and quiet):
            words.add("idle")
        return tuple(sorted(words))

    def sample(self, now: Now) -> tuple[Counters, Sequence[TrackInfo]]:
        """Take the region's counters into the figures; returns them."""
        self.sampled_ns = now.ns
        counters = self.handle.counters()
        tracks = self.handle.tracks()
        if not self.started_ms and counters.head > self.handle.base_seq:
            first = self.handle.frame(self.handle.base_seq)
            self.started_ms = first.capture_ns // 1_000_000 if first and first.capture_ns else now.ms
        first_ns = self._first_publish(counters.head) if self.qos.lacks_first(tracks) else {}
        self.qos.sample(now.ns, counters.epoch, tracks, first_ns)
        return counters, tracks

    def _first_publish(self, head: int) -> dict[int, int]:
        """When each track's first frame of this epoch was published, as far as it is still held."""
        found: dict[int, int] = {}
        for seq in range(self.epoch_start, min(self.epoch_start + 64, head)):
            frame = self.handle.frame(seq)
            if frame is None:
                return {}
            if not frame.is_config:
                found.setdefault(frame.track, frame.publish_ns)
        return found

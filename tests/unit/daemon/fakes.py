"""A region store without shared memory, a courier that keeps what it was given, and moments to pass in."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from arclyd.control.messages import Order, Publish, TrackSpec
from arclyd.daemon.auth import Peer
from arclyd.daemon.config import Config
from arclyd.daemon.events import EventLog
from arclyd.daemon.regions import Lag
from arclyd.daemon.stream import SECOND, Now, Party
from arclyd.daemon.streams import Streams
from arclyd.errors import NoSpace

if TYPE_CHECKING:
    from arclyd.ring.region import RegionSpec


def at(seconds: float) -> Now:
    return Now(int((1000 + seconds) * SECOND), int((5000 + seconds) * 1000))


@dataclass
class FakeCounters:
    head: int = 0
    epoch: int = 0
    last_publish_ns: int = 0


@dataclass
class FakeTrack:
    id: int
    kind: int
    codec: int
    time_base: tuple[int, int]
    frames: int = 0
    config_frames: int = 0
    keyframes: int = 0
    bytes: int = 0
    last_publish_ns: int = 0
    last_dts: int = 0


@dataclass
class FakeHandle:
    key: str
    spec: RegionSpec
    region_id: str
    name: str = ""
    layout: str = "1.0"
    gop_limits: tuple[int, int, int] = (0, 0, 0)
    head: int = 0
    epoch: int = 0
    has_ended: bool = False
    is_sealed: bool = False
    locked: bool = False
    closed: int | None = None
    released: bool = False
    granted: int = 0
    subscribers: int = 0
    keyframes_asked: int = 0
    last_publish_ns: int = 0
    table: list[FakeTrack] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.size, self.ring_bytes = self.spec.size, self.spec.ring_bytes
        self.slots = self.spec.slots
        self.base_seq = self.head = self.spec.base_seq
        self.epoch = self.spec.base_epoch

    def writer_lives(self) -> bool:
        return self.locked

    def counters(self) -> FakeCounters:
        return FakeCounters(self.head, self.epoch, self.last_publish_ns)

    def tracks(self) -> list[FakeTrack]:
        return self.table

    def gops(self, newest: int = 0) -> list[object]:
        return []

    def frame(self, seq: int) -> None:
        return None

    def lag(self, cursor: int) -> Lag:
        return Lag(max(0, self.head - cursor), 0, 0)

    def grant(self, epoch: int) -> None:
        self.granted = epoch

    def request_keyframe(self) -> None:
        self.keyframes_asked += 1

    def set_subscribers(self, count: int) -> None:
        self.subscribers = count

    def open_writable(self) -> int:
        raise AssertionError

    open_readonly = open_writable

    def close(self, closed: int) -> None:
        assert self.closed is None, "closed twice"
        self.closed = closed

    def release(self) -> None:
        self.released = True

    # What a publisher does with it.
    def write(self, spec: tuple[TrackSpec, ...], head: int = 10) -> None:
        self.locked, self.epoch, self.head = True, self.granted, self.head + head
        kinds = ("video", "audio", "data")
        self.table = [FakeTrack(n, kinds.index(t.kind), t.codec, t.time_base) for n, t in enumerate(spec)]


@dataclass
class FakeStore:
    room: int = 1 << 40
    made: list[FakeHandle] = field(default_factory=list)
    reserving: list[Future[str]] = field(default_factory=list)

    def reserve(self, key: str, size: int, *, sealed: bool = False) -> Future[str]:
        self.reserving.append(Future())
        return self.reserving[-1]

    def create(self, key: str, spec: RegionSpec, *, sealed: bool = False, memory: str | None = None) -> FakeHandle:
        if spec.ring_bytes > self.room:
            raise NoSpace(spec.ring_bytes, self.room)
        handle = FakeHandle(key, spec, f"region{len(self.made)}", is_sealed=sealed)
        self.made.append(handle)
        return handle


@dataclass
class FakeCourier:
    orders: list[tuple[int, Order]] = field(default_factory=list)

    def order(self, conn: int, order: Order) -> None:
        self.orders.append((conn, order))


@dataclass
class World:
    config: Config = field(default_factory=Config)
    store: FakeStore = field(default_factory=FakeStore)
    courier: FakeCourier = field(default_factory=FakeCourier)
    events: EventLog = field(default_factory=EventLog)

    def __post_init__(self) -> None:
        self.streams = Streams(self.config, self.store, self.events, self.courier)  # type: ignore[arg-type]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events.since(1)]


def party(conn: int, pid: int = 0) -> Party:
    return Party(conn, Peer(pid or 100 + conn, 1000, 1000), f"c{conn}")


VIDEO = TrackSpec("video", 0, (1, 90000))
AUDIO = TrackSpec("audio", 5, (1, 48000))


def claim_of(key: str = "live/a", *, tracks: tuple[TrackSpec, ...] = (VIDEO,), **more: object) -> Publish:
    return Publish(key, tracks, **more)  # type: ignore[arg-type]

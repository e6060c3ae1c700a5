"""What the daemon tells of its streams, their parties and itself, as frozen dataclasses.

They travel inside replies (`arclyd.control.messages`) and are what `arclyd.Control` returns. Byte counts are
bytes, ``*_ms`` wall clock Unix milliseconds, ``*_seconds`` intervals; sequences are frame sequences.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TrackQos:
    """One track's live figures; rates over a sliding second."""

    id: int
    kind: str
    codec: str
    time_base: tuple[int, int]
    width: int
    height: int
    sample_rate: int
    channels: int
    config_generation: int
    frames: int
    keyframes: int
    bytes: int
    fps: float
    bitrate_bps: int
    average_bitrate_bps: int


@dataclass(frozen=True, slots=True)
class Qos:
    """Live quality of one stream. Bit rates are over a sliding second, ``fps`` over two; zero once frames stop.

    ``average_*`` are over the current publisher's time. CONFIG frames count in the totals, not in ``fps``.
    """

    key: str
    fps: float
    video_bitrate_bps: int
    audio_bitrate_bps: int
    average_fps: float
    average_video_bitrate_bps: int
    average_audio_bitrate_bps: int
    total_frames: int
    total_bytes: int
    keyframes: int
    keyframe_interval_seconds: float
    gop_frames: int
    gop_bytes: int
    longest_gop_frames: int
    longest_gop_bytes: int
    largest_frame: int
    padding_bytes: int
    held_frames: int
    held_bytes: int
    retention_seconds: float
    idle_seconds: float
    subscribers: int
    tracks: tuple[TrackQos, ...] = ()


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is said of a stream, with the measured values overlaid (0: unknown)."""

    key: str
    publisher_addr: str = ""
    width: int = 0
    height: int = 0
    fps: float = 0.0
    video_bitrate_bps: int = 0
    audio_bitrate_bps: int = 0
    started_at_ms: int = 0
    ingest_protocol: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublisherInfo:
    """Who publishes. ``connected`` is false for a writer known only by its lock (after a restart)."""

    pid: int
    uid: int
    name: str
    connected: bool
    since_ms: int


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream as ``info`` shows it; ``state`` is a sorted set of words.

    Words: idle, publishing, interrupted, ended, recording, transcoding.
    """

    key: str
    state: tuple[str, ...]
    region: str
    region_id: str
    region_bytes: int
    ring_bytes: int
    slots: int
    layout: str
    epoch: int
    head: int
    subscribers: int
    publisher: PublisherInfo | None
    metadata: Metadata
    qos: Qos
    activities: dict[str, int]
    created_at_ms: int
    interrupted_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class GopEntry:
    """One join point of a stream's GOP index. ``pts`` is in the time base of ``track``."""

    number: int
    key_seq: int
    join_seq: int
    track: int
    epoch: int
    pts: int
    frames: int
    bytes: int
    duration_seconds: float
    age_seconds: float
    intact: bool
    joinable: bool
    problem: str = ""  # why it can't be joined


@dataclass(frozen=True, slots=True)
class SubscriberInfo:
    """One attached subscriber; the lag is measured against the head now, also of one that is frozen."""

    key: str
    id: int
    pid: int
    uid: int
    name: str
    cursor: int
    dropped: int
    lag_frames: int
    lag_bytes: int
    lag_seconds: float
    since_ms: int
    reported_seconds_ago: float


@dataclass(frozen=True, slots=True)
class AppInfo:
    """One application: its settings and how much lives in it."""

    name: str
    streams: int
    publishers: int
    subscribers: int
    region_bytes: int
    settings: dict[str, object]


@dataclass(frozen=True, slots=True)
class Check:
    """One named health check; ``status`` is healthy, degraded or unhealthy."""

    name: str
    status: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """The worst of its checks, and the checks."""

    status: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """Which daemon answers."""

    version: str
    protocol: int
    layout: str
    instance: str
    pid: int
    socket: str
    started_at_ms: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``seq`` is dense per daemon run; ``missed`` events came before this one.

    Kinds: publish_started, publish_ended, publish_interrupted, publish_resumed, publish_replaced, joined, left,
    gap, evicted, kicked, reaped, gop_not_joinable, keyframe_requested, metadata, activity_started,
    activity_ended, refused, connected, disconnected, adopted, removed, left_alone.
    """

    seq: int
    time_ms: int
    kind: str
    key: str = ""
    facts: dict[str, object] = field(default_factory=dict)
    missed: int = 0

"""What crosses the control socket: requests, replies and events, as frozen dataclasses.

A request travels as a map ``{"id", "op", "args": {…fields}}``, its reply as ``{"id", "ok": {…fields}}``
or ``{"id", "error": {"code", "message", "facts"}}``, an event as ``{"event": {…}}``, an order as ``{"order": {…}}``.
Replies are also what `arclyd.Control` returns. Byte counts are bytes, ``*_ms`` wall
clock Unix milliseconds, ``*_seconds`` intervals; sequences are frame sequences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from arclyd.control.reports import (
    AppInfo,
    Event,
    GopEntry,
    Health,
    Metadata,
    Qos,
    StreamInfo,
    SubscriberInfo,
    Version,
)

PROTOCOL_VERSION = 1
"""Version of the control protocol; the hello of both sides names it and must match."""

# ---------------------------------------------------------------------- parts


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """A track as its publisher declares it; its id is its place in the list."""

    kind: str  # "video" | "audio" | "data"
    codec: int  # a media CodecId
    time_base: tuple[int, int]
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0


# ------------------------------------------------------------------- requests
# ``op`` names a request on the wire; ``reply`` is the type of what comes back.


@dataclass(frozen=True, slots=True)
class Ok:
    """A reply that says no more than that it was done."""


@dataclass(frozen=True, slots=True)
class HelloReply:
    """The daemon's side of the hello."""

    protocol: int
    version: str
    instance: str


@dataclass(frozen=True, slots=True)
class PublishGrant:
    """The right to write a region; two descriptors (read-write) travel with this reply.

    The first is to be locked and kept open, the second to be mapped: a mapping holds on to its open file
    description, so the lock must not be that one's.
    ``epoch`` is the one the writer will have: its region's current epoch + 1, or, where it resumes after
    the daemon restarted, the one it has (then none comes).
    """

    region_id: str
    epoch: int
    max_lag: int | None = None


@dataclass(frozen=True, slots=True)
class SubscribeGrant:
    """A subscriber's place at the table; the region's descriptor (read-only) travels with this reply.

    No descriptor comes where the subscriber resumes on the region it has mapped.
    """

    subscriber_id: int
    region_id: str
    max_lag: int | None = None


@dataclass(frozen=True, slots=True)
class StreamList:
    streams: tuple[StreamInfo, ...]


@dataclass(frozen=True, slots=True)
class GopIndex:
    key: str
    entries: tuple[GopEntry, ...]


@dataclass(frozen=True, slots=True)
class SubscriberList:
    subscribers: tuple[SubscriberInfo, ...]


@dataclass(frozen=True, slots=True)
class AppList:
    apps: tuple[AppInfo, ...]


@dataclass(frozen=True, slots=True)
class EventList:
    """Past events still kept, oldest first; ``next_seq`` is the number of the next to happen."""

    events: tuple[Event, ...]
    next_seq: int


@dataclass(frozen=True, slots=True)
class Request:
    """Base of the requests."""

    op: ClassVar[str] = ""
    reply: ClassVar[type] = Ok


@dataclass(frozen=True, slots=True)
class Hello(Request):
    op: ClassVar[str] = "hello"
    reply: ClassVar[type] = HelloReply
    protocol: int
    client: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Publish(Request):
    """Claim a key. ``resume`` is the id of a region this publisher already writes (its lock held)."""

    op: ClassVar[str] = "publish"
    reply: ClassVar[type] = PublishGrant
    key: str
    tracks: tuple[TrackSpec, ...]
    ring_bytes: int | None = None
    slots: int | None = None
    on_taken: str | None = None
    metadata: dict[str, object] = field(default_factory=dict)
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Publishing(Request):
    """The claim is complete: the lock is held and the writer runs in ``epoch``."""

    op: ClassVar[str] = "publishing"
    key: str
    region_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class EndPublish(Request):
    """The publisher of this connection is done with its stream."""

    op: ClassVar[str] = "end_publish"
    key: str


@dataclass(frozen=True, slots=True)
class SetMetadata(Request):
    """Change metadata fields; ``tags`` are merged, an empty tag is removed."""

    op: ClassVar[str] = "set_metadata"
    reply: ClassVar[type] = Metadata
    key: str
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class SetActivity(Request):
    """Start or stop one "recording" or "transcoding" on behalf of this connection."""

    op: ClassVar[str] = "set_activity"
    key: str
    activity: str
    on: bool


@dataclass(frozen=True, slots=True)
class Subscribe(Request):
    """Attach to a stream. ``resume`` is the id of the region the subscriber has mapped already."""

    op: ClassVar[str] = "subscribe"
    reply: ClassVar[type] = SubscribeGrant
    key: str
    name: str = ""
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class Report(Request):
    """Where this subscriber stands: its next sequence and the frames it has lost so far."""

    op: ClassVar[str] = "report"
    subscriber_id: int
    cursor: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Unsubscribe(Request):
    """Leave; ``reason`` is "left" or the reason of the end of stream ("evicted", …)."""

    op: ClassVar[str] = "unsubscribe"
    subscriber_id: int
    reason: str = "left"


@dataclass(frozen=True, slots=True)
class RequestKeyframe(Request):
    op: ClassVar[str] = "request_keyframe"
    key: str


@dataclass(frozen=True, slots=True)
class ListStreams(Request):
    op: ClassVar[str] = "list_streams"
    reply: ClassVar[type] = StreamList
    app: str | None = None


@dataclass(frozen=True, slots=True)
class GetInfo(Request):
    op: ClassVar[str] = "info"
    reply: ClassVar[type] = StreamInfo
    key: str


@dataclass(frozen=True, slots=True)
class GetMetadata(Request):
    op: ClassVar[str] = "metadata"
    reply: ClassVar[type] = Metadata
    key: str


@dataclass(frozen=True, slots=True)
class GetQos(Request):
    op: ClassVar[str] = "qos"
    reply: ClassVar[type] = Qos
    key: str


@dataclass(frozen=True, slots=True)
class GetGopIndex(Request):
    op: ClassVar[str] = "gop_index"
    reply: ClassVar[type] = GopIndex
    key: str


@dataclass(frozen=True, slots=True)
class ListSubscribers(Request):
    op: ClassVar[str] = "subscribers"
    reply: ClassVar[type] = SubscriberList
    key: str | None = None


@dataclass(frozen=True, slots=True)
class GetEvents(Request):
    """Events from number ``since`` on (none: only those to come); ``follow`` asks for pushes from then on."""

    op: ClassVar[str] = "events"
    reply: ClassVar[type] = EventList
    since: int | None = None
    follow: bool = False


@dataclass(frozen=True, slots=True)
class Admit(Request):
    """May the client of a gateway publish or play? ``shown``: the credentials that came over the gateway's protocol.

    ``address`` is the client's, host:port; empty for one that is a local process.
    """

    op: ClassVar[str] = "admit"
    key: str
    action: str
    address: str
    protocol: str
    shown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whether somebody asked for a stream in vain of late."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class GetWanted(Request):
    """Did somebody ask for that stream while there is none? By whoever would publish it then, again and again."""

    op: ClassVar[str] = "wanted"
    reply: ClassVar[type] = Wanted
    key: str


@dataclass(frozen=True, slots=True)
class TellConnection(Request):
    """A gateway's word on one of its connections, for the events: it came ("connected") or is gone ("disconnected").

    ``subject`` is what it publishes or plays, empty if nothing; ``reason`` why it is gone.
    """

    op: ClassVar[str] = "tell_connection"
    what: str
    address: str
    protocol: str
    subject: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Kick(Request):
    """End one subscriber of a stream; 0 is its publisher."""

    op: ClassVar[str] = "kick"
    key: str
    id: int


@dataclass(frozen=True, slots=True)
class End(Request):
    """End a stream for all, publisher included."""

    op: ClassVar[str] = "end"
    key: str


@dataclass(frozen=True, slots=True)
class ListApps(Request):
    op: ClassVar[str] = "apps"
    reply: ClassVar[type] = AppList


@dataclass(frozen=True, slots=True)
class GetHealth(Request):
    op: ClassVar[str] = "health"
    reply: ClassVar[type] = Health


@dataclass(frozen=True, slots=True)
class GetVersion(Request):
    op: ClassVar[str] = "version"
    reply: ClassVar[type] = Version


REQUESTS: dict[str, type[Request]] = {
    cls.op: cls
    for cls in (
        Hello,
        Publish,
        Publishing,
        EndPublish,
        SetMetadata,
        SetActivity,
        Subscribe,
        Report,
        Unsubscribe,
        RequestKeyframe,
        ListStreams,
        GetInfo,
        GetMetadata,
        GetQos,
        GetGopIndex,
        ListSubscribers,
        GetEvents,
        Admit,
        GetWanted,
        TellConnection,
        Kick,
        End,
        ListApps,
        GetHealth,
        GetVersion,
    )
}
"""Every request by its ``op``."""

# --------------------------------------------------------------------- orders
# Events pushed to one connection alone, because it holds a publisher or a subscriber.


@dataclass(frozen=True, slots=True)
class Order:
    """The daemon's word to one attached party: ``{"order": {…}}`` on the wire.

    ``what``: "replaced" (publisher), "end" (publisher: an operator or the reaper ended the stream),
    "kicked" (publisher, or subscriber ``subscriber_id``), "superseded" (subscriber: attach anew, a new
    region took over). ``reason`` is an end-of-stream reason.
    """

    what: str
    key: str
    subscriber_id: int = 0
    reason: str = ""

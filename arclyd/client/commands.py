"""What can be asked of the daemon, once for both faces of `Control`: the request and what of its reply is handed out.

Each function builds a `Question`; `blocking` and `awaited` turn it into a method of the same
signature and docstring.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

from arclyd.control.keys import parse_key
from arclyd.control.messages import (
    Admit,
    AppList,
    End,
    GetGopIndex,
    GetHealth,
    GetInfo,
    GetMetadata,
    GetQos,
    GetVersion,
    GetWanted,
    GopIndex,
    Kick,
    ListApps,
    ListStreams,
    ListSubscribers,
    Ok,
    Request,
    RequestKeyframe,
    SetActivity,
    SetMetadata,
    StreamList,
    SubscriberList,
    TellConnection,
    Wanted,
)
from arclyd.control.reports import AppInfo, GopEntry, Health, Metadata, Qos, StreamInfo, SubscriberInfo, Version
from arclyd.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question(Generic[R]):
    """A request and how its reply becomes the answer."""

    request: Request
    read: Callable[[object], R]


class Asks(Protocol):
    """Who can ask and wait."""

    def ask(self, question: Question[R]) -> R:
        """The answer to ``question``."""


class AsksLater(Protocol):
    """Who can ask and be awaited."""

    def ask(self, question: Question[R]) -> Awaitable[R]:
        """The answer to ``question``, to be awaited."""


def blocking(build: Callable[P, Question[R]]) -> Callable[Concatenate[Asks, P], R]:
    """``build`` as a method that returns the answer."""

    @wraps(build)
    def method(self: Asks, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.ask(build(*args, **kwargs))

    return cast("Callable[Concatenate[Asks, P], R]", method)


def awaited(build: Callable[P, Question[R]]) -> Callable[Concatenate[AsksLater, P], Awaitable[R]]:
    """``build`` as a method whose answer is awaited."""

    @wraps(build)
    def method(self: AsksLater, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
        return self.ask(build(*args, **kwargs))

    return cast("Callable[Concatenate[AsksLater, P], Awaitable[R]]", method)


def list_streams(app: str | None = None) -> Question[tuple[StreamInfo, ...]]:
    """Every stream, or those of one application."""
    return Question(ListStreams(app), lambda reply: _as(StreamList, reply).streams)


def info(key: str) -> Question[StreamInfo]:
    """What there is to say of one stream. Raises `StreamNotFound`."""
    return _whole(GetInfo(_valid(key)), StreamInfo)


def metadata(key: str) -> Question[Metadata]:
    """The stream's metadata, with measured values overlaid. Raises `StreamNotFound`."""
    return _whole(GetMetadata(_valid(key)), Metadata)


def update_metadata(key: str, **fields: object) -> Question[Metadata]:
    """Change metadata fields (those of `Metadata`; ``tags`` are merged, an empty one is removed); returns all."""
    return _whole(SetMetadata(_valid(key), fields), Metadata)


def set_activity(key: str, activity: str, on: bool) -> Question[None]:  # noqa: FBT001 - the public signature
    """Start or stop one "recording" or "transcoding" of this connection; it stops with the connection."""
    return _done(SetActivity(_valid(key), activity, on))


def qos(key: str) -> Question[Qos]:
    """Live figures of one stream, over a sliding second. Raises `StreamNotFound`."""
    return _whole(GetQos(_valid(key)), Qos)


def gop_index(key: str) -> Question[tuple[GopEntry, ...]]:
    """The stream's join points, oldest first. Raises `StreamNotFound`."""
    return Question(GetGopIndex(_valid(key)), lambda reply: _as(GopIndex, reply).entries)


def subscribers(key: str | None = None) -> Question[tuple[SubscriberInfo, ...]]:
    """Who reads that stream, or any."""
    wanted = None if key is None else _valid(key)
    return Question(ListSubscribers(wanted), lambda reply: _as(SubscriberList, reply).subscribers)


def request_keyframe(key: str) -> Question[None]:
    """Ask the stream's publisher for a keyframe. Raises `StreamNotFound`."""
    return _done(RequestKeyframe(_valid(key)))


def admit(key: str, action: str, *, address: str, protocol: str, shown: Mapping[str, str]) -> Question[None]:
    """Ask for a gateway's client whether it may "publish" or "play" a stream, by what it has shown.

    ``address``: its host:port. ``shown``: what its protocol carried, of ``user`` and ``pass``, ``secret``, ``token``,
    or ``digest``, an answer to a challenge of the gateway's (RFC 7616, the parameters), and the ``method`` it is for.
    Raises `Unauthorized` (the audit log says why), `AlreadyPublishing`, `StreamNotFound`.
    """
    return _done(Admit(_valid(key), action, address, protocol, dict(shown)))


def wanted(key: str) -> Question[bool]:
    """Offer to publish a stream. True: somebody asked for it in the last 5 s, and it was not there.

    To be asked again at least every 10 s: only what is offered is kept an eye on.
    """
    return Question(GetWanted(_valid(key)), lambda reply: _as(Wanted, reply).wanted)


def tell_connection(what: str, *, address: str, protocol: str, subject: str = "", reason: str = "") -> Question[None]:
    """Tell of a gateway's connection, for the events: "connected", or "disconnected" and why."""
    return _done(TellConnection(what, address, protocol, subject, reason))


def kick(key: str, id: int) -> Question[None]:
    """End one subscriber of a stream by its id; 0 is its publisher. Raises `SubscriberNotFound`."""
    return _done(Kick(_valid(key), id))


def end(key: str) -> Question[None]:
    """End a stream for all, its publisher included. Raises `StreamNotFound`."""
    return _done(End(_valid(key)))


def health() -> Question[Health]:
    """The daemon's health, check by check."""
    return _whole(GetHealth(), Health)


def version() -> Question[Version]:
    """Which daemon answers."""
    return _whole(GetVersion(), Version)


def apps() -> Question[tuple[AppInfo, ...]]:
    """Every application: its settings and how much lives in it."""
    return Question(ListApps(), lambda reply: _as(AppList, reply).apps)


def _valid(key: str) -> str:
    parse_key(key)
    return key


def _as(cls: type[T], reply: object) -> T:
    if not isinstance(reply, cls):
        raise ProtocolError(f"a reply that is no {cls.__name__}")
    return reply


def _whole(request: Request, cls: type[T]) -> Question[T]:
    return Question(request, lambda reply: _as(cls, reply))


def _done(request: Request) -> Question[None]:
    def read(reply: object) -> None:
        _as(Ok, reply)

    return Question(request, read)

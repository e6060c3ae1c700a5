"""What is done with each request: one line of a table per request, one short method per line.

Authorization happens here and nowhere else, before anything is looked up. A method returns the
reply, raises the refusal, or returns None where the answer comes later (`Dispatcher.settled`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from arclyd.control import messages as m
from arclyd.control.keys import parse_key
from arclyd.daemon import access, gop_index, health, views
from arclyd.daemon.attachments import Attachments
from arclyd.daemon.claims import Claims
from arclyd.daemon.demand import Demand
from arclyd.daemon.stream import Granted, Now, Party, Phase
from arclyd.errors import AlreadyPublishing, ArclydError, RequestRefused, StreamNotFound, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.control.reports import Version
    from arclyd.daemon.auth import Authorizer
    from arclyd.daemon.events import Follower
    from arclyd.daemon.regions import Handle
    from arclyd.daemon.streams import Streams


@dataclass(frozen=True, slots=True)
class Result:
    """A reply, with the region whose descriptor goes with it."""

    value: object
    handle: Handle | None = None
    writable: bool = False


class Caller(Protocol):
    """The connection a request came over."""

    @property
    def party(self) -> Party:
        """Who asks."""

    follower: Follower | None
    """Its queue of events, once it follows them."""

    offered: tuple[int, ...]
    """Descriptors that came with the request that is being handled; they are closed after it."""


Method = Callable[["Dispatcher", Caller, int, Any, Now], Result | None]


class Dispatcher:
    """Answers requests over a registry of streams."""

    def __init__(
        self,
        streams: Streams,
        authorizer: Authorizer,
        *,
        version: Callable[[], Version],
        vitals: Callable[[], health.Vitals],
    ) -> None:
        self.streams = streams
        self.claims = Claims(streams)
        self.attachments = Attachments(streams)
        self._demand = Demand()
        self._authorizer = authorizer
        self._version = version
        self._vitals = vitals

    def handle(self, caller: Caller, token: int, request: m.Request, now: Now) -> Result | None:
        """Answer a request; ``token`` comes back from `settled` where that takes time. Raises `ArclydError`."""
        action, method = _TABLE[type(request)]
        key = getattr(request, "key", None)
        subject = key if isinstance(key, str) else "this daemon"
        try:
            if isinstance(key, str):
                parse_key(key)
            self._authorizer.authorize(caller.party.peer, action, subject)
            return method(self, caller, token, request, now)
        except ArclydError as error:
            if action in ("publish", "steer") or error.code == "unauthorized":
                self._note_refusal(caller.party, request, subject, error, now)
            if isinstance(error, StreamNotFound) and isinstance(request, m.Subscribe | m.Admit):
                self._demand.ask(request.key, now.ns)
            if isinstance(request, m.Admit) and isinstance(error, Unauthorized):
                raise Unauthorized(error.action, error.subject) from None  # why is for the log alone
            raise

    def settled(self, now: Now) -> Iterator[tuple[int, int, Result | ArclydError]]:
        """(connection, token, answer) of claims that waited and are decided now."""
        for claim, answer in self.claims.settle(now):
            result = answer if isinstance(answer, ArclydError) else _granted(answer)
            yield claim.party.conn, claim.token, result

    def disconnect(self, caller: Caller, now: Now) -> None:
        """The connection is gone, and with it all that lived by it."""
        if caller.follower:
            self.streams.events.unfollow(caller.follower)
        self.attachments.disconnect(caller.party.conn, now)
        self.claims.disconnect(caller.party.conn)
        self.streams.disconnect(caller.party.conn, now)

    def _note_refusal(self, party: Party, request: m.Request, subject: str, error: ArclydError, now: Now) -> None:
        facts: dict[str, object] = {"request": request.op, "code": error.code}
        facts |= {"pid": party.peer.pid, "uid": party.peer.uid}
        if isinstance(request, m.Admit):
            facts |= {"action": request.action[:16], "address": request.address[:64], "protocol": request.protocol[:16]}
            facts["reason"] = getattr(error, "problem", "")
        self.streams.events.append(now.ms, "refused", subject[:200], **facts)

    # -------------------------------------------------------------- publish

    def _publish(self, caller: Caller, token: int, request: m.Publish, now: Now) -> Result | None:
        granted = self.claims.publish(caller.party, token, request, now, caller.offered)
        return _granted(granted) if granted else None

    def _publishing(self, caller: Caller, _token: int, request: m.Publishing, now: Now) -> Result:
        self.claims.confirm(caller.party, request.key, request.region_id, request.epoch, now)
        return Result(m.Ok())

    def _end_publish(self, caller: Caller, _token: int, request: m.EndPublish, now: Now) -> Result:
        self.claims.end(caller.party, request.key, now)
        return Result(m.Ok())

    # ----------------------------------------------------------------- play

    def _subscribe(self, caller: Caller, _token: int, request: m.Subscribe, now: Now) -> Result:
        grant, handle = self.attachments.subscribe(caller.party, request, now)
        return Result(grant, handle)

    def _report(self, caller: Caller, _token: int, request: m.Report, now: Now) -> Result:
        self.attachments.report(caller.party, request, now)
        return Result(m.Ok())

    def _unsubscribe(self, caller: Caller, _token: int, request: m.Unsubscribe, now: Now) -> Result:
        self.attachments.unsubscribe(caller.party, request.subscriber_id, request.reason, now)
        return Result(m.Ok())

    def _request_keyframe(self, caller: Caller, _token: int, request: m.RequestKeyframe, now: Now) -> Result:
        self.attachments.request_keyframe(request.key, caller.party, now)
        return Result(m.Ok())

    # ------------------------------------------------------------- gateways

    def _admit(self, _caller: Caller, _token: int, request: m.Admit, now: Now) -> Result:
        if request.action not in access.ACTIONS:
            raise RequestRefused(f"an action is one of {', '.join(access.ACTIONS)}, not {request.action[:64]!r}")
        app_name, _ = parse_key(request.key)
        app = self.streams.config.app(app_name)
        rule = (app.publish if request.action == "publish" else app.play) or access.Access()
        problem = rule.problem(request.key, request.address, request.shown, now.ms / 1000)
        if problem:
            raise Unauthorized(request.action, request.key, problem)
        if request.action == "play":
            self.streams.get(request.key)
        elif (stream := self.streams.find(request.key)) is not None and app.on_taken == "reject":
            self.streams.look(stream, now)
            if self.streams.find(request.key) is stream and stream.phase is not Phase.INTERRUPTED:
                raise AlreadyPublishing(request.key, stream.publisher_pid)
        return Result(m.Ok())

    def _wanted(self, _caller: Caller, _token: int, request: m.GetWanted, now: Now) -> Result:
        return Result(m.Wanted(self._demand.offer(request.key, now.ns)))

    def _tell_connection(self, caller: Caller, _token: int, request: m.TellConnection, now: Now) -> Result:
        if request.what not in ("connected", "disconnected"):
            raise RequestRefused(f"a connection is connected or disconnected, not {request.what[:64]!r}")
        facts = {"address": request.address[:64], "protocol": request.protocol[:16], "pid": caller.party.peer.pid}
        if request.what == "disconnected":
            facts["reason"] = request.reason[:200]
        self.streams.events.append(now.ms, request.what, request.subject[:200], **facts)
        return Result(m.Ok())

    # ----------------------------------------------------------------- look

    def _list(self, _caller: Caller, _token: int, request: m.ListStreams, now: Now) -> Result:
        return Result(m.StreamList(tuple(views.stream_infos(self.streams, request.app, now))))

    def _info(self, _caller: Caller, _token: int, request: m.GetInfo, now: Now) -> Result:
        return Result(views.stream_info(self.streams, self.streams.get(request.key), now))

    def _metadata(self, _caller: Caller, _token: int, request: m.GetMetadata, now: Now) -> Result:
        return Result(views.stream_metadata(self.streams, self.streams.get(request.key), now))

    def _qos(self, _caller: Caller, _token: int, request: m.GetQos, now: Now) -> Result:
        return Result(views.qos(self.streams, self.streams.get(request.key), now))

    def _gop_index(self, _caller: Caller, _token: int, request: m.GetGopIndex, now: Now) -> Result:
        handle = self.streams.get(request.key).handle
        return Result(m.GopIndex(request.key, gop_index.entries(handle.gops(), handle.gop_limits, now.ns)))

    def _subscribers(self, _caller: Caller, _token: int, request: m.ListSubscribers, now: Now) -> Result:
        return Result(m.SubscriberList(tuple(views.subscriber_infos(self.streams, request.key, now))))

    def _events(self, caller: Caller, _token: int, request: m.GetEvents, _now: Now) -> Result:
        events = self.streams.events
        if request.since is not None and request.since < 0:
            raise RequestRefused("since is an event's number")
        if request.follow and caller.follower is None:
            caller.follower = events.follow()
        return Result(m.EventList(events.since(request.since), events.next_seq))

    def _apps(self, _caller: Caller, _token: int, _request: m.ListApps, _now: Now) -> Result:
        return Result(m.AppList(tuple(views.app_infos(self.streams))))

    def _health(self, _caller: Caller, _token: int, _request: m.GetHealth, _now: Now) -> Result:
        return Result(health.check(self.streams, self._vitals()))

    def _get_version(self, _caller: Caller, _token: int, _request: m.GetVersion, _now: Now) -> Result:
        return Result(self._version())

    # ---------------------------------------------------------------- steer

    def _set_metadata(self, _caller: Caller, _token: int, request: m.SetMetadata, now: Now) -> Result:
        self.streams.set_metadata(request.key, request.fields, now)
        return Result(views.stream_metadata(self.streams, self.streams.get(request.key), now))

    def _set_activity(self, caller: Caller, _token: int, request: m.SetActivity, now: Now) -> Result:
        self.streams.set_activity(request.key, request.activity, caller.party, now, on=request.on)
        return Result(m.Ok())

    def _kick(self, caller: Caller, _token: int, request: m.Kick, now: Now) -> Result:
        self.streams.kick(request.key, request.id, caller.party, now)
        return Result(m.Ok())

    def _end(self, caller: Caller, _token: int, request: m.End, now: Now) -> Result:
        self.streams.end(request.key, caller.party, now)
        return Result(m.Ok())

    _PUBLISH: Final = (
        (m.Publish, _publish),
        (m.Publishing, _publishing),
        (m.EndPublish, _end_publish),
        (m.Admit, _admit),
        (m.GetWanted, _wanted),
        (m.TellConnection, _tell_connection),
    )
    _PLAY: Final = (
        (m.Subscribe, _subscribe),
        (m.Report, _report),
        (m.Unsubscribe, _unsubscribe),
        (m.RequestKeyframe, _request_keyframe),
    )
    _LOOK: Final = (
        (m.ListStreams, _list),
        (m.GetInfo, _info),
        (m.GetMetadata, _metadata),
        (m.GetQos, _qos),
        (m.GetGopIndex, _gop_index),
        (m.ListSubscribers, _subscribers),
        (m.GetEvents, _events),
        (m.ListApps, _apps),
        (m.GetHealth, _health),
        (m.GetVersion, _get_version),
    )
    _STEER: Final = (
        (m.SetMetadata, _set_metadata),
        (m.SetActivity, _set_activity),
        (m.Kick, _kick),
        (m.End, _end),
    )


def _granted(granted: Granted) -> Result:
    return Result(granted.grant, granted.handle, writable=True)


_TABLE: Final[dict[type[m.Request], tuple[str, Method]]] = {
    request: (action, method)
    for action, lines in (
        ("publish", Dispatcher._PUBLISH),
        ("play", Dispatcher._PLAY),
        ("look", Dispatcher._LOOK),
        ("steer", Dispatcher._STEER),
    )
    for request, method in lines
}
"""Each request: the action it is authorized as, and what answers it."""

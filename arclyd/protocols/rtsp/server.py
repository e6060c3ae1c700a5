"""The server's side of a session: what a client asks for, and the answers it knows (RFC 2326, 10 and A)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError
from arclyd.protocols.rtsp.address import medium_of, resolve
from arclyd.protocols.rtsp.messages import Interleaved, MessageReader, Request, Response
from arclyd.protocols.rtsp.transport import Transport
from arclyd.protocols.sdp.description import SessionDescription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from arclyd.protocols.rtsp.messages import Fields

TIMEOUT_SECONDS: Final = 60
"""A session of which nothing is heard for that long is over (12.37)."""

SDP: Final = "application/sdp"


class State(Enum):
    """Where a session stands (A.2); a server of publishers has an announcement before it is ready."""

    INIT = "nothing set up"
    READY = "set up"
    PLAYING = "playing"
    RECORDING = "recording"


@dataclass(frozen=True, slots=True)
class Announce:
    """A client wants to publish what it describes: `ServerSession.accept_announce`, or `refuse`."""

    request: Request
    description: SessionDescription


@dataclass(frozen=True, slots=True)
class Describe:
    """A client wants to know what a stream is made of: `ServerSession.accept_describe`, or `refuse`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Setup:
    """A client wants a medium to travel in one of these ways: `ServerSession.accept_setup`, or `refuse`.

    ``medium``: which of those announced or described; None where none was, and the URL has to tell.
    """

    request: Request
    medium: int | None
    transports: tuple[Transport, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A client is about to send: `ServerSession.accept_record`, or `refuse`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Play:
    """A client wants it to begin, or to go on: `ServerSession.accept_play`, or `refuse`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Pause:
    """A client wants nothing for a while: it was granted."""


@dataclass(frozen=True, slots=True)
class Teardown:
    """A client is done: it was granted."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A client hides RTSP in HTTP: this is its request, and no RTSP comes in this connection."""

    request: Request


class ServerSession:
    """`receive` bytes and look at the events; send what `data_to_send` gives.

    Events are those above, and an `Interleaved` for each packet among the messages.
    """

    def __init__(self) -> None:
        self._reader = MessageReader()
        self._out: list[bytes] = []
        self.id = ""
        """The session's identifier, once something was set up."""
        self.state = State.INIT
        self._base = ""
        self._controls: tuple[str, ...] = ()
        self._announced = False
        self._taken: list[int] = []

    @property
    def held(self) -> int:
        """Bytes kept of a message that is not complete."""
        return self._reader.held

    @property
    def recording(self) -> bool:
        """The client sends a stream of its own."""
        return self.state is State.RECORDING

    def rest(self) -> bytes:
        """What came behind the request of a `Tunnel`."""
        return self._reader.rest()

    def receive(self, data: bytes) -> Iterator[object]:
        """Events out of ``data``; to be iterated to the end before more is received. Raises `WireError`."""
        for message in self._reader.receive(data):
            if isinstance(message, Interleaved):
                yield message
            elif isinstance(message, Request):
                yield from self._request(message)

    def data_to_send(self) -> bytes:
        """What is to be sent; it is handed out once."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    def send_packet(self, channel: int, payload: bytes) -> None:
        """Queue a packet among the messages."""
        self._out.append(Interleaved(channel, payload).serialize())

    # --------------------------------------------------------------- answers

    def accept_announce(self, announce: Announce) -> None:
        """What is described is wanted."""
        self._announced = True
        self._know(announce.request.url, [medium.attribute("control") or "" for medium in announce.description.media])
        self._answer(announce.request, 200)

    def accept_describe(self, describe: Describe, description: SessionDescription) -> None:
        """That is what it is made of; the controls of its media are relative."""
        base = describe.request.url
        base = base if base.endswith("/") else f"{base}/"
        self._know(base, [medium.attribute("control") or "" for medium in description.media])
        fields = (("Content-Type", SDP), ("Content-Base", base))
        self._answer(describe.request, 200, fields, description.serialize())

    def offer(self, setup: Setup, description: SessionDescription) -> int | None:
        """That is what there is for a client that did not ask; the medium it means."""
        controls = [medium.attribute("control") or "" for medium in description.media]
        self._know(setup.request.url, controls)
        return medium_of(setup.request.url, setup.request.url, controls, self._taken)

    def accept_setup(self, setup: Setup, medium: int, transport: Transport) -> None:
        """The medium travels so."""
        if not self.id:
            self.id = os.urandom(8).hex()
        if medium not in self._taken:
            self._taken.append(medium)
        if self.state is State.INIT:
            self.state = State.READY
        self._answer(setup.request, 200, (("Transport", transport.serialize()),))

    def accept_record(self, record: Record) -> None:
        """It may send."""
        self.state = State.RECORDING
        self._answer(record.request, 200)

    def accept_play(self, play: Play, info: Sequence[tuple[int, int, int]]) -> None:
        """It comes; ``info``: medium, sequence number and timestamp of the first packet of each (12.33)."""
        self.state = State.PLAYING
        told = ",".join(
            f"url={resolve(self._base or play.request.url, self._control(medium))};seq={sequence};rtptime={timestamp}"
            for medium, sequence, timestamp in info
        )
        fields = [("Range", "npt=now-")]
        if told:
            fields.append(("RTP-Info", told))
        self._answer(play.request, 200, tuple(fields))

    def refuse(self, request: Request, status: int, fields: Fields = ()) -> None:
        """What was asked for is not done."""
        self._answer(request, status, fields)

    def _control(self, medium: int) -> str:
        return self._controls[medium] if medium < len(self._controls) else f"trackID={medium}"

    def _know(self, base: str, controls: list[str]) -> None:
        self._base, self._controls = base, tuple(controls)

    def _answer(self, request: Request, status: int, fields: Fields = (), body: bytes = b"") -> None:
        head: list[tuple[str, str]] = []
        if sequence := request.get("CSeq"):
            head.append(("CSeq", sequence[:32]))
        if self.id:
            head.append(("Session", f"{self.id};timeout={TIMEOUT_SECONDS}"))
        self._out.append(Response(status, (*head, *fields), body).serialize())

    # -------------------------------------------------------------- requests

    def _request(self, request: Request) -> Iterator[object]:
        if request.version.startswith("HTTP/") and request.method in ("GET", "POST"):
            yield Tunnel(request)
            return
        if not request.version.upper().startswith("RTSP/1."):
            self._answer(request, 505)
            return
        if required := request.get("Require"):
            self._answer(request, 551, (("Unsupported", required[:200]),))
            return
        found = _METHODS.get(request.method)
        if found is None:
            self._answer(request, 501, (("Public", _PUBLIC),))
            return
        states, method = found
        session = request.get("Session").partition(";")[0].strip()
        if session and session != self.id:
            self._answer(request, 454)
        elif self.state not in states:
            self._answer(request, 455, (("Allow", _allowed(self.state)),))
        else:
            yield from method(self, request)

    def _alive(self, request: Request) -> Iterator[object]:
        """OPTIONS, GET_PARAMETER and SET_PARAMETER: to show that one is still there (10.8)."""
        self._answer(request, 200, (("Public", _PUBLIC),) if request.method == "OPTIONS" else ())
        yield from ()

    def _announce(self, request: Request) -> Iterator[object]:
        if request.get("Content-Type", SDP).partition(";")[0].strip().lower() != SDP:
            self._answer(request, 415)
            return
        try:
            description = SessionDescription.parse(request.body)
        except WireError:
            self._answer(request, 400)
            raise
        yield Announce(request, description)

    def _describe(self, request: Request) -> Iterator[object]:
        yield Describe(request)

    def _setup(self, request: Request) -> Iterator[object]:
        transports = tuple(Transport.parse_all(request.get("Transport")))
        if not transports:
            self._answer(request, 461)
            return
        medium = None
        if self._controls:
            medium = medium_of(request.url, self._base, self._controls, self._taken)
            if medium is None:
                self._answer(request, 404)
                return
        yield Setup(request, medium, transports)

    def _record(self, request: Request) -> Iterator[object]:
        if self._announced:
            yield Record(request)
        else:
            self._answer(request, 455)

    def _play(self, request: Request) -> Iterator[object]:
        if self._announced:
            self._answer(request, 455)
        elif self.state is State.PLAYING:  # some keep a session alive so
            self._answer(request, 200)
        else:
            yield Play(request)

    def _pause(self, request: Request) -> Iterator[object]:
        was, self.state = self.state, State.READY
        self._answer(request, 200)
        if was is not State.READY:
            yield Pause()

    def _teardown(self, request: Request) -> Iterator[object]:
        self._answer(request, 200)
        self.state = State.INIT
        yield Teardown()


_ALWAYS: Final = frozenset(State)
_METHODS: Final[Mapping[str, tuple[frozenset[State], Callable[[ServerSession, Request], Iterator[object]]]]] = (
    MappingProxyType(
        {
            "OPTIONS": (_ALWAYS, ServerSession._alive),
            "GET_PARAMETER": (_ALWAYS, ServerSession._alive),
            "SET_PARAMETER": (_ALWAYS, ServerSession._alive),
            "ANNOUNCE": (frozenset((State.INIT,)), ServerSession._announce),
            "DESCRIBE": (frozenset((State.INIT, State.READY, State.PLAYING)), ServerSession._describe),
            "SETUP": (frozenset((State.INIT, State.READY)), ServerSession._setup),
            "RECORD": (frozenset((State.READY,)), ServerSession._record),
            "PLAY": (frozenset((State.READY, State.PLAYING)), ServerSession._play),
            "PAUSE": (frozenset((State.READY, State.PLAYING, State.RECORDING)), ServerSession._pause),
            "TEARDOWN": (_ALWAYS, ServerSession._teardown),
        }
    )
)
"""Each method a client has: in which states, and what answers it."""

_PUBLIC: Final = ", ".join(_METHODS)


def _allowed(state: State) -> str:
    return ", ".join(method for method, (states, _) in _METHODS.items() if state in states)

"""The client's side of a connection: publishing to a server elsewhere, or playing from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError
from arclyd.protocols.rtmp import enhanced, messages
from arclyd.protocols.rtmp.handshake import ClientHandshake
from arclyd.protocols.rtmp.messages import Command, Type
from arclyd.protocols.rtmp.session import CHUNK_SIZE, WINDOW, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arclyd.protocols.rtmp.address import Address
    from arclyd.protocols.rtmp.amf3 import Value
    from arclyd.protocols.rtmp.chunks import MessageLimits

_CONNECT, _CREATE = 1.0, 4.0


@dataclass(frozen=True, slots=True)
class Started:
    """The server took what is published, or plays what was asked for; on that message stream."""

    stream: int
    fourccs: frozenset[str]


@dataclass(frozen=True, slots=True)
class Over:
    """The server ended it, in its own words."""

    code: str
    description: str


class ClientSession(Session):
    """Connects by itself; besides those of `Session`, its events are `Started` and `Over`.

    Args:
        address: the stream.
        publishing: it is to be published; else played.
        limits: of what comes.
    """

    def __init__(self, address: Address, *, publishing: bool, limits: MessageLimits | None = None) -> None:
        handshake = ClientHandshake()
        super().__init__(handshake, limits)
        self._address = address
        self._publishing = publishing
        self._fourccs: frozenset[str] = frozenset()
        self._stream = 0
        self._out.append(handshake.hello)

    def begin(self) -> None:
        """Set the size of chunks and ask for the application."""
        self._set_chunk_size(CHUNK_SIZE)
        said: dict[str, Value] = {
            "app": self._address.app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; arclyd)" if self._publishing else "LNX 9,0,124,2",
            "tcUrl": self._address.url,
        }
        if not self._publishing:
            said.update({"fpad": False, "capabilities": 15.0, "audioCodecs": 4071.0, "videoCodecs": 252.0})
        self._say(Command("connect", _CONNECT, ({**said, **enhanced.offer()},)))

    def finish(self) -> None:
        """Say that it is over."""
        if not self._stream:
            return
        if self._publishing:
            self._say(Command("FCUnpublish", 6.0, (None, self._address.name)))
        self._say(Command("deleteStream", 7.0, (None, float(self._stream))))

    def command(self, command: Command) -> Iterator[object]:
        """Go the next step, or say that there is none. Raises `WireError` where the server refuses."""
        method = _COMMANDS.get(command.name)
        if method is not None:
            yield from method(self, command)

    def _result(self, command: Command) -> Iterator[object]:
        if command.transaction == _CONNECT:
            self._fourccs = enhanced.understood(command.object(0)) | enhanced.understood(command.object(1))
            self._control(messages.number(Type.WINDOW_SIZE, WINDOW))
            if self._publishing:
                self._say(Command("releaseStream", 2.0, (None, self._address.name)))
                self._say(Command("FCPublish", 3.0, (None, self._address.name)))
            self._say(Command("createStream", _CREATE, (None,)))
        elif command.transaction == _CREATE:
            self._stream = int(command.number(1) or 0)
            if not 0 < self._stream < 1 << 32:
                raise WireError("RTMP", f"{self._address} gives message stream {self._stream}")
            if self._publishing:
                self._say(Command("publish", 5.0, (None, self._address.name, "live"), self._stream))
            else:
                self._say(Command("play", 5.0, (None, self._address.name, -2000.0), self._stream))
        yield from ()

    def _error(self, command: Command) -> Iterator[object]:
        if command.transaction in (_CONNECT, _CREATE):
            raise WireError("RTMP", f"{self._address} refused: {_sentence(command.object(1))}")
        yield from ()

    def _status(self, command: Command) -> Iterator[object]:
        told = command.object(1)
        code = str(told.get("code", ""))
        if told.get("level") == "error":
            raise WireError("RTMP", f"{self._address} refused: {_sentence(told)}")
        if code in ("NetStream.Publish.Start", "NetStream.Play.Start"):
            yield Started(self._stream, self._fourccs)
        elif code in _ENDS:
            yield Over(code, str(told.get("description", "")))

    def _closed(self, _command: Command) -> Iterator[object]:
        yield Over("close", "")


def _sentence(told: object) -> str:
    if not isinstance(told, dict):
        return "it did not say why"
    return " ".join(str(told[field])[:200] for field in ("code", "description") if told.get(field))


_ENDS: Final = frozenset(("NetStream.Play.UnpublishNotify", "NetStream.Play.Stop", "NetStream.Unpublish.Success"))
_COMMANDS: Final[dict[str, Callable[[ClientSession, Command], Iterator[object]]]] = {
    "_result": ClientSession._result,
    "_error": ClientSession._error,
    "onStatus": ClientSession._status,
    "close": ClientSession._closed,
}

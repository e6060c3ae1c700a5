"""The server's side of a connection: what an encoder or a player asks for, and the answers it knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError
from arclyd.protocols.rtmp import enhanced, messages
from arclyd.protocols.rtmp.chunks import MessageLimits
from arclyd.protocols.rtmp.handshake import ServerHandshake
from arclyd.protocols.rtmp.messages import Command, Control, Data, Type
from arclyd.protocols.rtmp.session import CHUNK_SIZE, WINDOW, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from arclyd.protocols.rtmp.amf3 import Value

MAX_MESSAGE_STREAMS: Final = 8
"""Of one connection. One is what everybody uses."""

_SERVER: Final = "FMS/3,0,1,123"
"""What nearly every server calls itself: some encoders look for the digits."""


@dataclass(frozen=True, slots=True)
class Connect:
    """``connect`` (7.2.1.1): to be answered by `accept_connect`."""

    app: str
    url: str
    encoder: str
    fourccs: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Publish:
    """``publish`` (7.2.2.6): to be answered by `accept_publish` or `refuse`."""

    stream: int
    name: str


@dataclass(frozen=True, slots=True)
class Play:
    """``play`` (7.2.2.1): to be answered by `accept_play` or `refuse`."""

    stream: int
    name: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The other side is done with what it published or played, and said so."""

    stream: int


class ServerSession(Session):
    """Besides those of `Session`, its events are `Connect`, `Publish`, `Play` and `Closed`.

    ``limits``: of who publishes. Nobody else has anything large to say, and is held to the one of other messages.
    """

    def __init__(self, limits: MessageLimits | None = None) -> None:
        self._limits = limits or MessageLimits()
        other = self._limits.other
        super().__init__(ServerHandshake(), MessageLimits(other, other, other))
        self._connecting: float | None = None
        self._encoding: float = 0.0
        self.connected = False
        """``connect`` was accepted."""
        self._streams: set[int] = set()

    # --------------------------------------------------------------- answers

    def accept_connect(self) -> None:
        """The application may be used."""
        self.connected = True
        self._control(messages.number(Type.WINDOW_SIZE, WINDOW))
        self._control(messages.peer_bandwidth(WINDOW))
        self._set_chunk_size(CHUNK_SIZE)
        properties = {"fmsVer": _SERVER, "capabilities": 31.0, **enhanced.offer()}
        told = _status("status", "NetConnection.Connect.Success", "Connection succeeded.")
        self._say(Command("_result", self._transaction(), (properties, {**told, "objectEncoding": self._encoding})))

    def accept_publish(self, publish: Publish) -> None:
        """What is published is wanted."""
        self._control(messages.user_control(Control.STREAM_BEGIN, publish.stream))
        self.tell(publish.stream, "NetStream.Publish.Start", f"{publish.name.partition('?')[0]} is now published.")

    def accept_play(self, play: Play) -> None:
        """What is asked for comes."""
        self._control(messages.user_control(Control.STREAM_BEGIN, play.stream))
        self.tell(play.stream, "NetStream.Play.Reset", "Playing and resetting.")
        self.tell(play.stream, "NetStream.Play.Start", "Started playing.")
        self.send_data(play.stream, Data("|RtmpSampleAccess", (True, True)))

    def end_play(self, stream: int) -> None:
        """No more will come: the stream is over."""
        self._control(messages.user_control(Control.STREAM_EOF, stream))
        self.tell(stream, "NetStream.Play.UnpublishNotify", "The stream is over.")
        self.tell(stream, "NetStream.Play.Stop", "The stream is over.")

    def refuse(self, stream: int, code: str, description: str) -> None:
        """What was asked for is not done; ``code``: as ``NetStream.Publish.BadName``."""
        self.tell(stream, code, description, "error")

    def tell(self, stream: int, code: str, description: str, level: str = "status") -> None:
        """An ``onStatus`` (7.2.2)."""
        self._say(Command("onStatus", 0.0, (None, _status(level, code, description)), stream))

    # -------------------------------------------------------------- commands

    def command(self, command: Command) -> Iterator[object]:
        """Answer a command, and make events of it. Raises `WireError` for those that come too early."""
        method = _COMMANDS.get(command.name)
        if method is None:
            self._unknown(command)
            return
        if method is not ServerSession._connect and not self.connected:
            raise WireError("RTMP", f"{command.name[:40]!r} before connect was accepted")
        yield from method(self, command)

    def _connect(self, command: Command) -> Iterator[object]:
        if self.connected or self._connecting is not None:
            raise WireError("RTMP", "connect a second time")
        self._connecting = command.transaction
        said = command.object()
        encoding = said.get("objectEncoding")
        self._encoding = encoding if isinstance(encoding, float) else 0.0
        words = {
            name: value if isinstance(value := said.get(name), str) else "" for name in ("app", "tcUrl", "flashVer")
        }
        yield Connect(words["app"], words["tcUrl"], words["flashVer"], enhanced.understood(said))

    def _create_stream(self, command: Command) -> Iterator[object]:
        if len(self._streams) >= MAX_MESSAGE_STREAMS:
            raise WireError("RTMP", f"more than {MAX_MESSAGE_STREAMS} message streams")
        number = next(number for number in range(1, MAX_MESSAGE_STREAMS + 1) if number not in self._streams)
        self._streams.add(number)
        self._say(Command("_result", command.transaction, (None, float(number))))
        yield from ()

    def _publish(self, command: Command) -> Iterator[object]:
        self._reader.limits = self._limits
        yield Publish(self._own(command), command.text(1))

    def _play(self, command: Command) -> Iterator[object]:
        yield Play(self._own(command), command.text(1))

    def _own(self, command: Command) -> int:
        if command.stream not in self._streams:
            raise WireError("RTMP", f"{command.name} on message stream {command.stream}, which was not created")
        return command.stream

    def _close_stream(self, command: Command) -> Iterator[object]:
        yield Closed(command.stream)

    def _delete_stream(self, command: Command) -> Iterator[object]:
        number = int(command.number(1) or command.stream)
        self._streams.discard(number)
        yield Closed(number)

    def _fc_unpublish(self, command: Command) -> Iterator[object]:
        # Encoders that send it have one stream, and send deleteStream after it.
        self._say(Command("onFCUnpublish", 0.0, (None, _status("status", "NetStream.Unpublish.Success", ""))))
        yield from self._done(command)

    def _fc_publish(self, command: Command) -> Iterator[object]:
        told = _status("status", "NetStream.Publish.Start", command.text(1).partition("?")[0])
        self._say(Command("onFCPublish", 0.0, (None, told)))
        yield from self._done(command)

    def _done(self, command: Command) -> Iterator[object]:
        if command.transaction:
            self._say(Command("_result", command.transaction, (None, None)))
        yield from ()

    def _stream_length(self, command: Command) -> Iterator[object]:
        self._say(Command("_result", command.transaction, (None, 0.0)))  # it is live
        yield from ()

    def _ignored(self, _command: Command) -> Iterator[object]:
        yield from ()

    def _unknown(self, command: Command) -> None:
        if command.transaction and command.name not in ("_result", "_error"):
            told = _status("error", "NetConnection.Call.Failed", f"{command.name[:40]} is not known here.")
            self._say(Command("_error", command.transaction, (None, told)))

    def _transaction(self) -> float:
        return 1.0 if self._connecting is None else self._connecting


def _status(level: str, code: str, description: str) -> dict[str, Value]:
    return {"level": level, "code": code, "description": description}


_COMMANDS: Final[dict[str, Callable[[ServerSession, Command], Iterator[object]]]] = {
    "connect": ServerSession._connect,
    "createStream": ServerSession._create_stream,
    "publish": ServerSession._publish,
    "play": ServerSession._play,
    "closeStream": ServerSession._close_stream,
    "deleteStream": ServerSession._delete_stream,
    "releaseStream": ServerSession._done,
    "FCPublish": ServerSession._fc_publish,
    "FCUnpublish": ServerSession._fc_unpublish,
    "FCSubscribe": ServerSession._done,
    "getStreamLength": ServerSession._stream_length,
    "_checkbw": ServerSession._done,
    "receiveAudio": ServerSession._ignored,
    "receiveVideo": ServerSession._ignored,
    "pause": ServerSession._ignored,
    "seek": ServerSession._ignored,
}
"""Each command a client has, and what answers it."""

"""The control connection's two sides as state machines, without a socket.

Bytes go in by ``receive_data``, what they mean comes out of ``next_event`` until it
returns None, and what is to be sent out of ``data_to_send``. A `ProtocolError` out of
``next_event`` means the connection is of no more use: send what is there, then close.

Client::

    conn = ClientConnection(name="recorder")
    id = conn.send_request(GetVersion())
    while chunk := conn.data_to_send(): sock.sendall(chunk)
    data, fds, _, _ = socket.recv_fds(sock, 65536, MAX_FDS)   # with MSG_CMSG_CLOEXEC
    conn.receive_data(data, fds)                               # b"" is the end
    while (event := conn.next_event()) is not None: ...        # Greeted, Answer, Refusal, Event, Order

Descriptors are opaque numbers here: nobody opens or closes one in this module. Those
left in `ClientConnection.unclaimed_fds` when a connection is dropped are the caller's
to close.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from arclyd.control import wire
from arclyd.control.messages import PROTOCOL_VERSION, Hello, HelloReply, Order, Request
from arclyd.control.reports import Event
from arclyd.errors import ArclydError, ProtocolError

MAX_OUTSTANDING: Final = 64
"""Requests a peer may have unanswered; the daemon reads no further until it answered some."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """The daemon answered the hello."""

    hello: HelloReply


@dataclass(frozen=True, slots=True)
class Answer:
    """The reply to request ``id``: an instance of its ``reply`` type, and the descriptors that came with it."""

    id: int
    value: object
    fds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Request ``id`` was refused; 0: the connection as a whole, and it is about to be closed."""

    id: int
    error: ArclydError


ClientEvent = Greeted | Answer | Refusal | Event | Order


@dataclass(slots=True)
class Outgoing:
    """Bytes to send with one ``sendmsg``; ``fds`` travel with the first of them."""

    data: bytes
    fds: tuple[int, ...] = ()


class ClientConnection:
    """The client's side: says hello first, matches replies to requests."""

    def __init__(self, *, name: str = "", client: str = "") -> None:
        self._deframer = wire.Deframer(wire.MAX_REPLY)
        self._out: deque[Outgoing] = deque()
        self._pending: dict[int, type[object]] = {}
        self._fds: deque[int] = deque()
        self._next_id = 1
        self._hello_id = self.send_request(Hello(PROTOCOL_VERSION, client=client, name=name))
        self.hello: HelloReply | None = None
        """The daemon's hello, once it came."""

    def send_request(self, request: Request, fds: tuple[int, ...] = ()) -> int:
        """Queue a request; returns the id its reply will have. May be called before the hello was answered.

        ``fds`` are the caller's to close after they were sent or dropped; they go out by `next_to_send` only.
        """
        number = self._next_id
        self._out.append(Outgoing(wire.encode_request(number, request, len(fds)), fds))
        self._next_id += 1
        self._pending[number] = request.reply
        return number

    def data_to_send(self) -> bytes:
        """All bytes queued so far (b"": none); they are the caller's from now on."""
        data = b"".join(out.data for out in self._out)
        self._out.clear()
        return data

    def next_to_send(self) -> Outgoing | None:
        """The next bytes to send with one ``sendmsg``, or None; what it did not take goes back by `unsent`."""
        return self._out.popleft() if self._out else None

    def unsent(self, rest: Outgoing) -> None:
        """Put back what was not sent (without the descriptors, once a byte went)."""
        self._out.appendleft(rest)

    @property
    def has_unsent(self) -> bool:
        """Something waits to be sent."""
        return bool(self._out)

    def receive_data(self, data: bytes, fds: tuple[int, ...] | list[int] = ()) -> None:
        """Take bytes from the daemon and the descriptors that came with them."""
        self._fds.extend(fds)
        self._deframer.receive_data(data)

    def next_event(self) -> ClientEvent | None:
        """What the daemon said next, or None until more bytes come.

        Raises:
            ProtocolError: it did not keep to the protocol.
        """
        body = self._deframer.next_body()
        if body is None:
            return None
        said = wire.decode_from_daemon(body)
        if isinstance(said, wire.Reply):
            return self._answer(said)
        if isinstance(said, wire.Failure):
            self._settle(said.id)
            return Refusal(said.id, said.error)
        return said

    @property
    def outstanding(self) -> int:
        """Requests without a reply so far."""
        return len(self._pending)

    @property
    def unclaimed_fds(self) -> tuple[int, ...]:
        """Descriptors that came but belong to no reply taken so far."""
        return tuple(self._fds)

    def drop_fds(self) -> list[int]:
        """Every descriptor that came or should have gone, for the caller to close; the connection is over."""
        fds = [*self._fds, *(fd for out in self._out for fd in out.fds)]
        self._fds.clear()
        self._out.clear()
        return fds

    def _answer(self, said: wire.Reply) -> Greeted | Answer:
        cls = self._settle(said.id)
        if cls is None:
            raise ProtocolError(f"a reply to request {said.id}, which was not asked")
        value = wire.decode_value(said.fields, cls)
        if said.id == self._hello_id and isinstance(value, HelloReply):
            return self._greet(value)
        if said.fds > len(self._fds):
            raise ProtocolError(f"a reply with {said.fds} descriptors came with {len(self._fds)}")
        return Answer(said.id, value, tuple(self._fds.popleft() for _ in range(said.fds)))

    def _greet(self, hello: HelloReply) -> Greeted:
        if hello.protocol != PROTOCOL_VERSION:
            raise ProtocolError(f"the daemon speaks version {hello.protocol}, this client {PROTOCOL_VERSION}")
        self.hello = hello
        return Greeted(hello)

    def _settle(self, id: int) -> type[object] | None:
        return self._pending.pop(id, None)


@dataclass(frozen=True, slots=True)
class HelloReceived:
    """The peer introduced itself; the reply is queued already."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """A request that waits for `ServerConnection.send_reply` or `send_error` with its id."""

    id: int
    request: Request
    fds: tuple[int, ...] = ()
    """Descriptors that came with it: the caller's to close."""


ServerEvent = HelloReceived | RequestReceived


@dataclass(slots=True)
class _Slot:
    """The place of one request's reply in the order of replies."""

    ready: Outgoing | None = None


@dataclass(slots=True)
class ServerConnection:
    """The daemon's side: demands the hello, keeps replies in the order of their requests.

    Events and orders overtake replies that are not ready; replies never overtake one another.
    """

    version: str
    instance: str
    greeted: Hello | None = None
    """The peer's hello, once it came."""
    closing: bool = False
    """True: no more is read; what is queued goes out, then the connection closes."""
    _deframer: wire.Deframer = field(default_factory=lambda: wire.Deframer(wire.MAX_HELLO))
    _slots: dict[int, _Slot] = field(default_factory=dict)
    _out: deque[Outgoing] = field(default_factory=deque)
    _queued: int = 0
    _dropped: list[int] = field(default_factory=list)
    _fds: deque[int] = field(default_factory=deque)

    def receive_data(self, data: bytes, fds: tuple[int, ...] | list[int] = ()) -> None:
        """Take bytes from the peer and the descriptors that came with them."""
        if self.closing:
            self._dropped += fds
        else:
            self._fds.extend(fds)
            self._deframer.receive_data(data)

    def next_event(self) -> ServerEvent | None:
        """What the peer asked next, or None until more bytes come or replies are due (`can_take_more`).

        A request whose envelope is sound but whose fields are not is answered here and skipped.

        Raises:
            ProtocolError: the peer broke the protocol; the refusal is queued, the connection is `closing`.
        """
        try:
            return self._next_event()
        except ProtocolError as error:
            self.refuse(error)
            raise

    def send_reply(self, id: int, value: object, fds: tuple[int, ...] = ()) -> None:
        """Answer request ``id``; ``fds`` are the caller's to close after they were sent or dropped."""
        try:
            data = wire.encode_reply(id, value, len(fds))
        except ProtocolError as error:  # an answer too long to be sent is still an answer
            self.send_error(id, error)
            return
        self._fill(id, Outgoing(data, fds))

    def send_error(self, id: int, error: ArclydError) -> None:
        """Refuse request ``id``."""
        self._fill(id, Outgoing(wire.encode_error(id, error)))

    def send_event(self, event: Event) -> None:
        """Push an event."""
        self._enqueue(Outgoing(wire.encode_event(event)))

    def send_order(self, order: Order) -> None:
        """Push an order."""
        self._enqueue(Outgoing(wire.encode_order(order)))

    def refuse(self, error: ArclydError) -> None:
        """Tell the peer why and close: nothing after this is read or answered."""
        if not self.closing:
            self._enqueue(Outgoing(wire.encode_error(0, error)))
            self.closing = True
            self._dropped += [fd for slot in self._slots.values() if slot.ready for fd in slot.ready.fds]
            self._dropped += self._fds
            self._fds.clear()
            self._slots.clear()

    def next_to_send(self) -> Outgoing | None:
        """The next bytes to send, or None; what `sendmsg` did not take goes back by `unsent`."""
        if not self._out:
            return None
        out = self._out.popleft()
        self._queued -= len(out.data)
        return out

    def unsent(self, rest: Outgoing) -> None:
        """Put back what was not sent (without the descriptors, once a byte went)."""
        self._out.appendleft(rest)
        self._queued += len(rest.data)

    def take_dropped(self) -> list[int]:
        """Descriptors that nobody wants, for the caller to close."""
        fds, self._dropped = self._dropped, []
        return fds

    def drop_fds(self) -> list[int]:
        """Every descriptor that will not be sent any more, for the caller to close; the connection is over."""
        waiting = [slot.ready for slot in self._slots.values() if slot.ready]
        fds = [*self.take_dropped(), *self._fds, *(fd for out in (*self._out, *waiting) for fd in out.fds)]
        self._out.clear()
        self._slots.clear()
        self._fds.clear()
        self._queued, self.closing = 0, True
        return fds

    @property
    def queued_bytes(self) -> int:
        """Bytes ready to be sent."""
        return self._queued

    @property
    def unfinished(self) -> bool:
        """The peer has sent the beginning of a message, or messages that `next_event` was not asked for."""
        return self._deframer.pending > 0

    @property
    def outstanding(self) -> int:
        """Requests taken whose reply is not on its way."""
        return len(self._slots)

    @property
    def can_take_more(self) -> bool:
        """False: too many requests are unanswered; read on when replies went out."""
        return not self.closing and len(self._slots) < MAX_OUTSTANDING

    def _next_event(self) -> ServerEvent | None:
        while self.can_take_more:
            body = self._deframer.next_body()
            if body is None:
                self._check_strays()
                return None
            call = wire.decode_request(body)
            fds = self._offered(call)
            if self.greeted is None:
                self._dropped += fds
                return self._hello(call)
            if call.id in self._slots:
                raise ProtocolError(f"request id {call.id} is in use")
            self._slots[call.id] = _Slot()
            if isinstance(call.request, Hello):
                self.send_error(call.id, ProtocolError("hello is said once"))
            elif isinstance(call.request, ProtocolError):
                self.send_error(call.id, call.request)
            else:
                return RequestReceived(call.id, call.request, fds)
            self._dropped += fds
        return None

    def _offered(self, call: wire.Call) -> tuple[int, ...]:
        if call.fds > len(self._fds):
            raise ProtocolError(f"a request with {call.fds} descriptors came with {len(self._fds)}")
        return tuple(self._fds.popleft() for _ in range(call.fds))

    def _check_strays(self) -> None:
        """A peer must not make the daemon hold descriptors that none of its requests has."""
        if len(self._fds) > (wire.MAX_OFFERED if self._deframer.pending else 0):
            raise ProtocolError(f"{len(self._fds)} descriptors that belong to no request")

    def _hello(self, call: wire.Call) -> HelloReceived:
        request = call.request
        if isinstance(request, ProtocolError):
            raise request
        if not isinstance(request, Hello):
            raise ProtocolError(f"the first request must be hello, not {request.op}")
        if request.protocol != PROTOCOL_VERSION:
            raise ProtocolError(f"this daemon speaks version {PROTOCOL_VERSION}, the client {request.protocol}")
        self.greeted = request
        self._deframer.limit = wire.MAX_REQUEST
        self._slots[call.id] = _Slot()
        self.send_reply(call.id, HelloReply(PROTOCOL_VERSION, self.version, self.instance))
        return HelloReceived(request)

    def _fill(self, id: int, out: Outgoing) -> None:
        slot = self._slots.get(id)
        if slot is None:  # the connection is closing
            self._dropped += out.fds
            return
        slot.ready = out
        for first, waiting in list(self._slots.items()):
            if waiting.ready is None:
                return
            del self._slots[first]
            self._enqueue(waiting.ready)

    def _enqueue(self, out: Outgoing) -> None:
        if not self.closing:
            self._out.append(out)
            self._queued += len(out.data)

"""The control socket: accepts connections, moves bytes and descriptors between them and `arclyd.control`.

What one client can cost is bounded: a message's length, unanswered requests, bytes waiting to be read
by it (the daemon reads no further from a client that does not read), the time to say hello, to finish a
message and to read on, the time its requests take before it is the next one's turn; `admission` bounds
the number. Nothing here waits for a client, so none can hold up another.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from arclyd.control.connection import HelloReceived, Outgoing, RequestReceived, ServerConnection
from arclyd.control.wire import MAX_FDS, encode_error
from arclyd.daemon.admission import PACE, Admission
from arclyd.daemon.auth import peer_of
from arclyd.daemon.stream import SECOND, Now, Party
from arclyd.errors import ArclydError, ProtocolError, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog.typing import FilteringBoundLogger

    from arclyd.control.messages import Order, Request
    from arclyd.daemon.dispatch import Dispatcher, Result
    from arclyd.daemon.events import Follower

CHUNK: Final = 1 << 16
HIGH_WATER: Final = 1 << 18
"""Bytes a client has not read beyond which nothing more is read from it."""

MAX_QUEUED: Final = 32 << 20
"""Bytes a client has not read beyond which it is cut off: two of the longest replies."""

HELLO_NS: Final = 10 * SECOND
"""How long a peer may take to say hello."""

MESSAGE_NS: Final = 10 * SECOND
"""How long a peer may take to finish a message it began: what it sent is kept meanwhile, a megabyte at most."""

DEAF_NS: Final = 30 * SECOND
"""How long a peer may read nothing of more than `HIGH_WATER` bytes that wait for it."""

TURN_NS: Final = 2_000_000
"""How long one connection's requests are answered before the others get their turn: a client that sends
thousands at once must not make the others wait for all of them. One request is answered in any case, and a long
one takes longer; so for as long as its turn took, such a client waits for the next, and what others ask in several
steps (connect, greet, list) waits for one of its turns at most, not for one a step."""

MOST_PAUSE_NS: Final = 20_000_000
"""The longest such wait."""

ACCEPTS: Final = 64
"""Connections accepted in one go, before those that are there get their turn."""

PAUSE: Final = 0.1
"""Seconds without accepting after the process ran out of descriptors."""


class ControlServer:
    """Serves a listening socket until `close`. ``clock`` tells the moment, ``limit`` the most connections."""

    def __init__(
        self,
        listener: socket.socket,
        log: FilteringBoundLogger,
        *,
        clock: Callable[[], Now],
        limit: Callable[[], int],
        version: str,
        instance: str,
    ) -> None:
        self._listener = listener
        self._log = log
        self.clock = clock
        self._admission = Admission(limit)
        self._rushed: Counter[int] = Counter()
        # Made once: whoever connects thousands of times a second is turned away at the price of a few system calls.
        self._too_fast = encode_error(0, RequestRefused(f"this process opens more than {PACE} connections a second"))
        self._names = (version, instance)
        self._links: dict[int, _Link] = {}
        self._next_conn = 1
        self._dispatcher: Dispatcher | None = None
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._links)

    def start(self, dispatcher: Dispatcher) -> None:
        """Begin to accept."""
        self._dispatcher = dispatcher
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """Close every connection; the listener is the caller's."""
        self._loop.remove_reader(self._listener)
        for link in list(self._links.values()):
            link.close()

    def order(self, conn: int, order: Order) -> None:
        """Send an order (`arclyd.daemon.streams.Courier`)."""
        link = self._links.get(conn)
        if link is not None:
            link.proto.send_order(order)
            link.pump_soon()

    def tick(self, now: Now) -> None:
        """Answer claims that are decided, send events on, drop who never says hello."""
        self.settle(now)
        self._admission.tick(now.ns)
        for pid, count in self._rushed.items():
            self._log.warning("connections_refused", pid=pid, count=count, problem=f"more than {PACE} a second")
        self._rushed.clear()
        for link in list(self._links.values()):
            late = link.overdue(now.ns)
            if late:
                link.fail(ProtocolError(late))
            elif link.follower is not None:
                link.pump()

    def settle(self, now: Now) -> None:
        """Answer claims that are decided."""
        assert self._dispatcher is not None
        for conn, token, answer in self._dispatcher.settled(now):
            link = self._links.get(conn)
            if link is not None:
                link.answer(token, answer)
                link.pump()

    def _accept(self) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # out of descriptors: the listener stays readable, so look away for a moment
                self._log.error("accept_failed", problem=error.strerror)
                self._loop.remove_reader(self._listener)
                self._loop.call_later(PAUSE, self._accept_again)
                return
            self._admit(sock)

    def _accept_again(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    def _admit(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        peer = peer_of(sock)
        if self._admission.rushes(peer.pid, self.clock().ns):
            self._rushed[peer.pid] += 1
            _turn_away(sock, self._too_fast)
            return
        refusal = self._admission.refusal(peer.pid, sock.fileno())
        if refusal is not None:
            self._log.warning("connection_refused", pid=peer.pid, problem=str(refusal))
            _turn_away(sock, encode_error(0, refusal))
            return
        link = _Link(self, sock, ServerConnection(*self._names), Party(self._next_conn, peer))
        self._next_conn += 1
        self._links[link.conn] = link
        self._admission.enter(peer.pid)
        link.watch()

    # ------------------------------------------------ what a link needs of us

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop all of it runs in."""
        return self._loop

    def handle(self, link: _Link, token: int, request: Request) -> Result | ArclydError | None:
        """Answer a request; None: later."""
        assert self._dispatcher is not None
        now = self.clock()
        try:
            return self._dispatcher.handle(link, token, request, now)
        except ArclydError as error:
            # Its traceback holds the frames that hold the stream, and they hold the answer: a circle that would keep
            # an ended stream's region mapped until the collector comes.
            return error.with_traceback(None)
        except OSError as error:  # of the machine, not of the request: out of descriptors, out of memory
            self._log.error("request_failed", request=request.op, pid=link.party.peer.pid, problem=str(error))
            return RequestRefused(f"the daemon can't {request.op} now: {error.strerror or error}")
        except Exception as error:  # a bug in one answer must not end everybody's connection
            self._log.exception("request_failed", request=request.op, pid=link.party.peer.pid)
            return ArclydError(f"the daemon failed on {request.op}: {type(error).__name__} (see its log)")

    def ended(self, link: _Link) -> None:
        """A connection is gone."""
        assert self._dispatcher is not None
        if self._links.pop(link.conn, None) is not None:
            self._admission.leave(link.party.peer.pid)
            self._dispatcher.disconnect(link, self.clock())
            self._loop.call_soon(self._settle_now)

    def protocol_error(self, link: _Link, error: ArclydError) -> None:
        """A peer broke the protocol."""
        self._log.warning("protocol_error", pid=link.party.peer.pid, problem=str(error))

    def _settle_now(self) -> None:
        self.settle(self.clock())


def _turn_away(sock: socket.socket, reason: bytes) -> None:
    with sock, suppress(OSError):
        sock.send(reason)


class _Link:
    """One connection: its socket, its protocol state, and who is on the other end."""

    def __init__(self, server: ControlServer, sock: socket.socket, proto: ServerConnection, party: Party) -> None:
        self._server = server
        self._sock = sock
        self.proto = proto
        self.conn = party.conn
        self.party = party
        self._since_ns = server.clock().ns
        self._read_ns = self._since_ns
        """When the peer last read something."""
        self._half_ns: int | None = None
        """Since when the same message is unfinished."""
        self._more = False
        """Requests wait here for the next turn, or for the peer to read."""
        self._turn_ns = 0
        """When the next turn may begin."""
        self._turn_due = False
        self.follower: Follower | None = None
        self.offered: tuple[int, ...] = ()
        self._reading = False
        self._writing = False
        self._pump_due = False

    def answer(self, token: int, answer: Result | ArclydError) -> None:
        """Queue the answer to a request."""
        if isinstance(answer, ArclydError):
            self.proto.send_error(token, answer)
            return
        try:
            fds = self._descriptors(answer)
        except OSError as error:
            self.proto.send_error(token, RequestRefused(f"the region can't be opened: {error.strerror}"))
            return
        self.proto.send_reply(token, answer.value, fds)

    def pump(self) -> None:
        """Take on what was received, send what there is, and watch for what can come next."""
        try:
            self._process()
            self._send()
        except ProtocolError as error:
            self._server.protocol_error(self, error)
            self._last_words()
        except OSError:  # the peer is gone
            self.close()
        else:
            self.watch()

    def pump_soon(self) -> None:
        """`pump`, but not from within whoever calls: it may be amid a change of the registry."""
        if not self._pump_due:
            self._pump_due = True
            self._server.loop.call_soon(self._pump_now)

    def fail(self, error: ArclydError) -> None:
        """Tell the peer why, as far as it listens, and close."""
        self.proto.refuse(error)
        self._last_words()

    def close(self) -> None:
        """Close the connection. Idempotent."""
        if self._sock.fileno() < 0:
            return
        self._set_interest(reading=False, writing=False)
        self._sock.close()
        _close_all(self.proto.drop_fds())
        self._server.ended(self)

    def watch(self) -> None:
        """Be woken for what can be done: read unless the peer owes us reading, write if something waits."""
        if self._sock.fileno() < 0:
            return
        queued = self.proto.queued_bytes
        if queued > MAX_QUEUED:
            self.close()
            return
        room = queued < HIGH_WATER
        if self._more and room and not self._turn_due:
            self._turn_due = True
            self._server.loop.call_later(max(0, self._turn_ns - self._server.clock().ns) / SECOND, self._next_turn)
        self._set_interest(reading=self.proto.can_take_more and room and not self._more, writing=queued > 0)

    def overdue(self, now_ns: int) -> str:
        """What the peer has kept the daemon waiting for too long with; "" if nothing."""
        if self.proto.greeted is None and now_ns - self._since_ns > HELLO_NS:
            return f"no hello within {HELLO_NS // SECOND} seconds"
        if self._half_ns is not None and now_ns - self._half_ns > MESSAGE_NS:
            return f"a message was not finished within {MESSAGE_NS // SECOND} seconds"
        if self.proto.queued_bytes >= HIGH_WATER and now_ns - self._read_ns > DEAF_NS:
            return f"nothing was read within {DEAF_NS // SECOND} seconds"
        return ""

    def _next_turn(self) -> None:
        self._turn_due = False
        self._pump_now()

    def _pump_now(self) -> None:
        self._pump_due = False
        if self._sock.fileno() >= 0:
            self.pump()

    def _readable(self) -> None:
        try:
            data, fds, _flags, _address = socket.recv_fds(self._sock, CHUNK, MAX_FDS, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data, fds = b"", []
        self.proto.receive_data(data, fds)
        if not data:
            self.close()
            return
        self.pump()

    def _process(self) -> None:
        began = now = self._server.clock().ns
        if self._more and now < self._turn_ns:
            return
        self._more = True
        while self.proto.queued_bytes < HIGH_WATER and now - began < TURN_NS:
            event = self.proto.next_event()
            if event is None:
                self._more = False
                break
            if isinstance(event, HelloReceived):
                self.party = Party(self.conn, self.party.peer, event.hello.name[:128])
            else:
                self._request(event)
            self._half_ns, now = None, self._server.clock().ns
        _close_all(self.proto.take_dropped())
        self._turn_ns = now + min(now - began, MOST_PAUSE_NS)
        if self._more or not (self.proto.unfinished and self.proto.can_take_more):
            self._half_ns = None
        elif self._half_ns is None:
            self._half_ns = now

    def _request(self, event: RequestReceived) -> None:
        self.offered = event.fds
        try:
            answer = self._server.handle(self, event.id, event.request)
        finally:
            self.offered = ()
            _close_all(event.fds)
        if answer is not None:
            self.answer(event.id, answer)

    @staticmethod
    def _descriptors(answer: Result) -> tuple[int, ...]:
        if answer.handle is None:
            return ()
        if not answer.writable:
            return (answer.handle.open_readonly(),)
        # One to lock, one to map: a mapping keeps its open file description, so a lock on the same one would
        # outlive the publisher's descriptor, in a forked child even the publisher.
        lockable = answer.handle.open_writable()
        try:
            return lockable, answer.handle.open_writable()
        except OSError:
            os.close(lockable)
            raise

    def _send(self) -> None:
        while True:
            out = self.proto.next_to_send()
            if out is None:
                event = self.follower.pop() if self.follower else None
                if event is None:
                    return
                self.proto.send_event(event)
                continue
            try:
                sent = socket.send_fds(self._sock, [out.data], out.fds) if out.fds else self._sock.send(out.data)
            except (BlockingIOError, InterruptedError):
                self.proto.unsent(out)
                return
            except OSError:
                self.proto.unsent(out)
                raise
            self._read_ns = self._server.clock().ns
            _close_all(out.fds)
            if sent < len(out.data):
                self.proto.unsent(Outgoing(out.data[sent:]))

    def _last_words(self) -> None:
        with suppress(OSError):
            self._send()
        self.close()

    def _set_interest(self, *, reading: bool, writing: bool) -> None:
        loop = self._server.loop
        if reading != self._reading:
            self._reading = reading
            loop.add_reader(self._sock, self._readable) if reading else loop.remove_reader(self._sock)
        if writing != self._writing:
            self._writing = writing
            loop.add_writer(self._sock, self.pump) if writing else loop.remove_writer(self._sock)


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        os.close(fd)

"""A control connection kept for life: by the hub's thread, which brings it back when the daemon goes away.

Its party (a publisher's claim, a subscriber's attachment) is told of what comes and says again
who it is after each reconnection. Nothing here is ever waited for by media.
"""

from __future__ import annotations

import random
import selectors
import socket
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, Protocol

from arclyd.client.exchange import CLIENT, Exchange, close_all, receive, unavailable
from arclyd.client.hub import Hub, process_hub
from arclyd.control.connection import Answer, ClientConnection, ClientEvent, Greeted, Outgoing, Refusal
from arclyd.control.messages import Order, Request
from arclyd.errors import ArclydError, DaemonUnavailable, ProtocolError

FIRST_RETRY: Final = 0.05
"""Seconds to the first attempt to reconnect: a daemon restarted by its supervisor is back about then."""

LAST_RETRY: Final = 1.0
"""Longest pause between attempts."""

SPREAD: Final = random.SystemRandom()
"""Of its own: the global one belongs to the program, which may have seeded it."""

LEAST_PAUSE: Final = 0.1
"""Seconds at least between two reports, however many gaps there are."""

Done = Callable[[Answer | ArclydError], None]


class Party(Protocol):
    """Who a link speaks for. All of it is called in the hub's thread."""

    def resume(self) -> None:
        """The connection is new: say again who this is (requests may be sent at once)."""

    def order(self, order: Order) -> None:
        """The daemon's word to this party."""

    def report(self) -> Request | None:
        """What to tell about once a second."""

    def cut(self) -> None:
        """This process is a forked child: give up what belongs to the parent."""


class Link:
    """Takes over the connection of ``exchange`` for ``party``."""

    def __init__(self, exchange: Exchange, party: Party, *, name: str) -> None:
        sock, connection, orders = exchange.hand_over()
        self.path = exchange.path
        self._name = name
        self._party = weakref.ref(party)  # it has this link: what it maps is to go with its last user, not later
        self._hub: Hub = process_hub()
        self._sock: socket.socket | None = sock
        self._connection = connection
        self._waiting: dict[int, Done] = {}
        self._attempts = 0
        self._closed = False
        self._report_asked = False
        self._reporting = False
        self._reported_at = 0.0
        sock.setblocking(False)
        self._hub.add(self)
        self._hub.call_soon(lambda: self._adopt(orders))

    # ------------------------------------------------------- from any thread

    def post(self, request: Request, done: Done | None = None) -> None:
        """Send ``request``; ``done`` gets the answer or the error, in the hub's thread."""
        self._hub.call_soon(lambda: self.send(request, done))

    def report_now(self) -> None:
        """Report without waiting for the second to pass."""
        if not self._report_asked:
            self._report_asked = True
            self._hub.call_soon(self._report_soon)

    def close(self, farewell: Request | None = None, timeout: float = 1.0) -> None:
        """Say ``farewell`` and close. Waits up to ``timeout`` seconds for it to be answered. Idempotent."""
        if self._closed:
            return
        gone: Future[None] = Future()
        self._hub.call_soon(lambda: self._leave(farewell, gone))
        if timeout and not self._hub.is_own_thread:
            try:
                gone.result(timeout)
            except TimeoutError:
                self._hub.call_soon(self._drop_for_good)

    # ------------------------------------------------- in the hub's thread

    def send(self, request: Request, done: Done | None = None, fds: tuple[int, ...] = ()) -> None:
        """As `post`, from the hub's thread. Without a connection the answer is `DaemonUnavailable`.

        ``fds`` go with it and are closed once they went.
        """
        if self._sock is None:
            close_all(fds)
            if done is not None:
                done(DaemonUnavailable(self.path, "not connected"))
            return
        number = self._connection.send_request(request, fds)
        if done is not None:
            self._waiting[number] = done
        self._flush()

    def settled(self) -> None:
        """The party is known to the daemon again: the next loss is the first."""
        self._attempts = 0

    def retry(self) -> None:
        """Start over with a new connection, after a pause."""
        self._lose(DaemonUnavailable(self.path, "starting over"))

    def ready(self, mask: int) -> None:
        """Read and write what there is."""
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ:
            self._read()

    def tick(self) -> None:
        """Report, unless the last report is unanswered: a daemon that hangs must not be sent ever more."""
        party = self._party()
        request = None if party is None or self._sock is None or self._reporting else party.report()
        if request is not None:
            self._reporting = True
            self._reported_at = time.monotonic()
            self.send(request, self._report_done)

    def abandon(self) -> None:
        """Close the connection without a word."""
        self._closed = True
        self._close_socket()

    def forked(self) -> None:
        """In a forked child: as `abandon`, and the party gives up what belongs to the parent."""
        self.abandon()
        if (party := self._party()) is not None:
            party.cut()

    def _adopt(self, orders: list[Order]) -> None:
        if self._sock is None or self._closed:
            return
        self._watch()
        for order in orders:
            self._handle(order)
        self._take_events()

    def _report_soon(self) -> None:
        pause = self._reported_at + LEAST_PAUSE - time.monotonic()
        if pause > 0:
            self._hub.loop.call_later(pause, self._report_asked_for)
        else:
            self._report_asked_for()

    def _report_asked_for(self) -> None:
        self._report_asked = False
        self.tick()

    def _report_done(self, _answer: Answer | ArclydError) -> None:
        self._reporting = False

    def _read(self) -> None:
        if self._sock is None:
            return
        try:
            data, fds = receive(self._sock)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(unavailable(self.path, error))
            return
        self._connection.receive_data(data, fds)
        if data:
            self._take_events()
        else:
            self._lose(DaemonUnavailable(self.path, "it closed the connection"))

    def _take_events(self) -> None:
        connection = self._connection
        try:
            while connection is self._connection and (event := connection.next_event()) is not None:
                self._handle(event)
        except ProtocolError as error:
            self._lose(error)

    def _handle(self, event: ClientEvent) -> None:
        if isinstance(event, Order):
            if (party := self._party()) is not None:
                party.order(event)
        elif isinstance(event, Answer):
            done = self._waiting.pop(event.id, None)
            if done is None:
                close_all(event.fds)
            else:
                done(event)
        elif isinstance(event, Refusal):
            done = self._waiting.pop(event.id, None)
            if event.id == 0:
                self._lose(event.error)
            elif done is not None:
                done(event.error)
        else:  # a Greeted needs no answer here, and events are not asked for
            assert isinstance(event, Greeted) or event.seq >= 0

    def _flush(self) -> None:
        if self._sock is None:
            return
        while (out := self._connection.next_to_send()) is not None:
            try:
                sent = socket.send_fds(self._sock, [out.data], out.fds) if out.fds else self._sock.send(out.data)
            except OSError as error:
                self._connection.unsent(out)
                if isinstance(error, BlockingIOError):
                    break
                self._lose(unavailable(self.path, error))
                return
            close_all(out.fds)
            if sent < len(out.data):
                self._connection.unsent(Outgoing(out.data[sent:]))
        self._watch()

    def _watch(self) -> None:
        if self._sock is not None:
            mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._connection.has_unsent else 0)
            self._hub.loop.watch(self._sock.fileno(), mask, self)

    def _lose(self, error: ArclydError) -> None:
        if self._sock is None:
            return
        self._close_socket()
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(error)
        if not self._closed:
            pause = min(LAST_RETRY, FIRST_RETRY * 2 ** min(self._attempts, 10))
            self._attempts += 1
            # Spread over half the pause: a thousand readers of a restarted daemon need not knock at once.
            self._hub.loop.call_later(pause * SPREAD.uniform(0.5, 1.0), self._reconnect)

    def _reconnect(self) -> None:
        if self._closed or self._sock is not None:
            return
        self._connection = ClientConnection(name=self._name, client=CLIENT)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._sock.connect(self.path)  # on a Unix socket: done, or refused, at once
        except OSError as error:
            self._lose(unavailable(self.path, error))
            return
        if (party := self._party()) is not None:
            party.resume()
        self._flush()

    def _leave(self, farewell: Request | None, gone: Future[None]) -> None:
        if self._closed or self._sock is None or farewell is None:
            self._drop_for_good()
            gone.set_result(None)
            return
        self._closed = True  # from here on a loss is the end, not a reason to come back

        def done(_answer: Answer | ArclydError) -> None:
            self._drop_for_good()
            gone.set_result(None)

        self.send(farewell, done)

    def _drop_for_good(self) -> None:
        self._closed = True
        self._close_socket()
        self._hub.remove(self)

    def _close_socket(self) -> None:
        if self._sock is None:
            return
        if self._hub.is_own_thread:
            self._hub.loop.watch(self._sock.fileno(), 0, self)
        self._sock.close()
        self._sock = None
        close_all(self._connection.drop_fds())
        self._reporting = False

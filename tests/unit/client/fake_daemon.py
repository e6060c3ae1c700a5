"""A daemon's end of the control socket whose every answer the test decides: one thread, one connection at a time."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from arclyd.control.connection import HelloReceived, RequestReceived, ServerConnection
from arclyd.control.messages import Ok, Order, Request
from arclyd.control.reports import Event
from arclyd.errors import ArclydError, ProtocolError

Answerer = Callable[[Request], object]


class FakeDaemon:
    """Answers each request with what ``answer`` returns (an `ArclydError`: refuses; None: never)."""

    def __init__(self, path: Path, answer: Answerer = lambda _request: Ok()) -> None:
        self.path = str(path)
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self._pushes: list[Event | Order] = []
        self._drop = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._stopping, self._stop = socket.socketpair()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def push(self, word: Event | Order) -> None:
        """Send an event or an order on the connection there is."""
        self._pushes.append(word)
        self._stop.send(b"w")

    def drop(self) -> None:
        """Close the connection there is."""
        self._drop = True
        self._stop.send(b"w")

    def close(self) -> None:
        """Stop listening and close all."""
        if self._thread.is_alive():
            self._stop.send(b"x")
            self._thread.join()
        for each in (self._listener, self._stopping, self._stop):
            each.close()
        Path(self.path).unlink(missing_ok=True)

    def __enter__(self) -> FakeDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ, "listener")
            selector.register(self._stopping, selectors.EVENT_READ, "word")
            served: tuple[socket.socket, ServerConnection] | None = None
            while True:
                for key, _ in selector.select():
                    if key.data == "listener":
                        sock, _address = self._listener.accept()
                        if served is not None:  # the newest one counts
                            self._hang_up(selector, served)
                        served = (sock, ServerConnection("1", "00000000"))
                        self.connections += 1
                        selector.register(sock, selectors.EVENT_READ, "peer")
                    elif key.data == "word":
                        if b"x" in self._stopping.recv(100):
                            if served is not None:
                                self._hang_up(selector, served)
                            return
                        served = self._word(selector, served)
                    elif served is not None and not self._serve(*served):
                        self._hang_up(selector, served)
                        served = None

    def _word(
        self, selector: selectors.BaseSelector, served: tuple[socket.socket, ServerConnection] | None
    ) -> tuple[socket.socket, ServerConnection] | None:
        if served is None:
            return None
        while self._pushes:
            word = self._pushes.pop(0)
            if isinstance(word, Event):
                served[1].send_event(word)
            else:
                served[1].send_order(word)
        self._flush(*served)
        if self._drop:
            self._drop = False
            self._hang_up(selector, served)
            return None
        return served

    @staticmethod
    def _hang_up(selector: selectors.BaseSelector, served: tuple[socket.socket, ServerConnection]) -> None:
        selector.unregister(served[0])
        served[0].close()

    def _serve(self, sock: socket.socket, connection: ServerConnection) -> bool:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:  # it left without having read all that was sent
            return False
        if not data:
            return False
        connection.receive_data(data)
        try:
            while (event := connection.next_event()) is not None:
                if isinstance(event, RequestReceived):
                    self._reply(connection, event)
                else:
                    assert isinstance(event, HelloReceived)
        except ProtocolError:
            self._flush(sock, connection)
            return False
        self._flush(sock, connection)
        return True

    def _reply(self, connection: ServerConnection, event: RequestReceived) -> None:
        self.requests.append(event.request)
        answer = self.answer(event.request)
        if isinstance(answer, ArclydError):
            connection.send_error(event.id, answer)
        elif answer is not None:
            connection.send_reply(event.id, answer)

    @staticmethod
    def _flush(sock: socket.socket, connection: ServerConnection) -> None:
        while (out := connection.next_to_send()) is not None:
            try:
                sock.sendall(out.data)
            except OSError:  # the client left first
                return

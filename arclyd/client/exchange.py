"""One control connection used in turns: a request out, its reply in, blocking up to a deadline.

What `arclyd.Control` asks over, and what a publisher or subscriber does its first steps over
before the hub's thread takes the connection (`Exchange.hand_over`).
"""

from __future__ import annotations

import array
import os
import socket
import struct
import time
import weakref
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from arclyd.control.connection import Answer, ClientConnection, Greeted, Refusal
from arclyd.control.messages import Order, Request
from arclyd.control.paths import default_socket
from arclyd.control.reports import Event
from arclyd.control.wire import MAX_FDS
from arclyd.errors import DaemonUnavailable, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

CHUNK: Final = 1 << 16
"""Bytes asked of the socket at once."""

CLIENT: Final = "arclyd-python"
"""What this library calls itself in the hello."""

_TIMEVAL: Final = struct.Struct("ll")

T = TypeVar("T")


def socket_path(named: str | os.PathLike[str] | None) -> str:
    """The control socket to use: the one named, else the default place."""
    return str(Path(named).absolute()) if named is not None else default_socket()


def unavailable(path: str, error: OSError) -> DaemonUnavailable:
    """What an error of the operating system on the control socket means to the caller."""
    if isinstance(error, FileNotFoundError):
        return DaemonUnavailable(path, "there is no such socket")
    if isinstance(error, ConnectionRefusedError):
        return DaemonUnavailable(path, "nobody listens")
    if isinstance(error, PermissionError):
        return DaemonUnavailable(path, f"uid {os.geteuid()} may not open it, only the service's user and its group")
    if isinstance(error, TimeoutError):
        return DaemonUnavailable(path, "no answer in time")
    return DaemonUnavailable(path, error.strerror or str(error))


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Bytes from the daemon and the descriptors that came with them, closed on exec."""
    # Not socket.recv_fds: it takes flags and forgets them, and a descriptor that stays open on exec would carry the
    # writer's lock into a child program.
    fds = array.array("i")
    room = socket.CMSG_LEN(MAX_FDS * fds.itemsize)
    data, ancillary, _flags, _address = sock.recvmsg(CHUNK, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return data, list(fds)


def close_all(fds: tuple[int, ...] | list[int]) -> None:
    """Close descriptors nobody wants."""
    for fd in fds:
        os.close(fd)


def _connect(sock: socket.socket, path: str, timeout: float) -> None:
    """Connect; where more clients are waiting than the daemon lets wait, wait for a place among them.

    A socket with a timeout of Python's does not: it is non-blocking, and such a connect fails with EAGAIN (unix(7)).
    """
    seconds, rest = divmod(timeout, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(seconds), int(rest * 1e6) or 1))
    try:
        sock.connect(path)
    except BlockingIOError:
        raise TimeoutError from None


class Exchange:
    """A greeted control connection. Not thread-safe.

    ``timeout``: seconds for the connection and for each reply.

    Raises:
        DaemonUnavailable: nobody answers, or no longer.
        ProtocolError: the daemon speaks another version.
    """

    def __init__(self, path: str, *, name: str = "", timeout: float = 5.0) -> None:
        self.path = path
        self.timeout = timeout
        self._handed_over = False
        self._events: deque[Event | Order] = deque()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # One that is left to the collector, or to the program's end, is closed without a word.
        self._finalizer = weakref.finalize(self, self._sock.close)
        self._connection = ClientConnection(name=name, client=CLIENT)
        try:
            with self._translated():
                _connect(self._sock, path, timeout)
                with suppress(BrokenPipeError):  # turned away already: the reason is there to be read
                    self._flush()
                self._await_greeting()
        except BaseException:
            self.close()
            raise

    def ask(self, request: Request, reply: type[T]) -> T:
        """The daemon's reply to ``request``, of the type given; raises the error it refused with."""
        answer = self.ask_fds(request)
        close_all(answer.fds)
        if not isinstance(answer.value, reply):
            raise ProtocolError(f"a reply of another kind to {request.op}")
        return answer.value

    def ask_fds(self, request: Request) -> Answer:
        """As `ask`, with the descriptors that came: they are the caller's."""
        with self._translated():
            number = self._connection.send_request(request)
            self._flush()
            for event in self._incoming(time.monotonic() + self.timeout):
                if isinstance(event, Answer) and event.id == number:
                    return event
                if isinstance(event, Refusal) and event.id in (0, number):
                    raise event.error
                if isinstance(event, Answer):  # to a request whose caller did not wait so long
                    close_all(event.fds)
        raise AssertionError  # _incoming never ends by itself

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event pushed; None: none within ``timeout`` seconds (None: for as long as it takes)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not any(isinstance(event, Event) for event in self._events):
            try:
                with self._translated():
                    self._await_push(deadline)
            except DaemonUnavailable as error:
                if isinstance(error.__cause__, TimeoutError) and deadline is not None:
                    return None
                raise
        while not isinstance(event := self._events.popleft(), Event):
            pass
        return event

    def hand_over(self) -> tuple[socket.socket, ClientConnection, list[Order]]:
        """Give the connection away, with the orders that came meanwhile; this object is of no more use."""
        self._handed_over = True
        self._finalizer.detach()
        return self._sock, self._connection, [event for event in self._events if isinstance(event, Order)]

    def close(self) -> None:
        """Close the connection, unless it was handed over. Idempotent."""
        if self._handed_over:
            return
        self._sock.close()
        close_all(self._connection.unclaimed_fds)
        self._connection = ClientConnection()

    def __enter__(self) -> Exchange:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _await_greeting(self) -> None:
        for event in self._incoming(time.monotonic() + self.timeout):
            if isinstance(event, Greeted):
                return
            if isinstance(event, Refusal):
                raise event.error

    def _await_push(self, deadline: float | None) -> None:
        for event in self._incoming(deadline):
            if isinstance(event, Refusal) and event.id == 0:
                raise event.error
            if self._events:
                return

    def _flush(self) -> None:
        self._sock.settimeout(self.timeout)
        self._sock.sendall(self._connection.data_to_send())

    def _incoming(self, deadline: float | None) -> Iterator[Answer | Refusal | Greeted | Event | Order]:
        while True:
            while (event := self._connection.next_event()) is not None:
                if isinstance(event, Event | Order):
                    self._events.append(event)
                yield event
            self._read(deadline)

    def _read(self, deadline: float | None) -> None:
        if deadline is None:
            self._sock.settimeout(None)
        else:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._sock.settimeout(left)
        data, fds = receive(self._sock)
        if not data:
            raise ConnectionResetError(None, "it closed the connection")
        self._connection.receive_data(data, fds)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unavailable(self.path, error) from error

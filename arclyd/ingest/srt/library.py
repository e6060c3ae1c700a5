"""libsrt of the system, by cffi: the calls that are used, with Python's types and this project's errors.

What is declared here is libsrt's binary interface since 1.4.2 (srtcore/srt.h, MPL-2.0); later releases only added to
the ends of its structures.
"""

from __future__ import annotations

import ctypes
import ipaddress
import logging
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Callable

log: Final = logging.getLogger(__name__)

NAMES: Final = ("libsrt-openssl.so.1.5", "libsrt-gnutls.so.1.5", "libsrt.so.1.5")
"""Debian and Ubuntu name it after the library it encrypts with, others do not."""

HOW_TO: Final = "install libsrt 1.5 (Debian and Ubuntu: libsrt1.5-openssl or libsrt1.5-gnutls)"
HOW_TO_CFFI: Final = "install it with pip install 'arclyd[srt]'"

_DECLARATIONS: Final = """
typedef int SRTSOCKET;
typedef struct { SRTSOCKET fd; int events; } SRT_EPOLL_EVENT;
typedef struct {
    int64_t msTimeStamp, pktSentTotal, pktRecvTotal;
    int pktSndLossTotal, pktRcvLossTotal, pktRetransTotal;
    int pktSentACKTotal, pktRecvACKTotal, pktSentNAKTotal, pktRecvNAKTotal;
    int64_t usSndDurationTotal;
    int pktSndDropTotal, pktRcvDropTotal, pktRcvUndecryptTotal;
    uint64_t byteSentTotal, byteRecvTotal, byteRcvLossTotal, byteRetransTotal;
    uint64_t byteSndDropTotal, byteRcvDropTotal, byteRcvUndecryptTotal;
    int64_t pktSent, pktRecv;
    int pktSndLoss, pktRcvLoss, pktRetrans, pktRcvRetrans, pktSentACK, pktRecvACK, pktSentNAK, pktRecvNAK;
    double mbpsSendRate, mbpsRecvRate;
    int64_t usSndDuration;
    int pktReorderDistance;
    double pktRcvAvgBelatedTime;
    int64_t pktRcvBelated;
    int pktSndDrop, pktRcvDrop, pktRcvUndecrypt;
    uint64_t byteSent, byteRecv, byteRcvLoss, byteRetrans, byteSndDrop, byteRcvDrop, byteRcvUndecrypt;
    double usPktSndPeriod;
    int pktFlowWindow, pktCongestionWindow, pktFlightSize;
    double msRTT, mbpsBandwidth;
    int byteAvailSndBuf, byteAvailRcvBuf;
    double mbpsMaxBW;
    int byteMSS, pktSndBuf, byteSndBuf, msSndBuf, msSndTsbPdDelay, pktRcvBuf, byteRcvBuf, msRcvBuf, msRcvTsbPdDelay;
    char later[1024];
} SRT_TRACEBSTATS;
int srt_startup(void);
int srt_cleanup(void);
void srt_setloglevel(int);
SRTSOCKET srt_create_socket(void);
int srt_bind(SRTSOCKET, const void*, int);
int srt_listen(SRTSOCKET, int);
int srt_listen_callback(SRTSOCKET, void*, void*);
SRTSOCKET srt_accept(SRTSOCKET, void*, int*);
int srt_connect(SRTSOCKET, const void*, int);
int srt_close(SRTSOCKET);
int srt_getsockname(SRTSOCKET, void*, int*);
int srt_getsockflag(SRTSOCKET, int, void*, int*);
int srt_setsockflag(SRTSOCKET, int, const void*, int);
int srt_sendmsg(SRTSOCKET, const char*, int, int, int);
int srt_recvmsg(SRTSOCKET, char*, int);
int srt_bistats(SRTSOCKET, SRT_TRACEBSTATS*, int, int);
const char* srt_getlasterror_str(void);
int srt_getlasterror(int*);
int srt_getrejectreason(SRTSOCKET);
int srt_setrejectreason(SRTSOCKET, int);
int srt_epoll_create(void);
int srt_epoll_set(int, int32_t);
int srt_epoll_add_usock(int, SRTSOCKET, const int*);
int srt_epoll_update_usock(int, SRTSOCKET, const int*);
int srt_epoll_remove_usock(int, SRTSOCKET);
int srt_epoll_uwait(int, SRT_EPOLL_EVENT*, int, int64_t);
int srt_epoll_release(int);
"""


class Option:
    """Numbers of options (SRT_SOCKOPT)."""

    SNDSYN: Final = 1
    RCVSYN: Final = 2
    SNDBUF: Final = 5
    UDP_RCVBUF: Final = 9
    SNDDATA: Final = 19
    RCVDATA: Final = 20
    LATENCY: Final = 23
    PASSPHRASE: Final = 26
    PBKEYLEN: Final = 27
    CONNTIMEO: Final = 36
    PEERLATENCY: Final = 44
    STREAMID: Final = 46
    IPV6ONLY: Final = 54
    PEERIDLETIMEO: Final = 55


IN: Final = 1
OUT: Final = 4
ERR: Final = 8
"""What is waited for (SRT_EPOLL_OPT); an error always is."""

MESSAGE: Final = 1456
"""Bytes of the largest message in live mode (SRT_LIVE_MAX_PLSIZE)."""
MESSAGES: Final = 64
"""Taken of one socket before the next has its turn."""

EVENTS: Final = 256

_AGAIN: Final = frozenset({6001, 6002, 6003, 6004})
"""SRT_EASYNCSND, SRT_EASYNCRCV, SRT_ETIMEOUT, SRT_ECONGEST: not now."""
_ENABLE_EMPTY: Final = 1
_CRITICAL: Final = 2
"""What libsrt writes on standard error by itself (LOG_CRIT)."""
_FAILED: Final = -1
_INTERNAL: Final = 1500
"""SRT_REJX_ISE: an error in here."""

_CALLBACK: Final = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p
)
"""srt_listen_callback_fn."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What libsrt counted of one connection since it began: packets, milliseconds, Mb/s.

    ``retransmitted``: sent again, by us or, where we receive, by the other side. ``dropped``: given up as too late.
    ``buffered_ms``: what waits to be sent, or to be taken at its time.
    """

    rtt_ms: float
    sent: int
    received: int
    lost: int
    retransmitted: int
    dropped: int
    undecryptable: int
    sending_ms: int
    receiving_ms: int
    latency_ms: int
    bandwidth_mbps: float


class Library:
    """The calls. All may come from any thread. Raises `WireError` where libsrt says no."""

    def __init__(self, ffi: Any, functions: Any) -> None:
        self._ffi = ffi
        self._srt = functions

    # ------------------------------------------------------------ connections

    def create(self) -> int:
        """A socket whose calls do not wait."""
        sock = self._checked(self._srt.srt_create_socket())
        self.set_flag(sock, Option.SNDSYN, on=False)
        self.set_flag(sock, Option.RCVSYN, on=False)
        return sock

    def bind(self, sock: int, host: str, port: int) -> None:
        """Give it an address, which is a number."""
        name = _packed(host, port)
        self._checked(self._srt.srt_bind(sock, name, len(name)))

    def listen(self, sock: int, backlog: int, judge: Callable[[int, str, int, bytes], int]) -> object:
        """Listen. ``judge`` is asked about each caller (socket, host, port, stream id) in libsrt's thread.

        It returns 0, or the code of a refusal, and may set options of the socket; meanwhile nothing is received at this
        port. What this returns has to be kept as long as the socket.
        """

        def asked(_nothing: object, sock: int, _version: int, peer: int, stream_id: bytes | None) -> int:
            try:
                code = judge(sock, *_unpacked(ctypes.string_at(peer, _SOCKADDR)), stream_id or b"")
            except Exception:  # it is libsrt's thread, which can't take one
                log.exception("a caller is refused")
                code = _INTERNAL
            if code:
                self._srt.srt_setrejectreason(sock, code)
            return _FAILED if code else 0

        # By ctypes: that of cffi needs memory that is writable and executable, which hardened services are denied.
        callback = _CALLBACK(asked)
        address = self._ffi.cast("void*", ctypes.cast(callback, ctypes.c_void_p).value)
        self._checked(self._srt.srt_listen_callback(sock, address, self._ffi.NULL))
        self._checked(self._srt.srt_listen(sock, backlog))
        return callback

    def accept(self, sock: int) -> tuple[int, str, int] | None:
        """The next connection: its socket, and host and port of the other side; None: there is none now."""
        name, size = self._ffi.new("char[]", _SOCKADDR), self._ffi.new("int*", _SOCKADDR)
        accepted = int(self._srt.srt_accept(sock, name, size))
        if accepted == _FAILED:
            self._or_later()
            return None
        self.set_flag(accepted, Option.SNDSYN, on=False)
        self.set_flag(accepted, Option.RCVSYN, on=False)
        return accepted, *_unpacked(bytes(self._ffi.buffer(name, _SOCKADDR)))

    def connect(self, sock: int, host: str, port: int) -> None:
        """Begin to call; it is connected when it can be written to."""
        name = _packed(host, port)
        self._checked(self._srt.srt_connect(sock, name, len(name)))

    def close(self, sock: int) -> None:
        """The other side is told so, if it is there. What is not sent yet is not sent."""
        self._srt.srt_close(sock)

    def bound(self, sock: int) -> tuple[str, int]:
        """Its own host and port."""
        name, size = self._ffi.new("char[]", _SOCKADDR), self._ffi.new("int*", _SOCKADDR)
        self._checked(self._srt.srt_getsockname(sock, name, size))
        return _unpacked(bytes(self._ffi.buffer(name, _SOCKADDR)))

    def rejection(self, sock: int) -> int:
        """The code for which a call failed."""
        return int(self._srt.srt_getrejectreason(sock))

    # ---------------------------------------------------------------- options

    def set_number(self, sock: int, option: int, value: int) -> None:
        """An option that is a number of 32 bits."""
        self._checked(self._srt.srt_setsockflag(sock, option, self._ffi.new("int32_t*", value), 4))

    def set_flag(self, sock: int, option: int, *, on: bool) -> None:
        """One that is a bool."""
        self._checked(self._srt.srt_setsockflag(sock, option, self._ffi.new("bool*", on), 1))

    def set_bytes(self, sock: int, option: int, value: bytes) -> None:
        """One that is text."""
        self._checked(self._srt.srt_setsockflag(sock, option, value, len(value)))

    def number(self, sock: int, option: int) -> int:
        """The value of an option that is a number."""
        value, size = self._ffi.new("int32_t*"), self._ffi.new("int*", 4)
        self._checked(self._srt.srt_getsockflag(sock, option, value, size))
        return int(value[0])

    def text(self, sock: int, option: int) -> bytes:
        """The value of one that is text."""
        value, size = self._ffi.new("char[]", 1024), self._ffi.new("int*", 1024)
        self._checked(self._srt.srt_getsockflag(sock, option, value, size))
        return bytes(self._ffi.buffer(value, size[0]))

    # ------------------------------------------------------------------ media

    def send(self, sock: int, message: bytes) -> bool:
        """Queue one message of at most `MESSAGE` bytes; False: not now."""
        if self._srt.srt_sendmsg(sock, message, len(message), -1, 1) != _FAILED:
            return True
        self._or_later()
        return False

    def receive(self, sock: int, buffer: Any) -> bytes:
        """What came, some messages at once; empty: nothing now. ``buffer``: of `buffer`."""
        size = 0
        for _ in range(MESSAGES):
            got = self._srt.srt_recvmsg(sock, buffer + size, MESSAGE)
            if got == _FAILED:
                if not size:
                    self._or_later()
                break
            size += got
        return bytes(self._ffi.buffer(buffer, size))

    def buffer(self) -> Any:
        """Memory for `receive`, of one thread."""
        return self._ffi.new("char[]", MESSAGES * MESSAGE)

    def figures(self, sock: int) -> Figures:
        """What was counted."""
        found = self._ffi.new("SRT_TRACEBSTATS*")
        self._checked(self._srt.srt_bistats(sock, found, 0, 1))
        return Figures(
            rtt_ms=found.msRTT,
            sent=found.pktSentTotal,
            received=found.pktRecvTotal,
            lost=found.pktSndLossTotal + found.pktRcvLossTotal,
            retransmitted=found.pktRetransTotal + found.pktRcvRetrans,
            dropped=found.pktSndDropTotal + found.pktRcvDropTotal,
            undecryptable=found.pktRcvUndecryptTotal,
            sending_ms=found.msSndBuf,
            receiving_ms=found.msRcvBuf,
            latency_ms=max(found.msSndTsbPdDelay, found.msRcvTsbPdDelay),
            bandwidth_mbps=found.mbpsBandwidth,
        )

    # ------------------------------------------------------------------ epoll

    def poll(self) -> int:
        """Something to wait with for many sockets, of which there may be none at first."""
        poll = self._checked(self._srt.srt_epoll_create())
        self._srt.srt_epoll_set(poll, _ENABLE_EMPTY)
        return poll

    def watch(self, poll: int, sock: int, events: int, *, anew: bool = False) -> None:
        """Wait for these events of a socket; ``anew``: it was not waited for so far."""
        call = self._srt.srt_epoll_add_usock if anew else self._srt.srt_epoll_update_usock
        self._checked(call(poll, sock, self._ffi.new("int*", events)))

    def unwatch(self, poll: int, sock: int) -> None:
        """Wait for it no more."""
        self._srt.srt_epoll_remove_usock(poll, sock)

    def wait(self, poll: int, milliseconds: int) -> list[tuple[int, int]]:
        """Sockets and their events, `EVENTS` at most."""
        found = self._ffi.new("SRT_EPOLL_EVENT[]", EVENTS)
        count = int(self._srt.srt_epoll_uwait(poll, found, EVENTS, milliseconds))
        return [(found[place].fd, found[place].events) for place in range(min(count, EVENTS))]

    def release(self, poll: int) -> None:
        """No more waiting."""
        self._srt.srt_epoll_release(poll)

    def cleanup(self) -> None:
        """The last call: whatever is still open is closed, and libsrt's threads end."""
        self._srt.srt_cleanup()

    # ----------------------------------------------------------------- errors

    def _checked(self, result: int) -> int:
        if result == _FAILED:
            raise self._error()
        return int(result)

    def _or_later(self) -> None:
        if self._srt.srt_getlasterror(self._ffi.NULL) not in _AGAIN:
            raise self._error()

    def _error(self) -> WireError:
        problem = self._ffi.string(self._srt.srt_getlasterror_str()).decode("utf-8", "replace")
        return WireError("SRT", problem.strip().rstrip(".").lower())


def load() -> Library:
    """Load and start libsrt.

    Raises:
        WireError: it is not there, or cffi is not; says what to install.
    """
    try:
        from cffi import FFI  # noqa: PLC0415 - comes with an extra that all else does without
    except ImportError:
        raise WireError("SRT", f"the package cffi is not there: {HOW_TO_CFFI}") from None
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    for name in NAMES:
        try:
            functions = ffi.dlopen(name)
        except OSError:
            continue
        functions.srt_startup()
        functions.srt_setloglevel(_CRITICAL)
        return Library(ffi, functions)
    raise WireError("SRT", f"libsrt is not there: {HOW_TO}")


# -------------------------------------------------------------------- addresses

_SOCKADDR: Final = 28
"""Bytes of a sockaddr_in6, the longer one."""


def _packed(host: str, port: int) -> bytes:
    """A sockaddr of an address in numbers."""
    if ":" not in host:
        return struct.pack("@H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_aton(host))
    host, _, scope = host.partition("%")
    index = socket.if_nametoindex(scope) if scope else 0
    name = struct.pack("@H", socket.AF_INET6) + struct.pack("!HI16s", port, 0, socket.inet_pton(socket.AF_INET6, host))
    return name + struct.pack("@I", index)


def _unpacked(name: bytes) -> tuple[str, int]:
    """Host and port of a sockaddr; an IPv4 address that came through IPv6 is one of IPv4."""
    family, port = *struct.unpack_from("@H", name), *struct.unpack_from("!H", name, 2)
    if family == socket.AF_INET:
        return socket.inet_ntoa(name[4:8]), port
    found = ipaddress.IPv6Address(name[8:24])
    return str(found.ipv4_mapped or found), port

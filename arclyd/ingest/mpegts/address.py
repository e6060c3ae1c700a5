"""Where transport streams come from or go to: ``udp://``, ``tcp://`` and ``http://`` URLs."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from arclyd.errors import WireError

SCHEMES: Final = ("udp", "tcp", "http")

_KNOWN: Final = {"udp": {"program", "interface", "source", "ttl"}, "tcp": {"program"}, "http": set[str]()}


@dataclass(frozen=True, slots=True)
class Address:
    """One of these URLs.

    ``program``: of several. For multicast: ``interface`` (a name), ``source`` (of SSM), ``ttl`` (hops).
    """

    scheme: str
    host: str
    port: int
    program: int | None = None
    interface: str = ""
    source: str = ""
    ttl: int = 1

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL.

        Raises:
            WireError: it is none of these.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise WireError("MPEG-TS", f"{url!r}: {error}") from None
        if parts.scheme not in SCHEMES or port is None or parts.path.strip("/"):
            raise WireError("MPEG-TS", f"{url!r} is none of {', '.join(f'{name}://HOST:PORT' for name in SCHEMES)}")
        query = dict(parse_qsl(parts.query))
        unknown = query.keys() - _KNOWN[parts.scheme]
        if unknown:
            raise WireError("MPEG-TS", f"{url!r}: {parts.scheme}:// has no {', '.join(sorted(unknown))}")
        for name in ("program", "ttl"):
            if name in query and not (query[name].isascii() and query[name].isdigit()):
                raise WireError("MPEG-TS", f"{url!r}: {name} is a number")
        return cls(
            parts.scheme,
            (parts.hostname or "").lstrip("@"),
            port,
            int(query["program"]) if "program" in query else None,
            query.get("interface", ""),
            query.get("source", ""),
            min(int(query.get("ttl", "1")), 255),
        )


def _resolved(address: Address, *, passive: bool) -> tuple[socket.AddressFamily, tuple[str, int]]:
    flags = socket.AI_PASSIVE if passive else 0
    try:
        found = socket.getaddrinfo(address.host or None, address.port, type=socket.SOCK_DGRAM, flags=flags)
    except OSError as error:
        raise WireError("MPEG-TS", f"{address.host}: {error.strerror or error}") from error
    family, _, _, _, where = found[0]
    return family, (str(where[0]), int(where[1]))


def _is_multicast(host: str) -> bool:
    return ipaddress.ip_address(host.partition("%")[0]).is_multicast


def _interface(address: Address) -> int:
    if not address.interface:
        return 0
    try:
        return socket.if_nametoindex(address.interface)
    except OSError as error:
        raise WireError("MPEG-TS", f"no interface {address.interface!r}") from error


RECEIVE_BUFFER: Final = 4 << 20
"""Bytes the kernel may hold for us: a third of a second at 100 Mb/s."""

_SO_RCVBUFFORCE: Final = 33
"""asm-generic/socket.h; the socket module does not name it."""

_MCAST_JOIN_SOURCE_GROUP: Final = 46
"""linux/in.h; the socket module does not name it. Takes a group_source_req (RFC 3678, 5.1.2)."""


def _storage(host: str) -> bytes:
    """A sockaddr_storage of 128 bytes with an IPv4 address."""
    return struct.pack("@H2x4s120x", socket.AF_INET, socket.inet_aton(host))


def open_receiver(address: Address) -> socket.socket:
    """A datagram socket that hears what is sent to ``address``, a group's member where that is multicast.

    Raises:
        WireError, OSError: it can't be had.
    """
    family, (host, port) = _resolved(address, passive=True)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        _enlarge(sock)
        sock.setblocking(False)
        if _is_multicast(host):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # others may listen to the same group
            index = _interface(address)
            sock.bind((host, port, 0, index) if family == socket.AF_INET6 else (host, port))
            _join(sock, family, host, address)
        else:
            sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _enlarge(sock: socket.socket) -> None:
    """Past the kernel's bound where this process may (CAP_NET_ADMIN), else up to it (net.core.rmem_max)."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)


def _join(sock: socket.socket, family: socket.AddressFamily, host: str, address: Address) -> None:
    index = _interface(address)
    if family == socket.AF_INET6:
        group = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("@I", index))
    elif address.source:
        request = struct.pack("@I4x", index) + _storage(host) + _storage(address.source)
        sock.setsockopt(socket.IPPROTO_IP, _MCAST_JOIN_SOURCE_GROUP, request)
    else:
        request = struct.pack("=4s4si", socket.inet_aton(host), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


def open_sender(address: Address) -> socket.socket:
    """A datagram socket connected to ``address``.

    Raises:
        WireError: it can't be had, or the network is not there.
    """
    family, (host, port) = _resolved(address, passive=False)
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if _is_multicast(host):
            index = _interface(address)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, address.ttl)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, address.ttl)
                request = struct.pack("=4s4si", bytes(4), bytes(4), index)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
        sock.connect((host, port))
    except OSError as error:
        sock.close()
        raise WireError("MPEG-TS", f"{address}: {error.strerror or error}") from error
    except WireError:
        sock.close()
        raise
    return sock

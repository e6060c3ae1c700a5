"""UDP for all connections of a process: one port, an address at a time, shared by the name each gives itself in ICE.

aioice opens a socket for each connection. Here a connection gets a transport that is a view of a shared one: a check
(RFC 8445, 7) that names it, and proves that it knows the password, ties the sender's address to it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, cast

from aioice import ice, stun
from aioice.candidate import Candidate, candidate_foundation, candidate_priority

from arclyd.serving import host_port

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    Address = tuple[str, int]

log: Final = logging.getLogger(__name__)

LOOPBACK: Final = ("127.0.0.1", "::1")
BUFFER: Final = 1 << 20
"""Bytes the kernel may keep each way: a keyframe for every viewer."""

UNSENT: Final = 1 << 20
"""Bytes that may wait in this process where the kernel takes no more; then datagrams are lost, as on any network."""

MOST_ADDRESSES: Final = 32
"""Senders one connection may have: its candidates, each behind a network that changes their ports now and then."""

_STUN: Final = range(4)
"""First byte of a STUN message (RFC 7983, 7)."""


class _View(asyncio.DatagramTransport):
    """The shared socket as one connection has it."""

    def __init__(self, shared: _Socket, protocol: ice.StunProtocol) -> None:
        super().__init__()
        self._shared = shared
        self._protocol = protocol
        self._closing = False
        self.addresses: set[Address] = set()
        protocol.connection_made(self)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._shared.transport.get_extra_info(name, default)

    def sendto(self, data: bytes, addr: Address | None = None) -> None:  # type: ignore[override] # never without one
        if addr is not None:
            self._shared.send(data, addr)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._shared.forget(self._protocol, self)
            self._protocol.connection_lost(None)

    def abort(self) -> None:
        self.close()


class _Socket(asyncio.DatagramProtocol):
    """One address."""

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport
        self._unsent: Callable[[], int]
        self.lost = 0
        self._named: dict[str, ice.StunProtocol] = {}
        self._views: dict[ice.StunProtocol, _View] = {}
        self._of: dict[Address, ice.StunProtocol] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self._unsent = getattr(transport, "get_write_buffer_size", int)  # asyncio has it, others may not
        connection = transport.get_extra_info("socket")
        for name in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            connection.setsockopt(socket.SOL_SOCKET, name, BUFFER)

    def view(self, connection: ice.Connection) -> ice.StunProtocol:
        """What ``connection`` sends and receives by."""
        protocol = ice.StunProtocol(connection)
        self._views[protocol] = _View(self, protocol)
        self._named[connection.local_username] = protocol
        return protocol

    def forget(self, protocol: ice.StunProtocol, view: _View) -> None:
        """The connection is over."""
        self._views.pop(protocol, None)
        self._named.pop(protocol.receiver.local_username, None)
        for address in view.addresses:
            self._of.pop(address, None)

    def send(self, data: bytes, address: Address) -> None:
        if self.transport.is_closing() or self._unsent() > UNSENT:
            self.lost += 1
        else:
            self.transport.sendto(data, address)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        address, data = (addr[0], addr[1]), cast("bytes", data)
        protocol = self._of.get(address)
        if data[:1] and data[0] in _STUN:
            protocol = self._checked(data, address) or protocol
            if protocol is not None:
                protocol.datagram_received(data, address)
        elif protocol is not None:
            protocol.receiver.data_received(data, 1)

    def error_received(self, exc: Exception) -> None:
        """Somebody's port is closed, which ICE finds out by itself."""

    def _checked(self, data: bytes, address: Address) -> ice.StunProtocol | None:
        """Whose a STUN message is; a check that proves its sender ties the address to a connection."""
        try:
            message = stun.parse_message(data)
        except Exception:  # aioice raises whatever its parsing meets
            return None
        if message.message_class != stun.Class.REQUEST:
            known = (one for one in self._views if message.transaction_id in one.transactions)
            return next(known, None)
        protocol = self._named.get(str(message.attributes.get("USERNAME", "")).partition(":")[0])
        if protocol is None or "MESSAGE-INTEGRITY" not in message.attributes:
            return None
        if not message.check_message_integrity(protocol.receiver.local_password.encode()):
            return None
        view = self._views[protocol]
        if address not in view.addresses and len(view.addresses) < MOST_ADDRESSES:
            before = self._of.get(address)
            if before is not None:
                self._views[before].addresses.discard(address)
            view.addresses.add(address)
            self._of[address] = protocol
        return protocol


class SharedSockets:
    """The sockets of a process.

    Args:
        host: address to use; None: all there are.
        port: of each; 0: any.
        public: addresses by which this host is reached from elsewhere, which stand for those it has.
    """

    def __init__(self, host: str | None, port: int, public: Sequence[str]) -> None:
        self._host = host
        self._port = port
        self._public = tuple(public)
        self._sockets: dict[str, _Socket] = {}
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Open what can be opened now. Raises `OSError`: nothing can."""
        problem = await self._open_new()
        if not self._sockets:
            raise problem or OSError(errno.EADDRNOTAVAIL, "this host has no address")
        log.info("media by UDP on %s", ", ".join(host_port(*self._name(each)) for each in self._sockets.values()))

    def close(self) -> None:
        """No more datagrams."""
        for each in self._sockets.values():
            each.transport.close()

    @staticmethod
    def _name(each: _Socket) -> Address:
        name = each.transport.get_extra_info("sockname")
        return name[0], name[1]

    async def _open_new(self) -> OSError | None:
        """Addresses come and go; those that are new get a socket. What could not be opened."""
        problem = None
        addresses = [self._host] if self._host else [*LOOPBACK, *ice.get_host_addresses(use_ipv4=True, use_ipv6=True)]
        async with self._opening:
            for address in addresses:
                if address in self._sockets:
                    continue
                try:
                    _, each = await asyncio.get_running_loop().create_datagram_endpoint(
                        _Socket, local_addr=(address, self._port)
                    )
                except OSError as error:
                    problem = error
                else:
                    self._sockets[address] = each
        return problem

    async def candidates(
        self, connection: ice.Connection, *, local: bool, component: int, addresses: object, timeout: int = 5
    ) -> list[Candidate]:
        """As aioice's ``get_component_candidates``, which this stands for; ``local``: the loopback addresses too."""
        del addresses
        await self._open_new()
        found: list[Candidate] = []
        for address, each in self._sockets.items():
            if ip_address(address).is_loopback and not (local or self._host):
                continue
            protocol = each.view(connection)
            _, port = self._name(each)
            protocol.local_candidate = _candidate(component, address, port)
            connection._protocols.append(protocol)
            found.append(protocol.local_candidate)
        port = found[0].port if found else self._port
        shown = [_candidate(component, address, port) for address in self._public]
        return [*shown, *found, *await _asked(connection, component, timeout)]


async def _asked(connection: ice.Connection, component: int, timeout: int) -> list[Candidate]:
    """What STUN and TURN servers give, where there are some."""
    asking: list[Coroutine[None, None, list[Candidate]]] = []
    if connection.stun_server is not None:
        asking += [
            _reflexive(protocol, connection.stun_server)
            for protocol in connection._protocols
            if ip_address(protocol.local_candidate.host).version == 4
        ]
    if connection.turn_server is not None:
        asking.append(ice.Connection.get_component_candidates(connection, component, [], timeout))
    try:
        async with asyncio.timeout(timeout):
            answers = await asyncio.gather(*asking, return_exceptions=True)
    except TimeoutError:
        log.warning("a STUN or TURN server did not answer in %d s", timeout)
        return []
    return [candidate for answer in answers if isinstance(answer, list) for candidate in answer]


async def _reflexive(protocol: ice.StunProtocol, server: Address) -> list[Candidate]:
    candidate, _ = await ice.server_reflexive_candidate(protocol, server)
    return [candidate]


def _candidate(component: int, address: str, port: int) -> Candidate:
    return Candidate(
        foundation=candidate_foundation("host", "udp", address),
        component=component,
        transport="udp",
        priority=candidate_priority(component, "host"),
        host=address,
        port=port,
        type="host",
    )

"""Who may do what: the one place that decides it, for publishing and playing alike."""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Final, Protocol

from arclyd.errors import Unauthorized

_UCRED: Final = struct.Struct("3i")
_SO_PEERGROUPS: Final = 59
"""asm-generic/socket.h; the socket module does not name it."""
_MOST: Final = 1024
"""Bytes, four a group: the longest answer that `socket.getsockopt` takes (it refuses to ask for more)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A process on the other end of a control connection, as the kernel knows it."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()


class Authorizer(Protocol):
    """Decides whether ``peer`` may do ``action`` (publish, play, look, steer) to ``subject``; raises `Unauthorized`."""

    def authorize(self, peer: Peer, action: str, subject: str) -> None:
        """Return, or raise `Unauthorized`."""


@dataclass(frozen=True, slots=True)
class OwnerAndGroup:
    """The user the daemon runs as, root, and members of the daemon's group may do everything; others nothing."""

    uid: int
    gid: int

    @staticmethod
    def of_this_process() -> OwnerAndGroup:
        """The rule for the user and group this process runs as."""
        return OwnerAndGroup(os.geteuid(), os.getegid())

    def authorize(self, peer: Peer, action: str, subject: str) -> None:
        """Return, or raise `Unauthorized`."""
        if peer.uid in (0, self.uid) or self.gid == peer.gid or self.gid in peer.groups:
            return
        raise Unauthorized(action, subject, f"uid {peer.uid} is neither the service's user nor in its group")


def peer_of(sock: socket.socket) -> Peer:
    """Credentials of the process that connected, from the kernel (SO_PEERCRED, SO_PEERGROUPS)."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST)
    except OSError:  # a peer in more groups than that: its primary one counts
        raw = b""
    groups = frozenset(gid for (gid,) in struct.iter_unpack("I", raw))
    return Peer(pid, uid, gid, groups)

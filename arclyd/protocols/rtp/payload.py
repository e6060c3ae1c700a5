"""What comes out of a source's packets, and what goes into them; each codec's way is a module beside this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from arclyd.protocols.rtp.packet import RtpPacket

MOST_PAYLOAD: Final = 1280
"""Bytes of a payload that is made here: with RTP, its extensions, SRTP, UDP and IPv6 around it, it fits what tunnels
leave of 1,500."""

MOST_UNIT: Final = 8 << 20
"""Bytes of an access unit that is put together."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One canonical payload. ``timestamp``: as in the packets, modulo 2**32; ``duration`` in its ticks, None: not said.

    ``corrupt``: bytes of it are missing, or may be.
    """

    payload: bytes
    timestamp: int
    keyframe: bool = True
    corrupt: bool = False
    duration: int | None = None


class Depacketizer(Protocol):
    """Makes access units of one source's packets, and learns from them what the track has to be declared with."""

    @property
    def config(self) -> bytes:
        """The configuration in force; empty while it is not known, or where the codec has none."""

    @property
    def shape(self) -> tuple[int, int]:
        """Width and height, or sample rate in Hz and channels; (0, 0) where they are not known apart from `config`."""

    @property
    def reorder(self) -> int | None:
        """Pictures that may be decoded before one that is shown earlier; None: not said."""

    @property
    def ready(self) -> bool:
        """All that has to be declared is known."""

    def push(self, packet: RtpPacket, *, lost: bool) -> Iterator[AccessUnit]:
        """The next packet; ``lost``: some before it are missing.

        Raises:
            MediaError: it can't be made sense of; what it belongs to is left out.
        """


class Piece(NamedTuple):
    """The payload of a packet to be sent; ``offset``: ticks behind the access unit's time."""

    payload: bytes
    marker: bool
    offset: int = 0


class Packetizer(Protocol):
    """Makes packets' payloads of access units."""

    def configure(self, config: bytes) -> None:
        """Another configuration is in force."""

    def pack(self, payload: Buffer, *, keyframe: bool) -> Iterator[Piece]:
        """The payloads of one access unit. Raises `MediaError`: it is none."""


def pieces(data: memoryview, size: int) -> Iterator[memoryview]:
    """``data`` cut into pieces of at most ``size`` bytes."""
    for at in range(0, len(data), size):
        yield data[at : at + size]

"""An RTP packet (RFC 3550, 5.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from typing_extensions import Buffer

SEQUENCES: Final = 1 << 16
TIMESTAMPS: Final = 1 << 32

_HEAD: Final = struct.Struct(">BBHII")
_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet; ``payload`` without padding. ``extension``: its profile's number and its words, or None."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None

    @classmethod
    def parse(cls, data: Buffer) -> RtpPacket:
        """Read a packet.

        Raises:
            WireError: it is none, or cut off.
        """
        view = memoryview(data)
        if len(view) < _HEAD.size:
            raise WireError("RTP", f"a packet of {len(view)} bytes")
        first, second, sequence, timestamp, ssrc = _HEAD.unpack_from(view)
        if first >> 6 != _VERSION:
            raise WireError("RTP", f"version {first >> 6}")
        at = _HEAD.size + 4 * (first & 15)
        end = len(view)
        csrcs: tuple[int, ...] = ()
        extension = None
        if first & 15 and at <= end:
            csrcs = struct.unpack_from(f">{first & 15}I", view, _HEAD.size)
        if first & 0x10 and at + 4 <= end:
            profile, words = struct.unpack_from(">HH", view, at)
            extension = profile, bytes(view[at + 4 : at + 4 + 4 * words])
            at += 4 + 4 * words
        if first & 0x20:
            end -= view[-1] or len(view)
        if at > end:
            raise WireError("RTP", "a packet that ends within its header")
        return cls(second & 0x7F, sequence, timestamp, ssrc, bytes(view[at:end]), bool(second & 0x80), csrcs, extension)

    def serialize(self) -> bytes:
        """The packet as it is sent."""
        first = _VERSION << 6 | bool(self.extension) << 4 | len(self.csrcs)
        second = self.marker << 7 | self.payload_type
        head = _HEAD.pack(first, second, self.sequence, self.timestamp, self.ssrc)
        if not self.csrcs and self.extension is None:
            return head + self.payload
        more = b"".join(csrc.to_bytes(4, "big") for csrc in self.csrcs)
        if self.extension is not None:
            profile, words = self.extension
            more += struct.pack(">HH", profile, len(words) // 4) + words
        return head + more + self.payload


def distance(one: int, other: int) -> int:
    """How many sequence numbers ``one`` lies behind ``other`` (negative: before it), the shorter way around."""
    return ((one - other + SEQUENCES // 2) % SEQUENCES) - SEQUENCES // 2

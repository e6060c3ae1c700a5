"""Pieces of MPEG-TS, each muxed without the others, as one stream: the continuity counters go on (13818-1, 2.4.3.3)."""

from __future__ import annotations

from typing import Final

from arclyd.errors import MediaError

PACKET: Final = 188
_SYNC: Final = 0x47
_HAS_PAYLOAD: Final = 0x10


class JoinedTransport:
    """Numbers the packets of each PID on from piece to piece."""

    def __init__(self) -> None:
        self._counters: dict[int, int] = {}

    def join(self, piece: bytes) -> bytes:
        """The next piece, to be sent after those before.

        Raises:
            MediaError: it is not made of whole packets.
        """
        data = bytearray(piece)
        if len(data) % PACKET or any(data[at] != _SYNC for at in range(0, len(data), PACKET)):
            raise MediaError("MPEG-TS", "a piece that is not made of whole packets")
        for at in range(0, len(data), PACKET):
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            counter = self._counters.get(pid, 15)
            if data[at + 3] & _HAS_PAYLOAD:
                counter = self._counters[pid] = (counter + 1) & 15
            data[at + 3] = data[at + 3] & 0xF0 | counter
        return bytes(data)

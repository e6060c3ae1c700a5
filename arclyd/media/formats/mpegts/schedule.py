"""When the packets of a transport stream are due, by the clock that it carries. Pure, time is an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.media.formats.mpegts.demuxer import PACKET

if TYPE_CHECKING:
    from collections.abc import Iterator

DATAGRAM: Final = 7 * PACKET
"""Bytes of a datagram that passes an Ethernet whole, as every receiver takes them."""

MAX_STEP: Final = 27_000_000 // 2
"""Ticks between two values of the clock; more is another clock (the standard allows 0.1 s, 2.7.2)."""
MAX_WAITING: Final = 4 << 20
"""Bytes that wait for the next value of the clock; more go out at once."""
MAX_BEHIND_NS: Final = 1_000_000_000
"""One that is further behind goes on from now, since a burst would only be lost on the way."""

_NS_PER_TICK: Final = 1000 / 27


@dataclass(frozen=True, slots=True)
class Due:
    """A datagram, and when to send it: monotonic clock, ns."""

    at_ns: int
    data: bytes


class Schedule:
    """Spreads packets evenly between two values of the clock; the first is due when the second is known."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._size = 0
        self._rest = b""
        self._clock: int | None = None
        self._due_ns = 0

    def push(self, data: bytes, now_ns: int) -> Iterator[Due]:
        """The next bytes of the stream, whole packets; gives the datagrams whose time is known now, in order."""
        for at in range(0, len(data), PACKET):
            packet = data[at : at + PACKET]
            clock = _clock_of(packet)
            if clock is not None:
                yield from self._tick(clock, now_ns)
            self._waiting.append(packet)
            self._size += len(packet)
        if self._size > MAX_WAITING:
            yield from self._release(now_ns, 0)

    def flush(self, now_ns: int) -> Iterator[Due]:
        """The stream is over, or begins anew: gives what waits."""
        yield from self._release(max(now_ns, self._due_ns), 0)
        if self._rest:
            yield Due(max(now_ns, self._due_ns), self._rest)
        self._rest, self._clock = b"", None

    def _tick(self, clock: int, now_ns: int) -> Iterator[Due]:
        before, self._clock = self._clock, clock
        step = None if before is None else clock - before
        if step is None or not 0 <= step <= MAX_STEP:
            yield from self._release(max(now_ns, self._due_ns), 0)
            self._due_ns = now_ns
            return
        if now_ns - self._due_ns > MAX_BEHIND_NS:
            self._due_ns = now_ns
        yield from self._release(self._due_ns, round(step * _NS_PER_TICK))
        self._due_ns += round(step * _NS_PER_TICK)

    def _release(self, start_ns: int, length_ns: int) -> Iterator[Due]:
        waiting, self._waiting, self._size = self._waiting, [], 0
        for place, packet in enumerate(waiting):
            self._rest += packet
            if len(self._rest) >= DATAGRAM:
                yield Due(start_ns + length_ns * place // len(waiting), self._rest)
                self._rest = b""


def _clock_of(packet: bytes) -> int | None:
    """The program's clock in a packet, 27 MHz (13818-1, 2.4.3.5)."""
    if not packet[3] & 0x20 or packet[4] < 7 or not packet[5] & 0x10:
        return None
    field = int.from_bytes(packet[6:12], "big")
    return (field >> 15) * 300 + (field & 0x1FF)

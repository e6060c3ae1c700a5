"""Packets in the order they were sent in: late ones are waited for, within bounds, and missing ones are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from arclyd.protocols.rtp.packet import SEQUENCES, RtpPacket, distance

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS: Final = 0.2
"""For a packet that others have overtaken."""

WAIT_PACKETS: Final = 512
"""That may have overtaken one: at a megabit and a half 4 seconds, at 20 Mbit/s a third of one."""

MOST_BYTES: Final = 4 << 20

RESTART: Final = 3000
"""A step of the numbers larger than that is another sequence, not a loss (RFC 3550, A.1, MAX_DROPOUT)."""


class Ordered(NamedTuple):
    """A packet in its place, and how many are missing right before it; ``restarted``: its sequence is another one."""

    packet: RtpPacket
    missing: int
    restarted: bool = False


class ReorderBuffer:
    """Puts the packets of one source in order. Where they come in order, none waits.

    Args:
        wait: seconds for a packet that others have overtaken; 0: none is (what carries them keeps the order).
    """

    def __init__(self, wait: float = WAIT_SECONDS) -> None:
        self._wait = wait
        self._next: int | None = None
        self._early: dict[int, RtpPacket] = {}
        self._since = 0.0
        self._strange: RtpPacket | None = None
        self.held = 0
        """Bytes that wait."""
        self.lost = 0
        """Packets that were given up."""
        self.late = 0
        """Packets that came when they had been given up, or a second time."""
        self.reordered = 0
        """Packets that came late, but in time."""

    def push(self, packet: RtpPacket, now: float) -> Iterator[Ordered]:
        """One packet that came at ``now`` (seconds); gives those whose turn it is."""
        if self._next is None:
            self._next = packet.sequence
        ahead = distance(packet.sequence, self._next)
        if abs(ahead) > RESTART:
            yield from self._far(packet)
            return
        self._strange = None
        if ahead < 0 or packet.sequence in self._early:
            self.late += 1
            return
        if ahead == 0:
            self.reordered += bool(self._early)
            yield Ordered(packet, 0)
            self._next = (packet.sequence + 1) % SEQUENCES
            yield from self._in_turn()
        else:
            if not self._early:
                self._since = now
            self._early[packet.sequence] = packet
            self.held += len(packet.payload)
        yield from self.expire(now)

    def expire(self, now: float) -> Iterator[Ordered]:
        """Those whose turn it is at ``now``, since what was before them is given up."""
        while self._early and (
            now - self._since >= self._wait or len(self._early) >= WAIT_PACKETS or self.held >= MOST_BYTES
        ):
            yield from self._give_up()
            self._since = now

    def flush(self) -> Iterator[Ordered]:
        """All that wait: no more will come."""
        while self._early:
            yield from self._give_up()

    def _give_up(self) -> Iterator[Ordered]:
        """Go on behind the gap."""
        assert self._next is not None
        before = self._next
        first = min(self._early, key=lambda sequence: distance(sequence, before))
        missing = distance(first, before)
        self.lost += missing
        self._next = (first + 1) % SEQUENCES
        yield Ordered(self._take(first), missing)
        yield from self._in_turn()

    def _in_turn(self) -> Iterator[Ordered]:
        assert self._next is not None
        while self._next in self._early:
            packet = self._take(self._next)
            self._next = (self._next + 1) % SEQUENCES
            yield Ordered(packet, 0)

    def _take(self, sequence: int) -> RtpPacket:
        packet = self._early.pop(sequence)
        self.held -= len(packet.payload)
        return packet

    def _far(self, packet: RtpPacket) -> Iterator[Ordered]:
        """One that is far from the others begins a new sequence if the next one goes on with it (A.1)."""
        before, self._strange = self._strange, packet
        if before is None or distance(packet.sequence, before.sequence) != 1:
            self.late += before is not None
            return
        yield from self.flush()
        self._strange = None
        self._next = (packet.sequence + 1) % SEQUENCES
        yield Ordered(before, 0, restarted=True)
        yield Ordered(packet, 0)

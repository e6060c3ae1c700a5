"""What a receiver reports of a source: how much came, how much is missing, how evenly (RFC 3550, 6.4 and A)."""

from __future__ import annotations

from arclyd.protocols.rtp.packet import SEQUENCES, TIMESTAMPS, RtpPacket, distance
from arclyd.protocols.rtp.rtcp import ReportBlock, SenderReport


class Statistics:
    """Counts the packets of one source; ``rate``: of its timestamps, a second."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._begin(0, None)

    def _begin(self, ssrc: int, sequence: int | None) -> None:
        self._ssrc = ssrc
        self._first = sequence
        self._highest = sequence or 0
        self._received = 0
        self._expected_before = self._received_before = 0
        self._transit: float | None = None
        self._jitter = 0.0
        self._report: tuple[int, float] | None = None

    @property
    def received(self) -> int:
        """Packets that came."""
        return self._received

    def packet(self, packet: RtpPacket, now: float) -> None:
        """One came at ``now`` (seconds)."""
        if self._first is None or packet.ssrc != self._ssrc:
            self._begin(packet.ssrc, packet.sequence)
        self._received += 1
        ahead = distance(packet.sequence, self._highest % SEQUENCES)
        if ahead > 0:
            self._highest += ahead
        transit = now * self._rate - packet.timestamp
        if self._transit is not None:
            moved = abs((transit - self._transit + TIMESTAMPS / 2) % TIMESTAMPS - TIMESTAMPS / 2)
            self._jitter += (moved - self._jitter) / 16  # A.8
        self._transit = transit

    def sender_report(self, report: SenderReport, now: float) -> None:
        """The source said what time it is."""
        self._report = (report.ntp >> 16 & 0xFFFF_FFFF, now)

    def block(self, now: float) -> ReportBlock | None:
        """What there is to report; None: nothing came."""
        if self._first is None:
            return None
        expected = self._highest - self._first + 1
        interval = expected - self._expected_before
        lost = interval - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        last, at = self._report or (0, now)
        return ReportBlock(
            self._ssrc,
            max(0, min(255, (lost << 8) // interval)) if interval else 0,
            expected - self._received,
            self._highest & 0xFFFF_FFFF,
            int(self._jitter) & 0xFFFF_FFFF,
            last,
            int((now - at) * 65536) & 0xFFFF_FFFF,
        )

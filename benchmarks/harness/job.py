"""What one run does, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Job:
    """One point of a benchmark: a transport, frames of one size, so many subscribers.

    ``rate``: frames a second, 0 for as fast as it goes. The run ends after ``frames`` or ``seconds``, whichever
    is first. ``costs``, ``latencies``: keep what each frame took.
    """

    transport: str
    size: int
    subscribers: int
    seconds: float = 0.3
    frames: int = 1 << 40
    rate: float = 0.0
    latencies: bool = False
    costs: bool = False
    ring_bytes: int = 32 * MIB

    @property
    def window(self) -> int:
        """How many frames the slowest subscriber may be behind: 4 MiB of them, at least 4, at most 1,024.

        A transport must be able to hold as many; each is set up so that it is, and a small ring to three quarters.
        """
        return max(4, min(1024, min(4 * MIB, self.ring_bytes * 3 // 4) // self.size))

    @property
    def stride(self) -> int:
        """After how many frames a subscriber notes its progress."""
        return max(1, self.window // 8)

    @property
    def warmup(self) -> int:
        """Frames before the clock starts: as many as fill the transport's memory once, in whole strides."""
        if self.rate:
            return 2 * self.stride
        full = max(2 * self.window, min(4 * self.window, self.ring_bytes // max(self.size, 1024)))
        return max(1, full // self.stride) * self.stride


@dataclass(frozen=True, slots=True)
class Result:
    """A run in which every subscriber received every frame, whole and in order."""

    job: Job
    frames: int
    seconds: float
    """From the first frame's start until the slowest subscriber had the last one (without one: until it was sent)."""
    publish_seconds: float
    publisher_cpu: float
    subscribers_cpu: tuple[float, ...]
    daemon_cpu: float = 0.0
    latencies_ns: tuple[bytes, ...] = ()
    """Of each subscriber, one uint32 a frame."""
    costs_ns: bytes = b""

    @property
    def rate(self) -> float:
        """Frames a second that every subscriber got."""
        return self.frames / self.seconds

    @property
    def cpu_per_million(self) -> float:
        """Processor seconds of all processes for a million frames."""
        return 1e6 * (self.publisher_cpu + sum(self.subscribers_cpu) + self.daemon_cpu) / self.frames


class RunFailed(Exception):
    """A run that lost, reordered or damaged a frame, or did not end: no figure comes of it."""

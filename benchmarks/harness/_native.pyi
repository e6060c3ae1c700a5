"""The harness's hot halves, in C: what a run's processes share, and one call a frame."""

from collections.abc import Iterator
from typing import Final, final

from typing_extensions import Buffer

STATE_ATTACHED: Final[int]
STATE_DONE: Final[int]

def board_size(subscribers: int, /) -> int:
    """Bytes of a board for so many subscribers."""

def clear_board(board: Buffer, /) -> None:
    """Make the memory a board on which nothing has happened."""

def read_board(board: Buffer, subscribers: int, /) -> tuple[int, int, int, int, list[tuple[int, int, int, int]]]:
    """(start_ns, end_ns, cpu_ns, frames) of the publisher, (state, received, done_ns, cpu_ns) of each subscriber."""

@final
class Gate(Iterator[memoryview]):
    """Lets a publisher's loop go on while the slowest subscriber is less than ``window`` frames behind.

    Yields ``source`` for each frame, with its number in its first 8 bytes and, if ``stamps``, the monotonic time in
    the next 8. After ``warmup`` frames, received by all, the clock starts; the run ends after ``frames`` more, or
    ``seconds``. ``rate``: frames a second, 0 for as fast as it goes. ``costs``: for how many frames to keep what the
    transport took.
    """

    source: memoryview
    def __init__(
        self,
        board: Buffer,
        *,
        subscribers: int,
        source: Buffer,
        window: int,
        stride: int,
        warmup: int,
        frames: int,
        seconds: float,
        rate: float,
        stamps: bool,
        costs: int,
    ) -> None: ...
    def __next__(self) -> memoryview: ...
    def costs(self) -> bytes:
        """What each frame cost the publisher, as uint32 ns."""

@final
class Check:
    """Called with each frame received: reads a word of each 64 bytes, and checks size and number.

    True while more are to come, False at the last; `ValueError` where one is missing, or of the wrong size.
    """

    def __init__(
        self,
        board: Buffer,
        *,
        subscribers: int,
        index: int,
        size: int,
        stride: int,
        warmup: int,
        latencies: int,
    ) -> None: ...
    def __call__(self, frame: Buffer, /) -> bool: ...
    def at(self, address: int, size: int, /) -> bool:
        """As calling, for a frame given as address and size."""
    def attached(self) -> None:
        """This subscriber's transport is set up."""
    def latencies(self) -> bytes:
        """Publish to here of each frame, as uint32 ns."""

def core_publish(fd: int, gate: Gate, /) -> None:
    """The C core's writer on the region ``fd``, in a loop without Python."""

def core_read(fd: int, check: Check, copying: bool, spin_ns: int, /) -> None:
    """The C core's reader on the region ``fd``, in a loop without Python."""

def copy_around(mapping: Buffer, gate: Gate, /) -> None:
    """memcpy alone into consecutive places of ``mapping``, in a loop without Python."""

def wake_nobody(rounds: int, /) -> bytes:
    """FUTEX_WAKE with nobody asleep, as uint32 ns each."""

"""What the recorder's unit tests put in: frames without a ring, and a disk that takes no more."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arclyd.errors import FrameOverwritten

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame; ``gone``: its bytes are overwritten before they are taken; ``dts_``: its dts, else its pts."""

    seq: int
    track: int = 0
    pts: int = 0
    keyframe: bool = False
    payload: bytes = b"frame"
    is_config: bool = False
    discontinuity: bool = False
    epoch: int = 1
    gone: bool = False
    duration: int | None = None
    publish_ns: int = 0
    dts_: int | None = None

    @property
    def dts(self) -> int:
        return self.pts if self.dts_ is None else self.dts_

    def tobytes(self) -> bytes:
        if self.gone:
            raise FrameOverwritten(self.seq)
        return self.payload


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As a full disk: no file of this process grows past ``size`` bytes (Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

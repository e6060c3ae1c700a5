"""A stream as the bytes of a transport stream, one frame after the other, as a reader of the ring gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arclyd import Gap
from arclyd.errors import EndOfStream
from arclyd.ingest.ts.outflow import Outflow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arclyd import AsyncSubscriber


async def feed(subscriber: AsyncSubscriber) -> AsyncIterator[bytes]:
    """Whole transport packets, from the next keyframe on; what the subscriber misses is left out up to a keyframe.

    Raises:
        EndOfStream: the stream is over; the last packets were given before.
        MediaError: none of its tracks can be sent.
    """
    frame = await subscriber.recv()
    outflow, epoch = Outflow(subscriber.tracks), frame.epoch
    try:
        while True:
            data = b""
            if frame.epoch != epoch:
                epoch = frame.epoch
                data = outflow.retrack(subscriber.tracks)
            yield data + outflow.frame(frame)
            while isinstance(item := await subscriber.recv_raw(), Gap):
                outflow.resync()
            frame = item
    except EndOfStream:
        yield outflow.close()
        raise

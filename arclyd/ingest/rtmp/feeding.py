"""A stream's tags one after the other, as a reader of the ring gets its frames: what is played, and what is pushed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError, WireError
from arclyd.ingest.flv import about
from arclyd.ingest.rtmp.outflow import Outflow, Tag
from arclyd.protocols.rtmp.messages import Type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arclyd import AsyncControl, AsyncSubscriber

log: Final = logging.getLogger(__name__)


async def feed(subscriber: AsyncSubscriber, control: AsyncControl, fourccs: frozenset[str]) -> AsyncIterator[list[Tag]]:
    """What is to be sent: first what is known of the stream, then the tags of each frame.

    What the subscriber misses is not sent, and shows in its report to the daemon. ``fourccs``: as for `Outflow`.

    Raises:
        EndOfStream: the stream is over.
        WireError: none of its tracks can be sent.
    """
    frame = await subscriber.recv()
    outflow = Outflow(subscriber.tracks, fourccs)
    if not outflow.carries:
        raise WireError("RTMP", f"{subscriber.key} has no track that could be sent")
    for track in outflow.left_out:
        log.info("%s: a track is not sent: %s", subscriber.key, track.codec.label)
    colors = await _colors(control, subscriber.key) if fourccs else b""
    yield [Tag(Type.DATA, 0, outflow.metadata()), *outflow.start(), *outflow.colors(colors)]
    epoch = frame.epoch
    while True:
        if frame.epoch != epoch:
            epoch = frame.epoch
            outflow.retrack(subscriber.tracks)
        tags = list(outflow.frame(frame.track, frame))
        if frame.is_intact():  # else it was overwritten while it was copied
            yield tags
        frame = await subscriber.recv()


async def _colors(control: AsyncControl, key: str) -> bytes:
    """What was said of the picture's colours, AMF values."""
    try:
        tags = (await control.metadata(key)).tags
    except ArclydError:  # away, or the stream is over: that shows elsewhere
        return b""
    return about.color_packet(tags[about.COLOR_TAG]) if about.COLOR_TAG in tags else b""

"""The newest keyframe of a stream as a JPEG, decoded once however many ask for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from arclyd.media.formats.still import still

if TYPE_CHECKING:
    from arclyd.media.formats.fragment import Sample
    from arclyd.packagers.channel import Channel
    from arclyd.packagers.pieces import Lane
    from arclyd.packagers.window import Window


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a picture was made of, and the making of it."""

    sample: Sample
    making: asyncio.Task[bytes]


class Snapshots:
    """The last picture of each channel."""

    def __init__(self) -> None:
        self._taken: WeakKeyDictionary[Channel, _Taken] = WeakKeyDictionary()

    async def newest(self, channel: Channel) -> bytes | None:
        """The JPEG of the newest keyframe; None: there is no picture.

        Raises:
            MediaError: it can't be decoded.
        """
        found = _newest_keyframe(channel.window)
        if found is None:
            return None
        lane, sample = found
        taken = self._taken.get(channel)
        if taken is None or taken.sample is not sample:
            making = asyncio.create_task(asyncio.to_thread(still, lane.track, bytes(sample.data)))
            taken = self._taken[channel] = _Taken(sample, making)
        return await asyncio.shield(taken.making)


def _newest_keyframe(window: Window) -> tuple[Lane, Sample] | None:
    for segment in reversed(window.segments):
        lane = segment.period.lanes[segment.period.lead]
        if not lane.is_video:
            return None
        for chunk in reversed(segment.chunks(lane.id)):
            for sample in reversed(chunk.samples):
                if sample.keyframe:
                    return lane, sample
    return None

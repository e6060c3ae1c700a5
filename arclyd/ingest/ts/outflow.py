"""From frames of the ring to the bytes of a transport stream, without an end as long as there are frames."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from arclyd.errors import FrameOverwritten, MediaError
from arclyd.media.formats.container import FORMATS, Muxer
from arclyd.media.formats.libav import open_ts_live

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd import Frame
    from arclyd.media.track import Track

log: Final = logging.getLogger(__name__)

_LIVE: Final = replace(FORMATS["ts"], open=open_ts_live)


class _Collected:
    """What a muxer wrote since it was last asked."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes, /) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


class Outflow:
    """One stream on its way out, from its next keyframe on, its first frame at time 0.

    Where a configuration changes, or the publisher does, the transport stream begins anew, with the mark of a break.

    Raises:
        MediaError: none of the tracks can be carried.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._sink = _Collected()
        self._tracks = list(tracks)
        self._muxer = self._begin()

    def retrack(self, tracks: Sequence[Track]) -> bytes:
        """The stream has other tracks from now on; returns what is left of those before."""
        self._tracks = list(tracks)
        return self._restart()

    def resync(self) -> None:
        """Frames were lost: go on with the next keyframe."""
        self._muxer.resync()

    def frame(self, frame: Frame) -> bytes:
        """Whole transport packets, as many as this frame completes; none of a frame that was overwritten meanwhile."""
        try:
            left = b""
            if frame.is_config:
                self._tracks[frame.track] = replace(self._tracks[frame.track], config=frame.tobytes())
                if not self._muxer.fits(frame):
                    left = self._restart()
            self._muxer.write(frame)
        except FrameOverwritten:
            self.resync()
            return left
        except MediaError as error:
            log.warning("the transport stream begins anew: %s", error)
            return left + self._restart()
        return left + self._sink.take()

    def close(self) -> bytes:
        """The stream is over: what is left."""
        self._muxer.close()
        return self._sink.take()

    def _restart(self) -> bytes:
        left = self.close()
        self._muxer = self._begin()
        return left

    def _begin(self) -> Muxer:
        muxer = Muxer(self._sink, _LIVE, self._tracks, seekable=False)
        for track in muxer.left_out:
            log.info("a track is not sent: MPEG-TS has no usual way to carry %s", track.codec.label)
        return muxer

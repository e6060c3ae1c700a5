"""MP4 that is never gone back in: movie fragments of a keyframe or a second each, every track at its own time.

FFmpeg's muxer, told to write its header at once, lets each track begin at zero; what is written here says when each
begins (``tfdt``), also of a track that comes later or never.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from arclyd.media.codecs import CodecId, TrackKind, vp9
from arclyd.media.formats.fmp4 import init_segment, timescale
from arclyd.media.formats.fragment import Sample, fragment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arclyd.media.formats.container import Sink
    from arclyd.media.track import Track

LONGEST: Final = 1
"""Seconds of a track that are held at most before they are written."""


class FragmentedMp4:
    """An `Output`: samples in, an init segment and fragments out."""

    def __init__(self, sink: Sink, tracks: Sequence[Track]) -> None:
        self._sink = sink
        self._tracks = list(tracks)
        self._waiting: list[list[Sample]] = [[] for _ in tracks]
        self._lead = next((place for place, track in enumerate(tracks) if track.kind is TrackKind.VIDEO), 0)
        self._number = 0

    def write(self, place: int, payload: bytes, *, pts: int, dts: int, duration: int | None, keyframe: bool) -> None:
        """Take one frame of the track at ``place``, in its time base; what lies before it is written when it is time.

        Raises:
            MediaError: times that a fragment can't hold.
        """
        track, waiting = self._tracks[place], self._waiting[place]
        pts, dts = pts * track.time_base.numerator, dts * track.time_base.numerator
        sound = track.kind is TrackKind.AUDIO
        if waiting:
            waiting[-1] = replace(waiting[-1], duration=max(1, dts - waiting[-1].dts))
            cut = keyframe and not sound and place == self._lead
            if cut or dts - waiting[0].dts >= LONGEST * timescale(track):
                self._flush(whole=place)
        lasts = duration * track.time_base.numerator if duration else self._step(place)
        waiting.append(Sample(dts, pts, lasts, keyframe or sound, payload))

    def close(self) -> None:
        """Write what is left; the sink stays open."""
        self._flush(whole=None)

    def _step(self, place: int) -> int:
        """How long a frame lasts that does not say so: as the one before."""
        waiting = self._waiting[place]
        return waiting[-1].duration if waiting else max(1, timescale(self._tracks[place]) // 25)

    def _flush(self, *, whole: int | None) -> None:
        """Write the samples whose duration is known: all of the track at ``whole``, all but the last of others.

        None: all of every track.
        """
        if not self._number:
            self._sink.write(init_segment([self._described(place) for place in range(len(self._tracks))]))
        for place, waiting in enumerate(self._waiting):
            known = len(waiting) if whole in {None, place} else len(waiting) - 1
            if known > 0:
                self._number += 1
                self._sink.write(fragment(self._number, place + 1, waiting[:known]))
                del waiting[:known]
        self._number = max(self._number, 1)

    def _described(self, place: int) -> Track:
        """The track; VP9 is described by its first picture where no configuration does."""
        track = self._tracks[place]
        if track.codec is CodecId.VP9 and not track.config and self._waiting[place]:
            return replace(track, config=vp9.Vp9Header.parse(bytes(self._waiting[place][0].data)).record)
        return track

"""Pictures in a transport stream: H.264 and H.265 as Annex B, AV1 with start codes or without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, av1, h264, h265
from arclyd.media.codecs.annexb import is_annexb
from arclyd.media.codecs.nal import AnnexB
from arclyd.media.formats.mpegts.units import AccessUnit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.media.formats.mpegts.demuxer import Unit

_DELIMITER: Final = b"\x12\x00"
"""An OBU that only says that a temporal unit begins."""


class NalPictures:
    """H.264 or H.265: a packet holds one access unit, or several of which the first has the timestamps."""

    sound = (0, 0)

    def __init__(self, codec: CodecId) -> None:
        self._annexb = AnnexB(codec)
        self._is_keyframe = h264.is_keyframe if codec is CodecId.H264 else h265.is_keyframe

    @property
    def config(self) -> bytes:
        """The configuration record; empty before the parameter sets came."""
        return self._annexb.config

    @property
    def ready(self) -> bool:
        """The parameter sets came."""
        return bool(self._annexb.config)

    def push(self, unit: Unit) -> Iterator[AccessUnit]:
        """The access units of a packet. Raises `MediaError`: it is no Annex B."""
        pts, dts = unit.pts, unit.dts
        for payload in self._annexb.convert_all(unit.payload):
            yield AccessUnit(payload, pts, dts, keyframe=self._is_keyframe(payload), corrupt=unit.damaged)
            pts = dts = None


class Av1Pictures:
    """AV1: a packet holds one temporal unit."""

    sound = (0, 0)

    def __init__(self) -> None:
        self.config = b""

    @property
    def ready(self) -> bool:
        """A sequence header came."""
        return bool(self.config)

    def push(self, unit: Unit) -> Iterator[AccessUnit]:
        """The temporal unit of a packet. Raises `MediaError`: it is none."""
        payload = unit.payload
        if is_annexb(payload):
            payload = av1.from_start_codes(payload)
        elif payload[:2] == _DELIMITER:
            payload = payload[2:]
        if not payload:
            return
        keyframe = av1.is_keyframe(payload)
        if keyframe and av1.find_sequence_header(payload) is not None:
            self.config = av1.build_config(payload)
        if not self.config:
            raise MediaError("AV1", "no sequence header so far")
        yield AccessUnit(payload, unit.pts, unit.dts, keyframe=keyframe, corrupt=unit.damaged)

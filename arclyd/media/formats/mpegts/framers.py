"""Which framer a stream needs, by what it carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arclyd.media.codecs import CodecId
from arclyd.media.formats.mpegts import sounds
from arclyd.media.formats.mpegts.content import Content
from arclyd.media.formats.mpegts.pictures import Av1Pictures, NalPictures
from arclyd.media.formats.mpegts.units import Raw

if TYPE_CHECKING:
    from arclyd.media.formats.mpegts.demuxer import ElementaryStream
    from arclyd.media.formats.mpegts.units import Framer


def framer_of(stream: ElementaryStream) -> Framer:
    """A new framer for the packets of ``stream``."""
    match stream.content:
        case Content.H264:
            return NalPictures(CodecId.H264)
        case Content.H265:
            return NalPictures(CodecId.H265)
        case Content.AV1:
            return Av1Pictures()
        case Content.AAC_ADTS:
            return sounds.SyncedSound(sounds.Adts())
        case Content.AAC_LATM:
            return sounds.SyncedSound(sounds.Loas())
        case Content.MPEG_AUDIO:
            return sounds.SyncedSound(sounds.MpegAudio())
        case Content.AC3:
            return sounds.SyncedSound(sounds.Ac3())
        case Content.OPUS:
            return sounds.OpusSound(stream.descriptors)
    return Raw()

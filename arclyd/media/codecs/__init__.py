"""Codecs: their ids, their decoder configurations, and the framing of their access units.

Every parser takes bytes of any origin and raises `arclyd.errors.MediaError`, nothing else, on those that
are not what they claim to be. `arclyd.media.codecs.describe` is the way in for who wants only the facts.
"""

from arclyd.media.codecs.ids import CodecId, TrackKind, codec_from_name

__all__ = ["CodecId", "TrackKind", "codec_from_name"]

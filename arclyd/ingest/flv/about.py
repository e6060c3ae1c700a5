"""What is said of a stream that comes by RTMP: ``onMetaData`` and colours as the daemon's metadata, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError
from arclyd.protocols.rtmp import amf0

if TYPE_CHECKING:
    from arclyd.protocols.rtmp.amf3 import Value

COLOR_TAG: Final = "color_info"
"""The metadata tag that holds what a picture's colour metadata said (HDR), as JSON."""

SET_DATA_FRAME: Final = amf0.encode("@setDataFrame")
"""What a publisher puts before metadata, for the server to keep them for players to come."""

MAX_TAG: Final = 1024
"""Characters of a tag, by the daemon's rule."""


def metadata(said: Mapping[str, Value]) -> dict[str, object]:
    """The fields of the daemon's metadata that ``onMetaData`` tells of."""
    fields: dict[str, object] = {}
    for name, field, scale in (
        ("width", "width", 1),
        ("height", "height", 1),
        ("videodatarate", "video_bitrate_bps", 1000),
        ("audiodatarate", "audio_bitrate_bps", 1000),
    ):
        number = said.get(name)
        if isinstance(number, float) and 0 < number * scale < 1 << 40:
            fields[field] = int(number * scale)
    fps = said.get("framerate")
    if isinstance(fps, float) and 0 < fps < 10_000:
        fields["fps"] = fps
    encoder = said.get("encoder")
    if isinstance(encoder, str) and encoder:
        fields["tags"] = {"encoder": encoder[:MAX_TAG]}
    return fields


def color_tag(packet: bytes) -> str:
    """The tag's text for a picture's metadata packet; empty where there is nothing to say of colours."""
    try:
        values = amf0.decode(packet)
    except WireError:
        return ""
    if len(values) < 2 or values[0] != "colorInfo" or not isinstance(values[1], Mapping):
        return ""
    text = json.dumps(values[1], separators=(",", ":"))
    return text if len(text) <= MAX_TAG else ""


def color_packet(tag: str) -> bytes:
    """The AMF values of a picture's metadata packet, from the tag's text; empty where it is none."""
    try:
        said = json.loads(tag)
    except ValueError:
        return b""
    return amf0.encode("colorInfo", said) if isinstance(said, dict) else b""

"""What a publisher says of its stream: checked, merged, and overlaid with what was measured."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from arclyd.control.reports import Metadata
from arclyd.control.wire import decode_value
from arclyd.errors import ProtocolError, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arclyd.control.reports import Qos

SETTABLE: Final = (
    "publisher_addr",
    "width",
    "height",
    "fps",
    "video_bitrate_bps",
    "audio_bitrate_bps",
    "ingest_protocol",
    "tags",
)
MAX_TAGS: Final = 64
MAX_TAG: Final = 64
MAX_TEXT: Final = 1024


def merge(old: Metadata, fields: Mapping[str, object]) -> Metadata:
    """``old`` with ``fields`` changed; tags are merged and an empty one is removed.

    Raises:
        RequestRefused: a field that is not, of another type, or too long.
    """
    for name in fields:
        if name not in SETTABLE:
            raise RequestRefused(f"metadata has no field {name[:64]!r} to set (there are {', '.join(SETTABLE)})")
    plain = {name: value for name, value in fields.items() if name != "tags"}
    try:
        said = decode_value({"key": old.key, **fields}, Metadata)
    except ProtocolError as error:
        raise RequestRefused(error.problem) from None
    _check_text(said.publisher_addr, said.ingest_protocol, *said.tags.values())
    tags = {name: text for name, text in {**old.tags, **said.tags}.items() if text}
    if len(tags) > MAX_TAGS or any(len(name) > MAX_TAG for name in tags):
        raise RequestRefused(f"more than {MAX_TAGS} tags, or a tag's name of more than {MAX_TAG} characters")
    return dataclasses.replace(old, tags=tags, **{name: getattr(said, name) for name in plain})


def overlay(said: Metadata, qos: Qos, started_at_ms: int) -> Metadata:
    """What was said, with the measured values over it where there are any (seed: ``metadata_snapshot``)."""
    video = next((track for track in qos.tracks if track.kind == "video"), None)
    return dataclasses.replace(
        said,
        width=(video.width if video else 0) or said.width,
        height=(video.height if video else 0) or said.height,
        fps=qos.fps or said.fps,
        video_bitrate_bps=qos.video_bitrate_bps or said.video_bitrate_bps,
        audio_bitrate_bps=qos.audio_bitrate_bps or said.audio_bitrate_bps,
        started_at_ms=started_at_ms,
    )


def _check_text(*texts: str) -> None:
    if any(len(text) > MAX_TEXT for text in texts):
        raise RequestRefused(f"a metadata value of more than {MAX_TEXT} characters")

"""What both sides say of themselves in ``connect`` by Enhanced RTMP v2: which codecs, what else they know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arclyd.protocols.rtmp.amf0 import Array

if TYPE_CHECKING:
    from collections.abc import Mapping

    from arclyd.protocols.rtmp.amf3 import Value

VIDEO: Final = ("avc1", "hvc1", "vvc1", "av01", "vp09", "vp08")
AUDIO: Final = ("mp4a", "Opus", ".mp3", "ac-3")

CAN_FORWARD: Final = 4.0
"""FourCcInfoMask."""
CAPABILITIES: Final = 2 | 4 | 8
"""CapsExMask: multitrack, ModEx, nanosecond offsets. Not reconnect requests (1)."""


def offer() -> dict[str, Value]:
    """What is put beside ``app`` and ``tcUrl`` in the object of ``connect``, or into the answer to it."""
    return {
        "fourCcList": [*VIDEO, *AUDIO],
        "videoFourCcInfoMap": Array(dict.fromkeys(VIDEO, CAN_FORWARD)),
        "audioFourCcInfoMap": Array(dict.fromkeys(AUDIO, CAN_FORWARD)),
        "capsEx": float(CAPABILITIES),
    }


def understood(said: Mapping[str, Value]) -> frozenset[str]:
    """The FourCCs the other side said it takes, "*" being any; empty: it speaks RTMP as it was."""
    names: set[str] = set()
    listed = said.get("fourCcList")
    if isinstance(listed, list):
        names.update(name for name in listed if isinstance(name, str))
    for field in ("videoFourCcInfoMap", "audioFourCcInfoMap"):
        known = said.get(field)
        if isinstance(known, dict):
            names.update(known)
    return frozenset(names)

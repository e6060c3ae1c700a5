"""Tags out of the bytes of an FLV stream (Adobe Video File Format 10.1, E.2 to E.4.1), any split of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.formats.flv import AUDIO_TAG, SCRIPT_TAG, VIDEO_TAG

if TYPE_CHECKING:
    from typing_extensions import Buffer

SIGNATURE: Final = b"FLV"
_HEADER: Final = 9
_LONGEST_HEADER: Final = 1024
"""The header says where the tags begin, for versions to come; none has come."""

_TAG: Final = 11
_SIZE: Final = 4
"""Behind each tag, and behind the header: the size of what is before it."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag: its type, milliseconds modulo 2**32, its body."""

    kind: int
    timestamp: int
    body: bytes


@dataclass(frozen=True, slots=True)
class TagLimits:
    """Largest tag in bytes: of video, of audio, of script data."""

    video: int = 8 << 20
    audio: int = 1 << 20
    script: int = 128 << 10

    def of(self, kind: int) -> int:
        """The limit of that type of tag."""
        return {VIDEO_TAG: self.video, AUDIO_TAG: self.audio}.get(kind, self.script)


class FlvReader:
    """Takes bytes, gives tags. FLV has no marks by which one could find back into it: what is wrong ends it."""

    def __init__(self, limits: TagLimits | None = None) -> None:
        self._limits = limits or TagLimits()
        self._rest = bytearray()
        self._begun = False

    @property
    def held(self) -> int:
        """Bytes of a tag that is not complete yet."""
        return len(self._rest)

    def receive(self, data: Buffer) -> list[Tag]:
        """The tags that ``data`` completes.

        Raises:
            MediaError: it is no FLV, or a tag is larger than the limits allow.
        """
        self._rest += data
        at = 0
        if not self._begun:
            at = self._header()
            if at < 0:
                return []
            self._begun = True
        tags: list[Tag] = []
        while (end := self._end(at)) <= len(self._rest):
            tags.append(self._tag(at))
            at = end
        del self._rest[:at]
        return tags

    def _header(self) -> int:
        """Where the first tag is, -1: not known yet."""
        head = bytes(self._rest[:_HEADER])
        if not SIGNATURE.startswith(head[:3]) or head[3:4] not in {b"", b"\x01"}:
            raise MediaError("FLV", "it does not begin as FLV does")
        if len(head) < _HEADER:
            return -1
        size = int.from_bytes(head[5:], "big")
        if not _HEADER <= size <= _LONGEST_HEADER:
            raise MediaError("FLV", f"a header of {size} bytes")
        return size + _SIZE if len(self._rest) >= size + _SIZE else -1

    def _end(self, at: int) -> int:
        """Where the tag at ``at`` and the size behind it end; beyond what is there while its head is not."""
        head = self._rest[at : at + _TAG]
        if len(head) < _TAG:
            return len(self._rest) + 1
        kind, size = head[0], int.from_bytes(head[1:4], "big")
        if kind not in {AUDIO_TAG, VIDEO_TAG, SCRIPT_TAG} or any(head[8:]):
            raise MediaError("FLV", f"no tag where one should be (type {kind})")
        if size > (limit := self._limits.of(kind)):
            raise MediaError("FLV", f"a tag of {size} bytes of type {kind}, the limit is {limit}")
        return at + _TAG + size + _SIZE

    def _tag(self, at: int) -> Tag:
        head = self._rest[at : at + _TAG]
        end = at + _TAG + int.from_bytes(head[1:4], "big")
        return Tag(head[0], head[7] << 24 | int.from_bytes(head[4:7], "big"), bytes(self._rest[at + _TAG : end]))

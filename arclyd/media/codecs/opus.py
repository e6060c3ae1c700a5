"""Opus: the identification header (RFC 7845) and how long a packet plays (RFC 6716)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError

if TYPE_CHECKING:
    from typing_extensions import Buffer

SAMPLE_RATE: Final = 48_000
"""Rate of all Opus timestamps and decoders here, whatever was recorded (RFC 7845, 4)."""

MAX_PACKET_SAMPLES: Final = 5760
"""120 ms, the longest packet (RFC 6716, 3.2.5, R5)."""

_HEAD: Final = "OpusHead"
_MAGIC: Final = b"OpusHead"
_FIXED: Final = struct.Struct("<BBHIhB")

_SILK: Final = (480, 960, 1920, 2880)
_HYBRID: Final = (480, 960)
_CELT: Final = (120, 240, 480, 960)
_FRAME_SAMPLES: Final = _SILK * 3 + _HYBRID * 2 + _CELT * 4
"""Samples of one frame at 48 kHz, by the five config bits of the TOC byte (RFC 6716, table 2)."""


@dataclass(frozen=True, slots=True)
class OpusHead:
    """An identification header (RFC 7845, 5.1). ``mapping`` is that of families other than 0, a byte a channel."""

    channels: int
    pre_skip: int = 0  # samples at 48 kHz to throw away at the start
    input_rate: int = SAMPLE_RATE  # of the recording, for information; 0: not said
    output_gain: int = 0  # dB times 256
    family: int = 0
    streams: int = 1
    coupled: int = 0
    mapping: bytes = b""

    @classmethod
    def parse(cls, data: Buffer) -> OpusHead:
        """Read a header; bytes after it are ignored, as a later minor version may add some.

        Raises:
            MediaError: not such a header.
        """
        raw = bytes(data)
        body = len(_MAGIC) + _FIXED.size
        if raw[: len(_MAGIC)] != _MAGIC or len(raw) < body:
            raise MediaError(_HEAD, "too short, or no magic signature")
        version, channels, pre_skip, rate, gain, family = _FIXED.unpack_from(raw, len(_MAGIC))
        if version >> 4:
            raise MediaError(_HEAD, f"version {version} is not compatible with 1")
        if family == 0:
            head = cls(channels, pre_skip, rate, gain, 0, 1, channels - 1)
        else:
            table = raw[body : body + 2 + channels]
            if len(table) < 2 + channels:
                raise MediaError(_HEAD, "the channel mapping table is cut off")
            head = cls(channels, pre_skip, rate, gain, family, table[0], table[1], table[2:])
        head._check()
        return head

    def serialize(self) -> bytes:
        """The header as bytes, version 1.

        Raises:
            MediaError: a channel mapping that is none.
        """
        self._check()
        facts = (1, self.channels, self.pre_skip, self.input_rate, self.output_gain, self.family)
        try:
            fixed = _MAGIC + _FIXED.pack(*facts)
        except struct.error as error:
            raise MediaError(_HEAD, f"a value out of range: {error}") from error
        return fixed + (bytes((self.streams, self.coupled)) + self.mapping if self.family else b"")

    def _check(self) -> None:
        most = {0: 2, 1: 8}.get(self.family, 255)
        if not 1 <= self.channels <= most:
            raise MediaError(_HEAD, f"{self.channels} channels, mapping family {self.family} has 1 to {most}")
        if not self.family:
            return
        decoded = self.streams + self.coupled
        if not self.streams >= 1 or not 0 <= self.coupled <= self.streams or decoded > 255:
            raise MediaError(_HEAD, f"{self.coupled} of {self.streams} streams can't be coupled")
        if len(self.mapping) != self.channels or any(decoded <= place < 255 for place in self.mapping):
            raise MediaError(_HEAD, "a channel is mapped to a stream that is not there")


def packet_samples(packet: Buffer) -> int:
    """How long a packet plays, in samples at 48 kHz, from its first two bytes (RFC 6716, 3.1 and 3.2).

    Raises:
        MediaError: an empty packet, or one that says it has no frames or more than 120 ms of them.
    """
    head = bytes(memoryview(packet)[:2])
    if not head:
        raise MediaError("Opus packet", "empty")
    code = head[0] & 3
    if code == 3 and len(head) < 2:
        raise MediaError("Opus packet", "no frame count byte")
    frames = (1, 2, 2, head[-1] & 0x3F)[code]
    samples = frames * _FRAME_SAMPLES[head[0] >> 3]
    if not 0 < samples <= MAX_PACKET_SAMPLES:
        raise MediaError("Opus packet", f"{frames} frames of {_FRAME_SAMPLES[head[0] >> 3]} samples")
    return samples

"""MPEG audio, layers I to III: the head of a frame (ISO/IEC 11172-3, 2.4.1.3, and 13818-3, 2.4.1.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError

if TYPE_CHECKING:
    from typing_extensions import Buffer

HEADER: Final = 4

_RATES: Final = (44_100, 48_000, 32_000)
_BITRATES: Final = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Kilobits a second by version (2 stands for 2.5, too) and layer, from index 1 on."""


@dataclass(frozen=True, slots=True)
class MpegAudioHeader:
    """What a frame says of itself; ``size`` in bytes, ``samples`` of each channel."""

    layer: int
    sample_rate: int
    channels: int
    size: int
    samples: int

    @classmethod
    def parse(cls, data: Buffer) -> MpegAudioHeader:
        """Read the first `HEADER` bytes of a frame.

        Raises:
            MediaError: not such a frame, or one of a free format.
        """
        head = bytes(memoryview(data)[:HEADER])
        word = int.from_bytes(head, "big")
        version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)
        bitrate, rate, padding = word >> 12 & 15, word >> 10 & 3, word >> 9 & 1
        if len(head) < HEADER or word >> 21 != 0x7FF or version == 1 or layer == 4:
            raise MediaError("MPEG audio", "no syncword")
        if bitrate in {0, 15} or rate == 3:
            raise MediaError("MPEG audio", "a free format, or reserved rates")
        halved = 1 if version == 3 else 2
        sample_rate = _RATES[rate] >> (0, 0, 1, 0)[version] >> (2 if version == 0 else 0)
        bits = _BITRATES[halved, layer][bitrate - 1] * 1000
        if layer == 1:
            return cls(1, sample_rate, _channels(word), 4 * (12 * bits // sample_rate + padding), 384)
        samples = 576 if layer == 3 and halved == 2 else 1152
        return cls(layer, sample_rate, _channels(word), samples // 8 * bits // sample_rate + padding, samples)


def _channels(word: int) -> int:
    return 1 if word >> 6 & 3 == 3 else 2

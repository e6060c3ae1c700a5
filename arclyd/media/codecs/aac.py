"""AAC: AudioSpecificConfig and the ADTS framing that carries it in every frame.

Sections are those of ISO/IEC 14496-3:2009. arclyd's own form is raw access units with an
AudioSpecificConfig as configuration; ADTS is what MPEG-TS and most files of bare AAC have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs.bits import BitReader, BitWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

_CONFIG: Final = "AudioSpecificConfig"
_ADTS: Final = "ADTS header"

_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
"""By samplingFrequencyIndex (table 1.18)."""

_EXPLICIT_RATE: Final = 15

_CHANNELS: Final = (0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8)
"""By channelConfiguration (table 1.19, and ISO/IEC 23001-8 from 11 on); 0: reserved, or told by an element."""

_GENERAL_AUDIO: Final = frozenset({1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23})
"""Audio object types whose configuration is GASpecificConfig (table 1.15)."""

_LAYERED: Final = frozenset({6, 20})
_RESILIENT: Final = frozenset({17, 19, 20, 23})

LC: Final = 2
"""Audio object type of AAC Low Complexity."""

_SBR: Final = 5
_ER_BSAC: Final = 22
_PS: Final = 29
_ESCAPE: Final = 31

SYNC_SBR: Final = 0x2B7
"""What a backward compatible extension of a configuration begins with (1.6.5.2)."""

_SYNC_PS: Final = 0x548

_OBJECT_NAMES: Final = {1: "Main", 2: "LC", 3: "SSR", 4: "LTP", 23: "LD", 39: "ELD", 42: "xHE-AAC"}


@dataclass(frozen=True, slots=True)
class AudioConfig:
    """An AudioSpecificConfig (1.6.2.1).

    ``sample_rate`` and ``channels`` are those of the coded core; spectral band replication (``sbr``) and
    parametric stereo (``ps``) make more of them, see `output_rate` and `output_channels`. ``hierarchical``
    says which of the two explicit signallings of ``sbr`` is meant (1.6.5): the one in front, or the one
    behind the core's configuration that old decoders pass over.
    """

    object_type: int
    sample_rate: int
    channel_config: int
    channels: int
    sbr: bool = False
    ps: bool = False
    extension_rate: int = 0  # 0 without sbr
    hierarchical: bool = True
    frame_length: int = 1024  # samples of the core in an access unit

    @property
    def output_rate(self) -> int:
        """Samples a second that a decoder puts out."""
        return self.extension_rate if self.sbr else self.sample_rate

    @property
    def output_channels(self) -> int:
        """Channels that a decoder puts out."""
        return 2 if self.ps and self.channels == 1 else self.channels

    @property
    def profile(self) -> str:
        """The name people know: "LC", "HE-AAC", "HE-AACv2", …; empty for rare object types."""
        if self.sbr:
            return "HE-AACv2" if self.ps else "HE-AAC"
        return _OBJECT_NAMES.get(self.object_type, "")

    @property
    def codec_string(self) -> str:
        """The RFC 6381 name, ``mp4a.40.`` and the audio object type (3.3)."""
        extended = _PS if self.ps else _SBR
        return f"mp4a.40.{extended if self.sbr else self.object_type}"

    @classmethod
    def parse(cls, data: Buffer) -> AudioConfig:
        """Read an AudioSpecificConfig; what is not known behind it is ignored.

        Raises:
            MediaError: not such a configuration, or one without a sample rate.
        """
        return cls.read(BitReader(data, _CONFIG), to_end=True)

    @classmethod
    def read(cls, bits: BitReader, *, to_end: bool) -> AudioConfig:
        """Read one among other things; ``to_end``: nothing else follows it, so that it may have an extension.

        Raises:
            MediaError: as `parse`.
        """
        object_type, rate, channel_config = _read_object_type(bits), _read_rate(bits), bits.u(4)
        hierarchical = object_type in {_SBR, _PS}
        ps, extension_rate = object_type == _PS, 0
        if hierarchical:
            extension_rate = _read_rate(bits)
            object_type = _read_object_type(bits)
            if object_type == _ER_BSAC:
                bits.skip(4)  # extensionChannelConfiguration
        frame_length, channels = _frame_length(object_type), _channels(bits, channel_config)
        if object_type in _GENERAL_AUDIO:
            frame_length, counted = _read_general_audio(bits, object_type, channel_config)
            channels = channels or counted
            if to_end and not hierarchical and object_type not in _RESILIENT:
                extension_rate, ps = _read_sync_extension(bits)
        sbr = bool(extension_rate)
        return cls(
            object_type, rate, channel_config, channels, sbr, ps, extension_rate, hierarchical or not sbr, frame_length
        )

    def serialize(self) -> bytes:
        """The configuration as bytes.

        Raises:
            MediaError: channels told by a program configuration element, or an object type without a
                GASpecificConfig; such a configuration is to be handed on as it came.
        """
        if not self.channel_config or self.object_type not in _GENERAL_AUDIO - _LAYERED - _RESILIENT - {_ER_BSAC}:
            raise MediaError(_CONFIG, f"can't write object type {self.object_type} with {self.channels} channels")
        out = BitWriter()
        in_front = self.sbr and self.hierarchical
        out.u(5, (_PS if self.ps else _SBR) if in_front else self.object_type)
        _write_rate(out, self.sample_rate)
        out.u(4, self.channel_config)
        if in_front:
            _write_rate(out, self.extension_rate)
            out.u(5, self.object_type)
        out.u(1, self.frame_length == 960)
        out.u(2, 0)  # dependsOnCoreCoder, extensionFlag
        if self.sbr and not self.hierarchical:
            self._write_sync_extension(out)
        return out.tobytes()

    def _write_sync_extension(self, out: BitWriter) -> None:
        out.u(11, SYNC_SBR)
        out.u(5, _SBR)
        out.u(1, 1)
        _write_rate(out, self.extension_rate)
        if self.ps:
            out.u(11, _SYNC_PS)
            out.u(1, 1)


def build_config(
    sample_rate: int, channels: int, *, object_type: int = LC, extension_rate: int = 0, ps: bool = False
) -> bytes:
    """An AudioSpecificConfig of that core rate in Hz and number of core channels.

    Args:
        sample_rate: of the core.
        channels: of the core: 1..8 or 24.
        object_type: audio object type of the core, 1..4.
        extension_rate: the output rate if spectral band replication is used, else 0.
        ps: parametric stereo.

    Raises:
        MediaError: a number of channels that has no channelConfiguration, or a rate out of range.
    """
    config = channel_config(channels)
    return AudioConfig(object_type, sample_rate, config, channels, bool(extension_rate), ps, extension_rate).serialize()


def channel_config(channels: int) -> int:
    """The channelConfiguration of the usual layout of that many channels (table 1.19).

    Raises:
        MediaError: there is none.
    """
    if channels not in _CHANNELS[1:]:
        raise MediaError(_CONFIG, f"no channelConfiguration has {channels} channels")
    return _CHANNELS.index(channels, 1)


def _channels(bits: BitReader, config: int) -> int:
    channels = _CHANNELS[config] if config < len(_CHANNELS) else 0
    if config and not channels:
        raise bits.error(f"channelConfiguration {config} is reserved")
    return channels


def _frame_length(object_type: int) -> int:
    return 512 if object_type in {23, 39} else 1024  # low delay (4.5.1.1)


def _read_object_type(bits: BitReader) -> int:
    value = bits.u(5)
    return 32 + bits.u(6) if value == _ESCAPE else value


def _read_rate(bits: BitReader) -> int:
    index = bits.u(4)
    if index == _EXPLICIT_RATE:
        rate = bits.u(24)
        if not rate:
            raise bits.error("a sample rate of zero")
        return rate
    if index >= len(_RATES):
        raise bits.error(f"samplingFrequencyIndex {index} is reserved")
    return _RATES[index]


def _write_rate(out: BitWriter, rate: int) -> None:
    if rate in _RATES:
        out.u(4, _RATES.index(rate))
    elif 0 < rate < 1 << 24:
        out.u(4, _EXPLICIT_RATE)
        out.u(24, rate)
    else:
        raise MediaError(_CONFIG, f"a sample rate of {rate}")


def _read_general_audio(bits: BitReader, object_type: int, config: int) -> tuple[int, int]:
    """Read GASpecificConfig (4.4.1): samples in a frame, and channels where an element counts them."""
    short = bits.flag()
    if bits.flag():  # dependsOnCoreCoder
        bits.skip(14)
    extended = bits.flag()
    channels = 0 if config else _count_channels(bits)
    if object_type in _LAYERED:
        bits.skip(3)
    if extended:
        if object_type == _ER_BSAC:
            bits.skip(16)
        if object_type in _RESILIENT:
            bits.skip(3)
        bits.skip(1)
    if object_type == 23:
        return 480 if short else 512, channels
    return 960 if short else 1024, channels


def _count_channels(bits: BitReader) -> int:
    """Read program_config_element (4.4.1.1): how many channels its elements have."""
    bits.skip(10)  # instance tag, object type, rate
    front, side, back, low, data, coupling = bits.u(4), bits.u(4), bits.u(4), bits.u(2), bits.u(3), bits.u(4)
    for size in (4, 4, 3):  # mono, stereo and matrix mixdown
        if bits.flag():
            bits.skip(size)
    channels = low
    for _ in range(front + side + back):
        channels += 1 + bits.u(1)  # a pair, or one
        bits.skip(4)
    bits.skip(4 * (low + data) + 5 * coupling)
    bits.align()
    bits.skip(8 * bits.u(8))  # comment
    if not channels:
        raise bits.error("a program configuration element without channels")
    return channels


def _read_sync_extension(bits: BitReader) -> tuple[int, bool]:
    """Read the backward compatible signalling (1.6.5.2): the extension rate, 0 for none, and parametric stereo."""
    if bits.left < 16 or bits.u(11) != SYNC_SBR or _read_object_type(bits) != _SBR or not bits.flag():
        return 0, False
    rate = _read_rate(bits)
    ps = bits.left >= 12 and bits.u(11) == _SYNC_PS and bits.flag()
    return rate, ps


# ----------------------------------------------------------------------- ADTS


@dataclass(frozen=True, slots=True)
class AdtsHeader:
    """The header of one ADTS frame (1.A.2.2). ``size`` is the whole frame's, ``header_size`` 7 or 9 with a CRC."""

    object_type: int
    sample_rate: int
    channel_config: int
    size: int
    header_size: int = 7
    blocks: int = 1  # raw data blocks: access units of 1024 samples

    @classmethod
    def parse(cls, data: Buffer) -> AdtsHeader:
        """Read the header at the start of ``data``, of which at least 7 bytes are needed.

        Raises:
            MediaError: no such header.
        """
        bits = BitReader(memoryview(data)[:7], _ADTS)
        if bits.u(12) != 0xFFF:
            raise bits.error("no syncword")
        bits.skip(1)
        if bits.u(2):
            raise bits.error("the layer is not 0")
        header_size = 7 if bits.flag() else 9
        object_type, index = bits.u(2) + 1, bits.u(4)
        if index >= len(_RATES):
            raise bits.error(f"sampling_frequency_index {index} is not allowed")
        bits.skip(1)
        config = bits.u(3)
        bits.skip(4)
        size = bits.u(13)
        bits.skip(11)
        blocks = bits.u(2) + 1
        if size < header_size:
            raise bits.error(f"a frame of {size} bytes is shorter than its header")
        return cls(object_type, _RATES[index], config, size, header_size, blocks)

    @property
    def config(self) -> bytes:
        """The AudioSpecificConfig that says the same.

        Raises:
            MediaError: the channels are told by an element of the first access unit.
        """
        channels = _CHANNELS[self.channel_config]
        return AudioConfig(self.object_type, self.sample_rate, self.channel_config, channels).serialize()


def adts_header(config: AudioConfig, payload_size: int) -> bytes:
    """The 7 bytes to put before an access unit of ``payload_size`` bytes.

    Raises:
        MediaError: a configuration or a size that ADTS has no room for.
    """
    size = payload_size + 7
    fits = 1 <= config.object_type <= 4 and config.sample_rate in _RATES and 1 <= config.channel_config <= 7
    if not fits or size >= 1 << 13:
        raise MediaError(_ADTS, f"no room for {config.codec_string} with {payload_size} bytes")
    out = BitWriter()
    out.u(16, 0xFFF1)  # syncword, MPEG-4, layer 0, no CRC
    out.u(2, config.object_type - 1)
    out.u(4, _RATES.index(config.sample_rate))
    out.u(4, config.channel_config)  # after private_bit
    out.u(4, 0)
    out.u(13, size)
    out.u(11, 0x7FF)  # variable bit rate
    out.u(2, 0)
    return out.tobytes()


def iter_adts(data: Buffer) -> Iterator[tuple[AdtsHeader, memoryview]]:
    """The frames of ADTS bytes: each header and, as a view, the payload after it.

    Raises:
        MediaError: something other than whole frames.
    """
    view = memoryview(data)
    pos = 0
    while pos < len(view):
        header = AdtsHeader.parse(view[pos:])
        if header.size > len(view) - pos:
            raise MediaError(_ADTS, f"a frame of {header.size} bytes with {len(view) - pos} bytes left")
        yield header, view[pos + header.header_size : pos + header.size]
        pos += header.size

"""From the packets of a transport stream to canonical payloads: our own muxer's output, and what it can't write."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import pytest

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, ac3, av1, h264, latm
from arclyd.media.codecs.aac import AudioConfig, adts_header, build_config
from arclyd.media.codecs.describe import describe_config
from arclyd.media.codecs.mpeg_audio import MpegAudioHeader
from arclyd.media.codecs.opus import OpusHead
from arclyd.media.formats.container import FORMATS, Muxer
from arclyd.media.formats.mpegts.content import Content
from arclyd.media.formats.mpegts.demuxer import Demuxer, ElementaryStream, Program, Unit
from arclyd.media.formats.mpegts.framers import framer_of
from arclyd.media.formats.mpegts.psi import Descriptor
from arclyd.media.formats.mpegts.units import AccessUnit, Framer
from tests.clips import Clip, Sample, clip
from tests.ts_maker import TsMaker, registered


@dataclass(frozen=True, slots=True)
class Framed:
    """A sample as a muxer takes it."""

    sample: Sample
    is_config: bool = False

    def __getattr__(self, name: str) -> object:
        return getattr(self.sample, name)

    def tobytes(self) -> bytes:
        return self.sample.payload


def muxed(source: Clip) -> bytes:
    sink = BytesIO()
    muxer = Muxer(sink, FORMATS["ts"], source.tracks, seekable=False)
    for sample in source.samples:
        muxer.write(Framed(sample))  # type: ignore[arg-type] # by __getattr__
    muxer.close()
    return sink.getvalue()


def framed(stream: bytes, size: int = 1316) -> tuple[dict[Content, Framer], dict[Content, list[AccessUnit]]]:
    demuxer, framers, found, contents = Demuxer(), {}, {}, {}
    events = [event for at in range(0, len(stream), size) for event in demuxer.receive(stream[at : at + size])]
    for event in events + demuxer.finish():
        if isinstance(event, Program):
            contents = {each.pid: each.content for each in event.streams}
            framers = {each.content: framer_of(each) for each in event.streams}
        else:
            content = contents[event.pid]
            found.setdefault(content, []).extend(framers[content].push(event))
    return framers, found


@pytest.mark.parametrize("size", [1316, 97])
@pytest.mark.parametrize(
    ("picture", "sound", "contents"),
    [
        ("h264-b", "aac", (Content.H264, Content.AAC_ADTS)),
        ("hevc", "libopus", (Content.H265, Content.OPUS)),
        (None, "libmp3lame", (Content.MPEG_AUDIO,)),
        (None, "ac3", (Content.AC3,)),
    ],
)
def test_what_our_muxer_wrote_comes_out(
    picture: str | None, sound: str, contents: tuple[Content, ...], size: int
) -> None:
    source = clip(picture, sound, 2)
    framers, found = framed(muxed(source), size)
    assert set(found) == set(contents)
    for place, content in enumerate(contents):
        track, units = source.tracks[place], found[content]
        samples = source.of(place)
        if place:  # sound from before the first picture is left out by the muxer
            samples = samples[len(samples) - len(units) :]
            assert len(samples) > 80
        assert [bytes(unit.payload) for unit in units] == [sample.payload for sample in samples]
        if track.codec.kind.label == "video":
            assert [unit.keyframe for unit in units] == [sample.keyframe for sample in samples]
            assert [unit.pts - unit.dts for unit in units] == [
                (sample.pts - sample.dts) * track.time_base * 90_000 for sample in samples
            ]
        else:
            assert framers[content].sound == (track.sample_rate, track.channels)
            assert sum(unit.duration or 0 for unit in units[:-1]) == units[-1].pts - units[0].pts
        if track.codec not in (CodecId.OPUS, CodecId.MP3):  # the transport says no more of Opus than its channels
            said, written = (describe_config(track.codec, config) for config in (framers[content].config, track.config))
            assert said == written
        assert framers[content].ready


def test_several_access_units_in_one_packet_are_told_apart() -> None:
    source = clip("h264", None, 2)
    one, two = (sample.payload for sample in source.of(0)[:2])
    config = h264.AvcConfig.parse(source.tracks[0].config)

    def annexb(payload: bytes, *sets: bytes) -> bytes:
        units = [b"\x09\xf0", *sets, *h264.iter_length_prefixed(payload)]
        return b"".join(b"\x00\x00\x00\x01" + bytes(unit) for unit in units)

    framer = framer_of(ElementaryStream(1, Content.H264))
    assert not framer.ready
    data = annexb(one, *config.sps, *config.pps) + annexb(two)
    found = list(framer.push(Unit(1, data, 3600, 0)))
    assert [(bytes(unit.payload), unit.pts, unit.dts, unit.keyframe) for unit in found] == [
        (one, 3600, 0, True),
        (two, None, None, False),
    ]
    assert framer.ready


def test_sound_goes_on_across_packets() -> None:
    config = AudioConfig.parse(build_config(44_100, 2))
    frames = [bytes((number,)) * (100 + number) for number in range(40)]
    data = b"".join(adts_header(config, len(frame)) + frame for frame in frames)
    framer = framer_of(ElementaryStream(1, Content.AAC_ADTS))
    pieces = [data[at : at + 333] for at in range(0, len(data), 333)]
    found = [
        unit for place, piece in enumerate(pieces) for unit in framer.push(Unit(1, piece, None if place else 900, None))
    ]
    assert [bytes(unit.payload) for unit in found] == frames
    assert [unit.pts for unit in found] == [900 + round(number * 1024 * 90_000 / 44_100) for number in range(40)]
    assert framer.sound == (44_100, 2)


def test_sound_finds_its_way_back() -> None:
    config = AudioConfig.parse(build_config(48_000, 2))
    frame = adts_header(config, 203) + b"\x21" * 203
    framer = framer_of(ElementaryStream(1, Content.AAC_ADTS))
    before = list(framer.push(Unit(1, frame * 2 + frame[:100], 0, 0)))
    after = list(framer.push(Unit(1, b"\xff\xf1\x50" * 30 + frame * 45, 90_000, None, lost=True)))
    assert [unit.pts for unit in before] == [0, 1920]
    assert [(bytes(unit.payload), unit.pts) for unit in after] == [
        (frame[7:], 90_000 + number * 1920) for number in range(45)
    ]


def test_an_endless_row_of_false_beginnings_is_given_up() -> None:
    framer = framer_of(ElementaryStream(1, Content.AAC_ADTS))
    assert list(framer.push(Unit(1, b"\xff\xf1\xff" * 100_000, 0, 0))) == []
    frame = adts_header(AudioConfig.parse(build_config(48_000, 2)), 50) + bytes(50)
    assert len(list(framer.push(Unit(1, frame * 3, 0, 0)))) == 3


# One element of ISO/IEC 14496-3, 1.7.3: version 0, one subframe, one program, AAC LC 48 kHz stereo, 3 bytes of payload.
_LATM_BITS = (
    "0" + "0" + "1" + "000000" + "0000" + "000" + "0001000110010000" + "000" + "11111111" + "0" + "0" + "00000011"
)


def test_latm_is_taken_apart() -> None:
    bits = _LATM_BITS + "".join(f"{byte:08b}" for byte in b"abc")
    element = int(bits.ljust((len(bits) + 7) // 8 * 8, "0"), 2).to_bytes((len(bits) + 7) // 8, "big")
    again = "1" + "00000010" + "".join(f"{byte:08b}" for byte in b"de")
    short = int(again.ljust(32, "0"), 2).to_bytes(4, "big")
    reader = latm.LatmReader()
    with pytest.raises(MediaError, match="no configuration"):
        reader.read(short)
    assert reader.read(element) == [b"abc"]
    assert reader.config == b"\x11\x90"
    assert reader.read(short) == [b"de"]
    loas = b"".join((0x2B7 << 13 | len(each)).to_bytes(3, "big") + each for each in (element, short))
    framer = framer_of(ElementaryStream(1, Content.AAC_LATM))
    found = list(framer.push(Unit(1, loas, 0, 0)))
    assert [(unit.payload, unit.pts) for unit in found] == [(b"abc", 0), (b"de", 1920)]
    assert framer.sound == (48_000, 2)


def test_av1_comes_with_start_codes_and_without() -> None:
    source = clip("av1", None, 1)
    samples = source.of(0)
    plain = framer_of(ElementaryStream(1, Content.AV1))
    marked = framer_of(ElementaryStream(1, Content.AV1))
    for place, sample in enumerate(samples):
        unit = Unit(1, b"\x12\x00" + sample.payload, place, place)
        coded = Unit(1, _start_coded(b"\x12\x00" + sample.payload), place, place)
        for framer, sent in ((plain, unit), (marked, coded)):
            (found,) = framer.push(sent)
            assert (bytes(found.payload), found.keyframe) == (sample.payload, sample.keyframe)
    assert plain.config == marked.config == av1.build_config(samples[0].payload)


def _start_coded(temporal_unit: bytes) -> bytes:
    """As MPEG-TS carries it: start codes in the place of sizes, and emulation prevention (H.264 7.3.1)."""
    out = b""
    for obu in av1.iter_obus(temporal_unit):
        escaped, zeros = bytearray(), 0
        for byte in bytes((obu.type << 3,)) + bytes(obu.payload):
            if zeros >= 2 and byte <= 3:
                escaped.append(3)
                zeros = 0
            escaped.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        out += b"\x00\x00\x01" + bytes(escaped)
    return out


@pytest.mark.parametrize("channels", range(1, 9))
def test_opus_is_described_by_its_channels(channels: int) -> None:
    descriptors = (Descriptor(5, b"Opus"), Descriptor(0x7F, bytes((0x80, channels))))
    framer = framer_of(ElementaryStream(1, Content.OPUS, descriptors))
    head = OpusHead.parse(framer.config)
    assert (head.channels, head.family) == (channels, 0 if channels < 3 else 1)
    assert framer.sound == (48_000, channels)


def test_opus_control_headers_are_read_whole() -> None:
    packet = b"\xfc" + bytes(299)  # 20 ms
    trimmed = b"\x7f\xfc" + b"\xff\x2d" + b"\x01\x38" + b"\x00\x10" + b"\x02xx" + packet
    framer = framer_of(ElementaryStream(1, Content.OPUS))
    found = list(framer.push(Unit(1, trimmed + b"\x7f\xe0\xff\x2d" + packet, 0, 0)))
    assert [(bytes(unit.payload), unit.pts, unit.duration) for unit in found] == [
        (packet, 0, 1800),
        (packet, 1800, 1800),
    ]
    with pytest.raises(MediaError):
        list(framer.push(Unit(1, b"\x7f\xe0\xff\x2d" + packet[:-1], 0, 0)))


@pytest.mark.parametrize(
    ("header", "layer", "rate", "channels", "size", "samples"),
    [
        ("fffb9064", 3, 44_100, 2, 417, 1152),
        ("fffb92c4", 3, 44_100, 1, 418, 1152),
        ("fffd8404", 2, 48_000, 2, 384, 1152),
        ("fff38064", 3, 22_050, 2, 208, 576),
        ("ffe38064", 3, 11_025, 2, 417, 576),
        ("ffff9004", 1, 44_100, 2, 312, 384),
    ],
)
def test_mpeg_audio_heads(header: str, layer: int, rate: int, channels: int, size: int, samples: int) -> None:
    assert MpegAudioHeader.parse(bytes.fromhex(header)) == MpegAudioHeader(layer, rate, channels, size, samples)


@pytest.mark.parametrize("header", ["fff90000", "ffef9064", "fffb0064", "fffbf064", "fffb9c64", "fffb90"])
def test_what_is_no_mpeg_audio(header: str) -> None:
    with pytest.raises(MediaError):
        MpegAudioHeader.parse(bytes.fromhex(header))


def test_enhanced_ac3_is_another_codec() -> None:
    with pytest.raises(MediaError, match="Enhanced"):
        ac3.Ac3Header.parse(bytes.fromhex("0b7700a034868000"))


def test_data_is_handed_on() -> None:
    make = TsMaker([(0x40, 0x06, registered(b"KLVA"))], clock_pid=0x40)
    _, found = framed(make.tables() + make.unit(0x40, b"\x06\x0e\x2b\x34" * 9, 700, bounded=True, id=0xBD))
    assert found == {Content.KLV: [AccessUnit(b"\x06\x0e\x2b\x34" * 9, 700, 700)]}

"""AAC and Opus configurations, held against what FFmpeg makes and says of them."""

from __future__ import annotations

import io

import av
import pytest

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, aac, opus
from arclyd.media.codecs.describe import describe_config

# ------------------------------------------------------------------------ AAC


@pytest.mark.parametrize(
    ("rate", "layout"),
    [(8000, "mono"), (22050, "stereo"), (44100, "stereo"), (48000, "5.1"), (48000, "quad"), (96000, "mono")],
)
def test_aac_facts_are_those_ffprobe_sees(encode_audio, dash_codecs, rate, layout):
    made = encode_audio("aac", rate, layout)
    facts = describe_config(CodecId.AAC, made.config)
    assert facts.sample_rate == int(made.probe["sample_rate"]) == rate
    assert facts.channels == made.probe["channels"]
    assert facts.profile == made.probe["profile"] == "LC"
    assert facts.codec_string == dash_codecs(made.data)


def test_channels_counted_by_an_element(encode_audio):
    config = aac.AudioConfig.parse(encode_audio("aac", 48000, "quad").config)
    assert (config.channel_config, config.channels) == (0, 4)
    with pytest.raises(MediaError, match="can't write"):
        config.serialize()


def test_clip_has_surround_sound(bunny):
    with av.open(str(bunny)) as container:
        facts = describe_config(CodecId.AAC, bytes(container.streams.audio[0].codec_context.extradata))
    assert (facts.sample_rate, facts.channels, facts.codec_string) == (48000, 6, "mp4a.40.2")


@pytest.mark.parametrize(
    ("config", "core", "out", "profile", "codec_string"),
    [
        ("1190", (48000, 2), (48000, 2), "LC", "mp4a.40.2"),
        ("2b920800", (22050, 2), (44100, 2), "HE-AAC", "mp4a.40.5"),
        ("eb8a0800", (22050, 1), (44100, 2), "HE-AACv2", "mp4a.40.29"),
        ("139056e5a0", (22050, 2), (44100, 2), "HE-AAC", "mp4a.40.5"),
        ("138856e5a54880", (22050, 1), (44100, 2), "HE-AACv2", "mp4a.40.29"),
        ("119056e500", (48000, 2), (48000, 2), "LC", "mp4a.40.2"),
        ("178056ce10", (44444, 2), (44444, 2), "LC", "mp4a.40.2"),
    ],
)
def test_known_audio_configs(config, core, out, profile, codec_string):
    parsed = aac.AudioConfig.parse(bytes.fromhex(config))
    assert (parsed.sample_rate, parsed.channels) == core
    assert (parsed.output_rate, parsed.output_channels) == out
    assert (parsed.profile, parsed.codec_string) == (profile, codec_string)
    assert aac.AudioConfig.parse(parsed.serialize()) == parsed


def test_usual_configs_have_their_usual_bytes():
    assert aac.build_config(48000, 2) == bytes.fromhex("1190")
    assert aac.build_config(22050, 2, extension_rate=44100) == bytes.fromhex("2b920800")
    assert aac.build_config(22050, 1, extension_rate=44100, ps=True) == bytes.fromhex("eb8a0800")
    assert aac.AudioConfig.parse(aac.build_config(44391, 8)).channels == 8
    with pytest.raises(MediaError, match="9 channels"):
        aac.build_config(48000, 9)
    with pytest.raises(MediaError, match="sample rate"):
        aac.build_config(1 << 24, 2)


@pytest.mark.parametrize(
    ("config", "problem"),
    [("", "too early"), ("1690", "reserved"), ("11d0", "reserved"), ("1780000000", "zero")],
)
def test_audio_configs_that_are_none(config, problem):
    with pytest.raises(MediaError, match=problem):
        aac.AudioConfig.parse(bytes.fromhex(config))


def test_adts_of_ffmpeg_is_read_and_written(encode_audio):
    boxed = encode_audio("aac", 44100, "stereo")
    framed = encode_audio("aac", 44100, "stereo", suffix="aac")
    config = aac.AudioConfig.parse(boxed.config)
    rebuilt = b""
    payloads = []
    for header, payload in aac.iter_adts(framed.data):
        assert aac.AudioConfig.parse(header.config) == config
        assert header.blocks == 1
        rebuilt += aac.adts_header(config, len(payload)) + payload
        payloads.append(bytes(payload))
    assert tuple(payloads) == boxed.packets
    assert [packet.size for packet in _packets(rebuilt)] == [len(packet) for packet in framed.packets]


def _packets(data: bytes) -> list[av.Packet]:
    with av.open(io.BytesIO(data), format="aac") as container:
        return [packet for packet in container.demux() if packet.size]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("00f14c80", "syncword"),
        ("fff74c800000fc", "layer"),
        ("fff17c80021ffc", "not allowed"),
        ("fff14c80001ffc", "shorter"),
        ("fff14c", "too early"),
    ],
)
def test_adts_headers_that_are_none(header, problem):
    with pytest.raises(MediaError, match=problem):
        aac.AdtsHeader.parse(bytes.fromhex(header))


def test_adts_cut_short():
    frame = aac.adts_header(aac.AudioConfig.parse(b"\x11\x90"), 4) + b"data"
    assert [bytes(payload) for _, payload in aac.iter_adts(frame * 2)] == [b"data", b"data"]
    with pytest.raises(MediaError, match="11 bytes with 10"):
        list(aac.iter_adts(frame[:-1]))
    with pytest.raises(MediaError, match="no room"):
        aac.adts_header(aac.AudioConfig.parse(b"\x11\x90"), 8185)


# ----------------------------------------------------------------------- Opus


@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_opus_facts_are_those_ffprobe_sees(encode_audio, dash_codecs, layout):
    made = encode_audio("libopus", 48000, layout, sample_format="flt")
    head = opus.OpusHead.parse(made.config)
    facts = describe_config(CodecId.OPUS, made.config)
    assert facts.channels == head.channels == made.probe["channels"]
    assert facts.sample_rate == int(made.probe["sample_rate"]) == 48000
    assert facts.codec_string == dash_codecs(made.data) == "opus"
    assert head.serialize() == made.config
    assert head.pre_skip == 312


@pytest.mark.parametrize("milliseconds", ["2.5", "5", "10", "20", "40", "60", "120"])
def test_opus_durations_are_those_of_the_encoder(encode_audio, milliseconds):
    made = encode_audio("libopus", 48000, "stereo", sample_format="flt", options={"frame_duration": milliseconds})
    measured = [opus.packet_samples(packet) for packet in made.packets]
    assert set(measured) == {int(float(milliseconds) * 48)}
    assert tuple(measured[:-1]) == made.durations[:-1]


def test_opus_speech_modes_have_their_frames():
    # SILK 60 ms, hybrid 20 ms, CELT 2.5 ms: configurations 3, 13 and 16 of RFC 6716, table 2.
    assert opus.packet_samples(bytes((3 << 3,))) == 2880
    assert opus.packet_samples(bytes((13 << 3 | 1,))) == 1920
    assert opus.packet_samples(bytes((16 << 3 | 3, 48))) == 5760


@pytest.mark.parametrize("packet", [b"", b"\x03", b"\x03\x00", b"\x1b\x03"])
def test_opus_packets_that_are_none(packet):
    with pytest.raises(MediaError):
        opus.packet_samples(packet)


@pytest.mark.parametrize(
    "head",
    [
        b"OpusHead",
        b"OpusTags" + bytes(11),
        b"OpusHead\x10\x02" + bytes(9),
        b"OpusHead\x01\x00" + bytes(9),
        b"OpusHead\x01\x03" + bytes(9),
        b"OpusHead\x01\x03" + bytes(8) + b"\x01\x02\x01\x00\x01",
        b"OpusHead\x01\x03" + bytes(8) + b"\x01\x02\x01\x00\x01\x03",
        b"OpusHead\x01\x03" + bytes(8) + b"\x01\x01\x02\x00\x01\x02",
    ],
)
def test_opus_heads_that_are_none(head):
    with pytest.raises(MediaError):
        opus.OpusHead.parse(head)


def test_opus_heads_that_can_not_be_written():
    with pytest.raises(MediaError, match="mapped"):
        opus.OpusHead(3, family=1, streams=2, coupled=1, mapping=b"\x00\x01").serialize()
    with pytest.raises(MediaError, match="out of range"):
        opus.OpusHead(2, pre_skip=1 << 16, coupled=1).serialize()

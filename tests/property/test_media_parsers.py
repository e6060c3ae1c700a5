"""Hostile bytes: whatever a codec parser is fed, a `MediaError` is all that may come out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId, aac, ac3, annexb, av1, h264, h265, opus
from arclyd.media.codecs.describe import ConfigFacts, describe_config

# Written by libx264, libx265, libsvtav1, FFmpeg's aac and libopus.
AVCC = bytes.fromhex("0164001fffe100196764001facd940d83de6e10000030001000003003c0f18319601000668ebe3cb22c0fdf8f800")
HVCC = bytes.fromhex(
    "0101600000009000000000005af000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003005a959809210001"
    "002942010101600000030090000003000003005aa006b201e1d796566924cae68080000003008000000f0422000100074401c172b46240"
)
AV1C = bytes.fromhex("81040c000a0b00000024c6abdf00be0010")
KEY_UNIT = bytes.fromhex("0a0b000000043cfecc4af900403206100000800000")
ASC = bytes.fromhex("138856e5a54880")
PCE_ASC = bytes.fromhex("118004c4040021100d4c61766336322e32382e31303256e500")
DAC3 = bytes.fromhex("103d40")  # 48 kHz, 5.1, 384 kbit/s (ETSI TS 102 366, F.4)
HEAD = b"OpusHead\x01\x06\x38\x01\x80\xbb\x00\x00\x00\x00\x01\x04\x02\x00\x04\x01\x02\x03\x05"
ADTS = bytes.fromhex("fff14c800161fc") + b"data" + bytes.fromhex("fff14c800161fc") + b"data"

H264_SPS = h264.AvcConfig.parse(AVCC).sps[0]
H265_SPS = h265.HevcConfig.parse(HVCC).units(h265.NalType.SPS)[0]
ACCESS_UNIT = annexb.join_length_prefixed([b"\x09\x10", H264_SPS, b"\x65" + bytes(range(32))])
BYTE_STREAM = annexb.join_annexb([b"\x09\x10", H264_SPS, b"\x68\xce\x3c\x80", b"\x65" + bytes(range(1, 32))])
H265_STREAM = annexb.join_annexb(
    [unit for array in h265.HevcConfig.parse(HVCC).arrays for unit in array.units] + [b"\x26\x01\xaf"]
)

Parser = Callable[[bytes], object]
PARSERS: dict[str, tuple[Parser, bytes]] = {
    "avcC": (h264.AvcConfig.parse, AVCC),
    "H.264 SPS": (h264.parse_sps, H264_SPS),
    "H.264 keyframe": (h264.is_keyframe, ACCESS_UNIT),
    "H.264 extradata": (h264.config_from_annexb, BYTE_STREAM),
    "hvcC": (h265.HevcConfig.parse, HVCC),
    "H.265 SPS": (h265.parse_sps, H265_SPS),
    "H.265 keyframe": (h265.is_keyframe, ACCESS_UNIT),
    "H.265 extradata": (h265.config_from_annexb, H265_STREAM),
    "av1C": (av1.Av1Config.parse, AV1C),
    "av1C sequence header": (lambda data: av1.Av1Config.parse(data).sequence_header(), AV1C),
    "AV1 sequence header": (av1.parse_sequence_header, AV1C[6:]),
    "AV1 units": (lambda data: list(av1.iter_obus(data)), KEY_UNIT),
    "AV1 keyframe": (av1.is_keyframe, KEY_UNIT),
    "AV1 record": (av1.build_config, KEY_UNIT),
    "AudioSpecificConfig": (aac.AudioConfig.parse, ASC),
    "AudioSpecificConfig with element": (aac.AudioConfig.parse, PCE_ASC),
    "ADTS header": (aac.AdtsHeader.parse, ADTS),
    "ADTS config": (lambda data: aac.AdtsHeader.parse(data).config, ADTS),
    "ADTS": (lambda data: list(aac.iter_adts(data)), ADTS),
    "AC3SpecificBox": (ac3.read_config, DAC3),
    "OpusHead": (opus.OpusHead.parse, HEAD),
    "Opus packet": (opus.packet_samples, b"\x1b\x02"),
    "Annex B": (annexb.split_annexb, BYTE_STREAM),
    "length-prefixed": (annexb.split_length_prefixed, ACCESS_UNIT),
    "length-prefixed 1": (lambda data: annexb.split_length_prefixed(data, 1), ACCESS_UNIT),
}

CONFIGS = {
    CodecId.H264: AVCC,
    CodecId.H265: HVCC,
    CodecId.AV1: AV1C,
    CodecId.AAC: ASC,
    CodecId.AC3: DAC3,
    CodecId.OPUS: HEAD,
}

OUTCOMES = {"read", "refused"}

every_parser = pytest.mark.parametrize("name", PARSERS)


def _feed(parse: Parser, data: bytes) -> str:
    """What became of ``data``; any exception but `MediaError` fails the test."""
    try:
        parse(data)
    except MediaError:
        return "refused"
    return "read"


def _damage(sample: bytes) -> st.SearchStrategy[bytes]:
    def apply(edits: list[tuple[int, int]], cut: int, tail: bytes) -> bytes:
        data = bytearray(sample)
        for place, mask in edits:
            data[place] ^= mask
        return bytes(data[:cut]) + tail

    edits = st.lists(st.tuples(st.integers(0, len(sample) - 1), st.integers(0, 255)), max_size=4)
    cuts = st.one_of(st.just(len(sample)), st.integers(0, len(sample)))
    return st.builds(apply, edits, cuts, st.binary(max_size=16))


@pytest.mark.parametrize("name", [name for name in PARSERS if name != "length-prefixed 1"])
def test_the_samples_are_sound(name):
    parse, sample = PARSERS[name]
    assert _feed(parse, sample) == "read"


@every_parser
def test_every_truncation(name):
    parse, sample = PARSERS[name]
    assert {_feed(parse, sample[:size]) for size in range(len(sample))} <= OUTCOMES


@every_parser
def test_every_bit_flipped(name):
    parse, sample = PARSERS[name]
    flips = [
        bytes((*sample[:i], sample[i] ^ 1 << bit, *sample[i + 1 :])) for i in range(len(sample)) for bit in range(8)
    ]
    assert {_feed(parse, flip) for flip in flips} <= OUTCOMES


@every_parser
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage(name, data):
    parse, sample = PARSERS[name]
    damaged = data.draw(_damage(sample))
    assert _feed(parse, damaged) in OUTCOMES


@every_parser
@settings(max_examples=60, deadline=None)
@given(garbage=st.binary(max_size=200))
@example(garbage=b"\xff" * 200)
@example(garbage=b"\x00" * 200)
def test_garbage(name, garbage):
    parse, sample = PARSERS[name]
    assert _feed(parse, garbage) in OUTCOMES
    assert _feed(parse, sample[:4] + garbage) in OUTCOMES


@settings(max_examples=200, deadline=None)
@given(codec=st.sampled_from(CodecId), garbage=st.binary(max_size=100), prefix=st.integers(0, 60))
def test_description_of_garbage(codec, garbage, prefix):
    config = CONFIGS.get(codec, b"")[:prefix] + garbage
    try:
        facts = describe_config(codec, config)
    except MediaError:
        assert codec in CONFIGS
    else:
        assert isinstance(facts, ConfigFacts)
        assert min(facts.width, facts.height, facts.sample_rate, facts.channels) >= 0


def test_large_hostile_bytes_are_refused_in_linear_time():
    zeros = bytes(1 << 20)
    assert annexb.split_annexb(zeros + b"\x01" + zeros) == []
    with pytest.raises(MediaError):
        annexb.split_annexb(zeros + b"\x02")
    with pytest.raises(MediaError):
        h264.parse_sps(H264_SPS[:4] + zeros)
    with pytest.raises(MediaError):
        h265.parse_sps(H265_SPS[:4] + zeros)
    assert len(annexb.split_annexb(b"\x00\x00\x01\x09" * (1 << 16))) == 1 << 16

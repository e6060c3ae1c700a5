"""Decoder configuration records of any content: what is written is what is read."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from arclyd.media.codecs import aac, av1, h264, h265, opus

byte = st.integers(0, 255)
depth = st.integers(8, 15)


def units(header: bytes, most: int) -> st.SearchStrategy[tuple[bytes, ...]]:
    return st.lists(st.binary(max_size=40).map(lambda body: header + body), max_size=most).map(tuple)


@st.composite
def avc_configs(draw: st.DrawFn) -> h264.AvcConfig:
    profile = draw(st.sampled_from([66, 77, 88, 100, 110, 122, 244, 44]))
    extension = draw(st.tuples(st.integers(0, 3), depth, depth, units(b"\x6d", 3)))
    length_size = draw(st.sampled_from([1, 2, 4]))
    sets = draw(units(b"\x67", 31)), draw(units(b"\x68", 40))
    written = () if profile in {66, 77, 88} else extension
    return h264.AvcConfig(profile, draw(byte), draw(byte), length_size, *sets, *written)


@settings(deadline=None)
@given(config=avc_configs())
def test_avc_records(config):
    assert h264.AvcConfig.parse(config.serialize()) == config


profiles = st.builds(
    h265.ProfileTierLevel,
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 31),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 48) - 1),
    byte,
)
arrays = st.integers(0, 63).flatmap(
    lambda kind: st.builds(h265.NalArray, st.just(kind), units(bytes((kind << 1, 1)), 5), st.booleans())
)


@settings(deadline=None)
@given(
    config=st.builds(
        h265.HevcConfig,
        profiles,
        st.integers(0, 3),
        depth,
        depth,
        st.integers(0, 4095),
        st.integers(0, 3),
        st.integers(0, 65535),
        st.integers(0, 3),
        st.integers(0, 7),
        st.booleans(),
        st.sampled_from([1, 2, 4]),
        st.lists(arrays, max_size=5).map(tuple),
    )
)
def test_hevc_records(config):
    assert h265.HevcConfig.parse(config.serialize()) == config
    assert config.codec_string.startswith("hvc1.")


@given(
    config=st.builds(
        av1.Av1Config,
        st.integers(0, 7),
        st.integers(0, 31),
        st.booleans(),
        st.sampled_from([8, 10, 12]),
        st.booleans(),
        st.tuples(st.integers(0, 1), st.integers(0, 1)),
        st.integers(0, 3),
        st.integers(0, 16),
        st.binary(max_size=50),
    )
)
def test_av1_records(config):
    assert av1.Av1Config.parse(config.serialize()) == config


rates = st.one_of(st.sampled_from([8000, 22050, 44100, 48000, 96000]), st.integers(1, (1 << 24) - 1))


@st.composite
def audio_configs(draw: st.DrawFn) -> aac.AudioConfig:
    channel_config, channels = draw(st.sampled_from([(1, 1), (2, 2), (6, 6), (7, 8), (11, 7), (12, 8), (14, 8)]))
    extension = draw(st.one_of(st.just(0), rates))
    return aac.AudioConfig(
        draw(st.integers(1, 4)),
        draw(rates),
        channel_config,
        channels,
        bool(extension),
        bool(extension) and draw(st.booleans()),
        extension,
        draw(st.booleans()) or not extension,
        draw(st.sampled_from([1024, 960])),
    )


@given(config=audio_configs())
def test_audio_configs(config):
    assert aac.AudioConfig.parse(config.serialize()) == config


@given(config=audio_configs(), size=st.integers(0, 8184))
def test_adts_headers(config, size):
    config = aac.AudioConfig(config.object_type, 44100, min(config.channel_config, 7), config.channels)
    header = aac.AdtsHeader.parse(aac.adts_header(config, size))
    assert (header.object_type, header.sample_rate, header.channel_config) == (
        config.object_type,
        config.sample_rate,
        config.channel_config,
    )
    assert (header.size, header.header_size, header.blocks) == (size + 7, 7, 1)


@st.composite
def opus_heads(draw: st.DrawFn) -> opus.OpusHead:
    facts = (
        draw(st.integers(0, 65535)),
        draw(st.integers(0, (1 << 32) - 1)),
        draw(st.integers(-(1 << 15), (1 << 15) - 1)),
    )
    family = draw(st.sampled_from([0, 1, 255]))
    channels = draw(st.integers(1, {0: 2, 1: 8, 255: 255}[family]))
    if not family:
        return opus.OpusHead(channels, *facts, 0, 1, channels - 1)
    streams = draw(st.integers(1, 127))
    coupled = draw(st.integers(0, streams))
    places = st.one_of(st.integers(0, streams + coupled - 1), st.just(255))
    mapping = bytes(draw(st.lists(places, min_size=channels, max_size=channels)))
    return opus.OpusHead(channels, *facts, family, streams, coupled, mapping)


@settings(deadline=None)
@given(head=opus_heads())
def test_opus_heads(head):
    assert opus.OpusHead.parse(head.serialize() + b"later") == head


@given(size=st.integers(0, 1 << 40))
def test_sizes_of_units(size):
    framed = av1.leb128(size)
    assert av1.read_leb128(memoryview(framed + b"\x80"), 0) == (size, len(framed))

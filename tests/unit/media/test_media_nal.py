"""Annex B becomes length-prefixed, and parameter sets become configurations."""

from __future__ import annotations

import pytest

from arclyd.errors import MediaError
from arclyd.media.codecs import CodecId
from arclyd.media.codecs.h264 import AvcConfig
from arclyd.media.codecs.nal import AnnexB

SPS = bytes.fromhex("674d401fda014016ec0440000003004000000c83c60ca8")
SPS_SMALL = bytes.fromhex("6742c01eda0280bfe5840000030004000003 00ca3c60ca80".replace(" ", ""))
PPS = bytes.fromhex("68ef3c80")
PPS_1 = bytes.fromhex("684ef3c8")  # id 1
SLICE = b"\x65" + bytes(range(1, 60))
AUD = b"\x09\xf0"


def annexb(*units: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def prefixed(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def test_parameter_sets_and_delimiters_leave_the_frame() -> None:
    framing = AnnexB(CodecId.H264)
    assert framing.config == b""
    assert framing.convert(annexb(AUD, SPS, PPS, SLICE)) == prefixed(SLICE)
    config = AvcConfig.parse(framing.config)
    assert (config.sps, config.pps) == ((SPS,), (PPS,))


def test_extradata_is_known_before_the_first_frame() -> None:
    framing = AnnexB(CodecId.H264, annexb(SPS, PPS))
    before = framing.config
    assert before[:1] == b"\x01"
    framing.convert(annexb(SPS, PPS, SLICE))
    assert framing.config is before


def test_a_new_sequence_replaces_all_and_a_lone_picture_set_is_added_by_its_id() -> None:
    framing = AnnexB(CodecId.H264, annexb(SPS, PPS))
    framing.convert(annexb(PPS_1, SLICE))
    assert AvcConfig.parse(framing.config).pps == (PPS, PPS_1)
    framing.convert(annexb(SPS_SMALL, PPS, SLICE))
    config = AvcConfig.parse(framing.config)
    assert (config.sps, config.pps) == ((SPS_SMALL,), (PPS,))


def test_nothing_but_parameter_sets_is_no_frame() -> None:
    assert AnnexB(CodecId.H264).convert(annexb(AUD, SPS, PPS)) == b""


def test_sets_that_can_not_be_read_leave_those_before_in_force() -> None:
    framing = AnnexB(CodecId.H264, annexb(SPS, PPS))
    before = framing.config
    with pytest.raises(MediaError):
        framing.convert(annexb(b"\x67\x42", PPS, SLICE))
    assert framing.config is before
    framing.convert(annexb(SPS, PPS, SLICE))
    assert framing.config is before


def test_bytes_that_are_not_annexb_are_an_error() -> None:
    with pytest.raises(MediaError):
        AnnexB(CodecId.H264).convert(b"\x12\x34\x56")

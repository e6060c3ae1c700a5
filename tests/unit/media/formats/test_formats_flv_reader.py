"""FLV out of any split of its bytes; what is none, or too large, ends it."""

from __future__ import annotations

import struct
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arclyd.errors import MediaError
from arclyd.media.formats import flv
from arclyd.media.formats.flv_reader import FlvReader, Tag, TagLimits

HEADER = flv.file_header([])
KINDS = (flv.AUDIO_TAG, flv.VIDEO_TAG, flv.SCRIPT_TAG)
TAGS = st.lists(
    st.builds(Tag, st.sampled_from(KINDS), st.integers(0, 0xFFFF_FFFF), st.binary(max_size=600)), max_size=8
)


def written(tags: list[Tag]) -> bytes:
    return HEADER + b"".join(flv.tag(tag.kind, tag.timestamp, tag.body) for tag in tags)


@settings(deadline=None)
@given(TAGS, st.lists(st.integers(0, 1 << 16), max_size=12))
def test_tags_come_back_at_any_split(tags: list[Tag], cuts: list[int]) -> None:
    data, reader, found = written(tags), FlvReader(), []
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for at, end in pairwise(places):
        found += reader.receive(data[at:end])
    assert found == tags
    assert reader.held == 0


def test_tags_come_back_byte_by_byte() -> None:
    tags = [Tag(flv.VIDEO_TAG, 0xFF00_0001, b"picture"), Tag(flv.AUDIO_TAG, 0, b""), Tag(flv.SCRIPT_TAG, 7, b"x")]
    reader = FlvReader()
    assert [tag for byte in written(tags) for tag in reader.receive(bytes((byte,)))] == tags


def test_the_header_says_where_the_tags_begin() -> None:
    head = HEADER[:5] + struct.pack(">I", 12) + b"new" + bytes(4)
    assert FlvReader().receive(head + flv.tag(flv.AUDIO_TAG, 5, b"a")) == [Tag(flv.AUDIO_TAG, 5, b"a")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"G" * 4, "begin"),
        (b"FLW", "begin"),
        (b"FLV\x02", "begin"),
        (HEADER[:5] + struct.pack(">I", 8) + bytes(4), "header of 8"),
        (HEADER[:5] + struct.pack(">I", 1 << 30), "header of"),
        (HEADER + flv.tag(99, 0, b"x"), "type 99"),
        (HEADER + flv.tag(flv.VIDEO_TAG | 0x20, 0, b"encrypted"), "type 41"),
        (HEADER + bytes((9, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1)), "no tag"),
    ],
)
def test_what_is_no_flv_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(MediaError, match=said):
        FlvReader().receive(data)


def test_a_tag_that_is_too_large_is_refused_before_it_comes() -> None:
    limits = TagLimits(video=100, audio=50, script=20)
    for kind, limit in zip((flv.VIDEO_TAG, flv.AUDIO_TAG, flv.SCRIPT_TAG), (100, 50, 20), strict=True):
        assert FlvReader(limits).receive(HEADER + flv.tag(kind, 0, bytes(limit)))
        with pytest.raises(MediaError, match="the limit is"):
            FlvReader(limits).receive(HEADER + flv.tag(kind, 0, bytes(limit + 1))[:11])


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_garbage_is_an_error_or_waits_for_more_within_bounds(data: bytes, headed: bool) -> None:
    reader = FlvReader(TagLimits(100, 100, 100))
    with suppress(MediaError):
        reader.receive(HEADER + data if headed else data)
        assert reader.held <= 100 + 11 + 4 + 1024

"""Joining by the document, where the configuration records have wrapped."""

from __future__ import annotations

import os

from arclyd.ring import _ring
from tests.layout.golden_region import descriptor
from tests.layout.make_golden import TRACKS
from tests.layout.plain_reader import PlainReader


def test_a_stream_of_many_configurations_stays_joinable() -> None:
    """One track changes all the time, one was configured once, others never were: none of them is missed."""
    with descriptor(b"") as fd:
        os.ftruncate(fd, _ring.region_size(ring_bytes=1 << 20, slots=512))
        _ring.format_region(fd, key="live/many", ring_bytes=1 << 20, slots=512)
        region, plain = _ring.Region(fd, writable=True), PlainReader(fd)
    writer = _ring.Writer(region, TRACKS)
    writer.set_config(1, b"sound")
    for number in range(150):
        config = b"%d" % number
        writer.set_config(0, config)
        writer.publish(0, b"picture", pts=number * 3600, keyframe=True)
        joined = plain.join()
        assert joined is not None
        assert [found.data for found in joined[0]] == [config, b"sound"]
        reader = _ring.Reader(region)
        received = [reader.recv(0) for _ in range(3)]
        assert [bytes(item) for item in received if isinstance(item, _ring.Frame)] == [config, b"sound", b"picture"]


def test_a_successor_without_configurations_has_none() -> None:
    with descriptor(b"") as fd:
        os.ftruncate(fd, _ring.region_size(ring_bytes=1 << 20, slots=512))
        _ring.format_region(fd, key="live/next", ring_bytes=1 << 20, slots=512)
        region, plain = _ring.Region(fd, writable=True), PlainReader(fd)
    first = _ring.Writer(region, TRACKS)
    first.set_config(0, b"of the first")
    first.publish(0, b"picture", pts=0, keyframe=True)
    first.detach()
    second = _ring.Writer(region, TRACKS)
    second.publish(0, b"picture", pts=3600, keyframe=True)
    joined = plain.join()
    assert joined is not None
    assert joined[0] == []
    item = _ring.Reader(region).recv(0)
    assert isinstance(item, _ring.Frame)
    assert (item.seq, bytes(item)) == (joined[1].key_seq, b"picture")

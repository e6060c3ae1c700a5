"""Frames, gaps and spans as Python objects: what they say, how long they live, what they refuse."""

from __future__ import annotations

import ctypes
import errno
import functools
import gc
import mmap
import os
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest

from arclyd.errors import (
    ConfigTooLarge,
    FrameCorrupt,
    FrameOverwritten,
    FrameTooLarge,
    PublisherClosed,
    PublisherReplaced,
)
from arclyd.ring import _ring, region
from arclyd.ring._ring import Frame, Gap, Reader, Region, Writer
from tests.unit.ring.rings import AUDIO, VIDEO, Ring, drain, take

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_frame_says_what_was_published(ring: Ring) -> None:
    writer, reader = ring.writer(), ring.reader("live")
    writer.set_config(0, b"avcc", 1920, 1080)
    writer.publish(
        0, b"payload", pts=-7, dts=-9, duration=3000, keyframe=True, droppable=True, corrupt=True, capture_ns=5
    )
    writer.publish(1, bytearray(b"sound"), pts=4)
    config, frame, sound = drain(reader)
    assert (config.seq, config.is_config, config.tobytes(), config.config_generation) == (0, True, b"avcc", 1)
    assert (frame.seq, frame.track, frame.pts, frame.dts, frame.duration) == (1, 0, -7, -9, 3000)
    assert (frame.keyframe, frame.is_config, frame.discontinuity, frame.droppable, frame.corrupt) == (
        True, False, False, True, True,
    )  # fmt: skip
    assert frame.flags == _ring.KEY | _ring.DROPPABLE | _ring.CORRUPT
    assert (frame.epoch, frame.config_generation, frame.join_seq, frame.capture_ns) == (1, 1, 1, 5)
    assert (frame.size, len(frame), frame.crc32c) == (7, 7, None)
    assert frame.data == b"payload" == frame.tobytes()
    assert (sound.seq, sound.track, sound.dts, sound.duration, sound.tobytes()) == (2, 1, 4, None, b"sound")
    assert frame.publish_ns <= sound.publish_ns
    assert sound.capture_ns > 1_600_000_000 * 10**9
    assert "seq=1" in repr(frame)
    assert "key" in repr(frame)


def test_a_frames_facts_cant_be_changed(ring: Ring) -> None:
    ring.writer().publish(0, b"x", pts=0, keyframe=True)
    frame = take(ring.reader())
    with pytest.raises(AttributeError):
        frame.seq = 5  # type: ignore[misc]  # that is the test
    with pytest.raises(TypeError):
        Frame()
    with pytest.raises(TypeError):
        frame.data[0] = 1


def test_gaps_are_values() -> None:
    gap = Gap(3, 10)
    assert (gap.missed, gap.resumed_at) == (3, 10)
    assert gap == Gap(3, 10)
    assert gap != Gap(4, 10)
    assert gap != (3, 10)
    assert hash(gap) == hash(Gap(missed=3, resumed_at=10))
    assert repr(gap) == "Gap(missed=3, resumed_at=10)"


def test_an_overwritten_frame_says_so(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(ring_bytes=16 << 10)
    writer, reader = ring.writer(), ring.reader()
    writer.publish(0, b"a" * 2048, pts=0, keyframe=True)
    frame = take(reader)
    for pts in range(1, 8):
        writer.publish(0, b"b" * 2048, pts=pts)
        assert frame.is_intact()
        assert frame.tobytes() == b"a" * 2048
    writer.publish(0, b"c", pts=9)
    assert not frame.is_intact()
    with pytest.raises(FrameOverwritten) as raised:
        frame.tobytes()
    assert raised.value.seq == 0
    assert reader.recv(0) is not None


def test_a_wrong_checksum_is_corruption(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(crc=True)
    ring.writer().publish(0, b"123456789", pts=0, keyframe=True)
    frame = take(ring.reader())
    assert frame.crc32c == 0xE3069283
    assert frame.flags & _ring.HAS_CRC
    assert frame.tobytes() == b"123456789"
    fd = region.open_writable(ring.file.name)
    with mmap.mmap(fd, 0) as memory:
        memory[memory.find(b"123456789")] = 0
    os.close(fd)
    with pytest.raises(FrameCorrupt):
        frame.tobytes()


# ---------------------------------------------------------------- lifetimes


def test_a_view_outlives_everything_it_came_from(ring: Ring) -> None:
    writer, reader = ring.writer(), ring.reader()
    payload = os.urandom(5000)
    writer.publish(0, payload, pts=0, keyframe=True)
    frame = take(reader)
    view, part, array = frame.data, frame.data[100:200], np.frombuffer(frame, dtype=np.uint8)
    del frame, reader, writer
    region.unlink(ring.file.name)
    gc.collect()
    assert bytes(view) == payload
    assert bytes(part) == payload[100:200]
    assert array.tobytes() == payload
    assert not array.flags.writeable


def test_a_configuration_outlives_its_record(ring: Ring) -> None:
    writer = ring.writer()
    writer.set_config(0, b"first")
    writer.publish(0, b"x", pts=0, keyframe=True)
    frame = take(ring.reader())
    view = frame.data
    for _ in range(100):
        writer.set_config(0, b"later")
    assert frame.is_intact()
    assert (bytes(view), frame.tobytes()) == (b"first", b"first")


def test_read_only_mappings_cant_be_made_writable(ring: Ring) -> None:
    ring.writer().publish(0, b"x" * 100, pts=0, keyframe=True)
    payload = np.frombuffer(take(ring.reader()), dtype=np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    page = ctypes.c_void_p(payload.ctypes.data & ~(mmap.PAGESIZE - 1))
    assert libc.mprotect(page, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE) == -1
    assert ctypes.get_errno() == errno.EACCES
    fd = region.open_readonly(ring.file.name)
    with pytest.raises(PermissionError):
        Region(fd, writable=True)
    os.close(fd)


def test_the_daemons_words_need_a_writable_mapping(ring: Ring) -> None:
    readonly = ring.readonly()
    for change in (readonly.set_subscribers, readonly.grant, readonly.close_stream):
        with pytest.raises(TypeError, match="read-only"):
            change(1)
    with pytest.raises(TypeError, match="read-only"):
        readonly.request_keyframe()
    with pytest.raises(TypeError, match="writable"):
        Writer(readonly, [VIDEO])
    with pytest.raises(TypeError):
        Reader("region")  # type: ignore[arg-type]  # that is the test


# --------------------------------------------------------------------- spans


def test_a_span_is_filled_in_place(ring: Ring) -> None:
    region_, writer, reader = ring.writable(), ring.writer(), ring.reader("live")
    region_.set_subscribers(3)
    with writer.reserve(0, 1000) as span:
        span.buffer[:5] = b"hello"
        assert len(span.buffer) == 1000
        assert not span.buffer.readonly
        assert reader.recv(0) is None
        assert span.commit(5, pts=1, keyframe=True) == 3
    assert take(reader).tobytes() == b"hello"


def test_a_span_left_uncommitted_is_given_back(ring: Ring) -> None:
    writer, reader = ring.writer(), ring.reader("live")
    with pytest.raises(ZeroDivisionError), writer.reserve(0, 10):
        raise ZeroDivisionError
    span = writer.reserve(0, 10)
    with pytest.raises(RuntimeError, match="span"):
        writer.publish(0, b"x", pts=0)
    with pytest.raises(RuntimeError, match="span"):
        writer.reserve(0, 10)
    span.abort()
    span.abort()
    writer.reserve(0, 10)  # dropped at once: given back
    gc.collect()
    writer.publish(0, b"after", pts=0, keyframe=True)
    frame = take(reader)
    assert (frame.seq, frame.tobytes()) == (0, b"after")


def test_a_span_is_used_once_and_within_its_size(ring: Ring) -> None:
    writer = ring.writer()
    span = writer.reserve(0, 10)
    kept = span.buffer
    for size in (-1, 11, 1 << 62):
        with pytest.raises(ValueError, match="outside"):
            span.commit(size, pts=0)
    with pytest.raises(TypeError):
        span.commit(5)  # type: ignore[call-arg]  # that is the test
    with pytest.raises(TypeError):
        span.commit(pts=5)  # type: ignore[call-arg]  # that is the test
    span.commit(10, pts=0, keyframe=True)
    with pytest.raises(RuntimeError, match="committed"):
        span.commit(10, pts=0)
    with pytest.raises(ValueError, match="released"):
        kept[0] = 1
    with pytest.raises(BufferError):
        span.buffer  # noqa: B018 # to ask is the test
    with pytest.raises(BufferError):
        memoryview(ring.writable())  # type: ignore[arg-type] # its memory is lent by spans only
    assert ring.readonly().head == 1
    with pytest.raises(ValueError, match="negative"):
        writer.reserve(0, -1)


def test_a_span_that_is_dropped_is_given_back_at_once(ring: Ring) -> None:
    writer = ring.writer()
    gc.disable()
    try:
        kept = writer.reserve(0, 10).buffer
        span = writer.reserve(0, 10)
        span.buffer[:5] = b"lost!"
        del span
    finally:
        gc.enable()
    with pytest.raises(ValueError, match="released"):
        kept[0] = 1
    writer.publish(0, b"next", pts=0, keyframe=True)
    assert take(ring.reader()).tobytes() == b"next"


def test_a_span_outlives_its_writer(ring: Ring) -> None:
    span = ring.writer().reserve(0, 4)
    gc.collect()
    span.buffer[:] = b"last"
    span.commit(4, pts=0, keyframe=True)
    assert take(ring.reader()).tobytes() == b"last"


# -------------------------------------------------------------------- errors


def test_too_large_a_frame_or_configuration_leaves_the_stream_alone(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(ring_bytes=64 << 10)
    writer, reader = ring.writer(), ring.reader("live")
    writer.publish(0, b"x" * 8192, pts=0, keyframe=True)
    with pytest.raises(FrameTooLarge) as large:
        writer.publish(0, b"x" * 8193, pts=1)
    assert (large.value.size, large.value.limit) == (8193, 8192)
    with pytest.raises(FrameTooLarge):
        writer.reserve(0, 1 << 40)
    with pytest.raises(ConfigTooLarge) as config:
        writer.set_config(0, b"x" * 5000)
    assert (config.value.size, config.value.limit) == (5000, ring.readonly().max_config)
    writer.publish(0, b"", pts=2)
    assert [frame.seq for frame in drain(reader)] == [0, 1]


def test_in_the_smallest_ring_a_configuration_is_bound_by_the_frame(make_ring: Callable[..., Ring]) -> None:
    with pytest.raises(ConfigTooLarge) as config:
        make_ring(ring_bytes=16 << 10).writer().set_config(0, b"x" * 2049)
    assert (config.value.size, config.value.limit) == (2049, 2048)


def test_a_writer_whose_grant_went_stops(ring: Ring) -> None:
    daemon, writer = ring.writable(), ring.writer()
    daemon.grant(1)
    writer.publish(0, b"x", pts=0, keyframe=True)
    daemon.grant(2)
    with pytest.raises(PublisherReplaced):
        writer.publish(0, b"x", pts=1)
    with pytest.raises(PublisherReplaced):
        writer.set_config(0, b"x")
    with pytest.raises(PublisherReplaced):
        writer.reserve(0, 1)
    second = ring.writer()
    assert second.epoch == 2
    second.publish(0, b"y", pts=0, keyframe=True)
    writer.end()
    assert daemon.state == _ring.STATE_LIVE


@pytest.mark.parametrize("stop", [Writer.end, Writer.detach, Writer.release])
def test_a_stopped_writer_is_closed(ring: Ring, stop: Callable[[Writer], None]) -> None:
    writer = ring.writer()
    span = writer.reserve(0, 5)
    stop(writer)
    stop(writer)
    for publish in (
        lambda: writer.publish(0, b"x", pts=0),
        lambda: writer.set_config(0, b"x"),
        lambda: writer.reserve(0, 1),
        lambda: span.commit(1, pts=0),
    ):
        with pytest.raises(PublisherClosed):
            publish()
    assert writer.keyframe_requested() is False
    assert ring.readonly().head == 0
    assert ring.readonly().state == (_ring.STATE_ENDED if stop is Writer.end else _ring.STATE_LIVE)


def test_a_released_writer_has_no_region(ring: Ring) -> None:
    writer = ring.writer()
    writer.publish(0, b"x", pts=0, keyframe=True)
    assert isinstance(writer.region, Region)
    writer.release()
    writer.release()
    writer.end()
    assert writer.region is None
    assert (writer.epoch, writer.gated, writer.keyframe_requested()) == (1, 0, False)
    assert ring.readonly().state == _ring.STATE_LIVE


def test_a_refusing_writer_raises_what_it_was_told(ring: Ring) -> None:
    writer = ring.writer()
    span = writer.reserve(0, 5)
    raised = []
    writer.refuse(functools.partial(PublisherReplaced, "live/x"))
    for publish in (
        lambda: writer.publish(0, b"x", pts=0),
        lambda: writer.set_config(0, b"x"),
        lambda: writer.reserve(0, 1),
    ):
        with pytest.raises(PublisherReplaced, match="another publisher took 'live/x' over") as caught:
            publish()
        raised.append(caught.value)
    assert len({id(error) for error in raised}) == 3  # each has a traceback of its own
    span.commit(5, pts=0)  # whose ring it is, the region says
    assert ring.readonly().head == 1


def test_a_closed_stream_has_no_writer(ring: Ring) -> None:
    writer = ring.writer()
    ring.writable().close_stream(_ring.CLOSED_REAPED)
    with pytest.raises(PublisherClosed):
        writer.publish(0, b"x", pts=0)
    with pytest.raises(PublisherClosed):
        ring.writer()


@pytest.mark.parametrize(
    ("arguments", "keywords", "error"),
    [
        ((), {"pts": 0}, TypeError),
        ((0,), {"pts": 0}, TypeError),
        ((0, b"x", 5), {"pts": 0}, TypeError),
        ((0, b"x"), {}, TypeError),
        ((0, b"x"), {"dts": 0}, TypeError),
        ((0, b"x"), {"pts": None}, TypeError),
        ((0, b"x"), {"pts": "5"}, TypeError),
        ((0, b"x"), {"pts": 1.5}, TypeError),
        ((0, b"x"), {"pts": 1 << 63}, OverflowError),
        ((0, b"x"), {"pts": 0, "keyframe": np.zeros(2)}, ValueError),
        ((0, b"x"), {"pts": 0, "keyfrane": True}, TypeError),
        ((0, b"x"), {"pts": 0, "track": 1}, TypeError),
        ((0, "text"), {"pts": 0}, TypeError),
        ((0, None), {"pts": 0}, TypeError),
        ((0, memoryview(b"abcd")[::2]), {"pts": 0}, BufferError),
        ((2, b"x"), {"pts": 0}, ValueError),
        ((16, b"x"), {"pts": 0}, ValueError),
        ((-1, b"x"), {"pts": 0}, ValueError),
        (("0", b"x"), {"pts": 0}, TypeError),
        ((1 << 70, b"x"), {"pts": 0}, OverflowError),
    ],
)
def test_wrong_arguments_publish_nothing(
    ring: Ring, arguments: tuple[object, ...], keywords: dict[str, object], error: type[Exception]
) -> None:
    writer = ring.writer()
    with pytest.raises(error):
        writer.publish(*arguments, **keywords)  # type: ignore[arg-type]  # that is the test
    assert ring.readonly().head == 0
    writer.publish(0, b"x", pts=0, dts=None, duration=None, capture_ns=None, keyframe=True)
    assert take(ring.reader()).keyframe


@pytest.mark.parametrize(
    ("tracks", "error"),
    [
        ([], ValueError),
        ([VIDEO] * 17, ValueError),
        ([(3, *VIDEO[1:])], ValueError),
        ([(0, 0, (0, 1), 0, 0, 0, 0)], ValueError),
        ([(0, 0, (1, 0), 0, 0, 0, 0)], ValueError),
        ([VIDEO[:5]], TypeError),
        (["video"], TypeError),
        (5, TypeError),
        ([(0, 0, 5, 0, 0, 0, 0)], TypeError),
    ],
)
def test_wrong_tracks_claim_nothing(ring: Ring, tracks: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        Writer(ring.writable(), tracks)  # type: ignore[arg-type]  # that is the test
    assert (ring.readonly().epoch, ring.readonly().state) == (0, _ring.STATE_NEW)


def test_objects_go_when_nobody_holds_them(ring: Ring) -> None:
    class Payload(bytearray):
        """A payload that can be watched."""

    payload = Payload(b"x")
    watch = weakref.ref(payload)
    writer = ring.writer(VIDEO, AUDIO)
    writer.publish(0, payload, pts=0, keyframe=True)
    payload.extend(b"not locked")
    del payload
    assert watch() is None

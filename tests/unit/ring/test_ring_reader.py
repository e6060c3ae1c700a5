"""What a region says of its stream: joining, gaps, lag, counters, tracks, join points, configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arclyd.ring import _ring
from arclyd.ring._ring import Frame, Gap, Writer
from tests.unit.ring.rings import AUDIO, VIDEO, Ring, drain, take

if TYPE_CHECKING:
    from collections.abc import Callable


def publish_gops(writer: Writer, count: int, frames: int = 10, size: int = 100) -> None:
    """``count`` GOPs of 25 frames a second, sound beside them."""
    for number in range(count * frames):
        writer.publish(0, bytes(size), pts=number * 3600, keyframe=number % frames == 0)
        writer.publish(1, bytes(10), pts=number * 1920)


def test_a_joiner_gets_configurations_then_a_keyframe_then_everything(ring: Ring) -> None:
    writer = ring.writer()
    writer.set_config(0, b"avcc")
    writer.set_config(1, b"asc")
    publish_gops(writer, 3)
    video, audio, *frames = drain(ring.reader())
    assert [(config.track, config.seq, config.tobytes()) for config in (video, audio)] == [
        (0, 0, b"avcc"),
        (1, 1, b"asc"),
    ]
    assert frames[0].keyframe
    assert [frame.seq for frame in frames] == list(range(42, 62))
    assert {frame.join_seq for frame in frames} == {42}
    assert [frame.seq for frame in drain(ring.reader("oldest"))][2:] == list(range(2, 62))
    assert [frame.seq for frame in drain(ring.reader("seq", 50))][-12:] == list(range(50, 62))
    assert {frame.track for frame in drain(ring.reader("oldest", track_mask=2))} == {1}


def test_an_overtaken_reader_is_told_exactly(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(slots=16)
    writer = ring.writer(VIDEO)
    readers = ring.reader(), ring.reader(resync_oldest=True)
    for pts in range(40):
        writer.publish(0, b"x", pts=pts, keyframe=pts % 10 == 0)
        if pts == 0:
            assert [take(reader).seq for reader in readers] == [0, 0]
    newest, oldest = (drain(reader) for reader in readers)
    assert newest[0] == Gap(29, 30)
    assert [frame.seq for frame in newest[1:]] == list(range(30, 40))
    assert newest[1].keyframe
    assert oldest[0] == Gap(23, 24)
    assert [frame.seq for frame in oldest[1:]] == list(range(24, 40))
    assert [reader.missed for reader in readers] == [29, 23]
    assert [reader.cursor for reader in readers] == [40, 40]


def test_lag_is_counted_in_frames_bytes_and_time(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(slots=16)
    writer, reader = ring.writer(), ring.reader("live")
    assert reader.lag() == (0, 0, 0)
    for pts in range(5):
        writer.publish(0, bytes(100), pts=pts)
    frames, size, ns = reader.lag()
    first, last = ring.readonly().frame(0), ring.readonly().frame(4)
    assert first is not None
    assert last is not None
    assert (frames, size, ns) == (5, 500, last.publish_ns - first.publish_ns)
    drain(reader)
    assert reader.lag() == (0, 0, 0)
    for pts in range(40):
        writer.publish(0, bytes(100), pts=pts)
    assert reader.lag()[:2] == (40, 1600)  # bytes: of what is still there


def test_counters_add_up(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(slots=32)
    daemon, writer = ring.writable(), ring.writer()
    before = ring.readonly().counters()
    assert (before.head, before.total_frames, before.total_bytes, before.last_publish_ns) == (0, 0, 0, 0)
    assert (before.epoch, before.state, before.held_frames) == (1, _ring.STATE_LIVE, 0)
    writer.set_config(0, b"config")
    publish_gops(writer, 4)
    daemon.set_subscribers(3)
    daemon.request_keyframe()
    counters = ring.readonly().counters()
    assert (counters.head, counters.total_frames, counters.base_seq) == (81, 81, 0)
    assert counters.total_bytes == 6 + 40 * 100 + 40 * 10
    assert counters.reserved_pos == counters.total_bytes + counters.padding_bytes
    assert (counters.largest_frame, counters.keyframes, counters.gop_count) == (100, 4, 4)
    assert (counters.longest_gop_frames, counters.longest_gop_bytes) == (20, 1100)
    assert counters.keyframe_interval_ns == 400_000_000
    assert (counters.held_frames, counters.held_bytes) == (32, 16 * 110)
    assert 0 < counters.retention_ns < counters.now_ns
    assert before.now_ns < counters.last_publish_ns <= counters.now_ns
    assert (counters.subscribers, counters.keyframe_requests, counters.closed) == (3, 1, 0)
    assert counters.writer_pid > 0


def test_tracks_are_told_with_their_counters(ring: Ring) -> None:
    writer = ring.writer()
    writer.set_config(0, b"config", 1920, 1080)
    publish_gops(writer, 2)
    video, audio = ring.readonly().tracks()
    assert (video.id, video.kind, video.codec, video.time_base) == (0, 0, 0, (1, 90000))
    assert (video.width, video.height, video.config_generation) == (1920, 1080, 1)
    assert (video.frames, video.config_frames, video.keyframes, video.bytes) == (21, 1, 2, 2006)
    assert (video.last_pts, video.last_dts) == (19 * 3600, 19 * 3600)
    assert (audio.id, audio.kind, audio.codec, audio.sample_rate, audio.channels) == (1, 1, 5, 48000, 2)
    assert (audio.frames, audio.config_frames, audio.keyframes, audio.config_generation) == (20, 0, 0, 0)
    assert 0 < video.last_publish_ns <= audio.last_publish_ns


def test_join_points_are_told(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(slots=50, gop_frames=30)
    writer = ring.writer(VIDEO)
    for number in range(60):
        writer.publish(0, bytes(10), pts=number * 3600, keyframe=number % 20 == 0)
    first, second, third = ring.readonly().gops()
    assert [gop.key_seq for gop in (first, second, third)] == [0, 20, 40]
    assert [gop.number for gop in (first, second, third)] == [0, 1, 2]
    assert (first.intact, first.joinable) == (False, False)
    assert (second.frames, second.bytes, second.duration_ns) == (20, 200, 800_000_000)
    assert (second.intact, second.joinable, second.join_seq, second.track, second.epoch) == (True, True, 20, 0, 1)
    assert (third.frames, third.duration_ns) == (20, 760_000_000)
    for number in range(60, 75):
        writer.publish(0, bytes(10), pts=number * 3600)
    assert [(gop.intact, gop.joinable) for gop in ring.readonly().gops()][2] == (True, False)
    assert [gop.number for gop in ring.readonly().gops(2)] == [1, 2]
    assert [gop.number for gop in ring.readonly().gops(9)] == [0, 1, 2]
    assert ring.reader().recv(0) is None


def test_configurations_are_told_by_generation(ring: Ring) -> None:
    writer = ring.writer()
    assert writer.set_config(0, b"one") == 1
    assert writer.set_config(1, b"two") == 2
    assert writer.set_config(0, b"") == 3
    configs = ring.readonly().configs()
    assert [(config.generation, config.track, config.seq, config.data) for config in configs] == [
        (1, 0, 0, b"one"),
        (2, 1, 1, b"two"),
        (3, 0, 2, b""),
    ]
    for number in range(200):
        writer.set_config(0, b"%d" % number)
    configs = ring.readonly().configs()
    assert len(configs) == 64
    assert configs[-1].data == b"199"
    assert [config.data for config in configs if config.track == 1] == [b"two"]  # in force, and so never lost


def test_single_frames_are_looked_up(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(slots=4, base_seq=10)
    writer, looker = ring.writer(), ring.readonly()
    for pts in range(6):
        writer.publish(0, b"%d" % pts, pts=pts)
    assert [looker.frame(seq) is not None for seq in range(9, 18)] == [False] * 3 + [True] * 4 + [False] * 2
    frame = looker.frame(15)
    assert frame is not None
    assert (frame.seq, frame.tobytes()) == (15, b"5")
    assert looker.frame((1 << 64) - 1) is None
    for wrong in (-1, 1 << 64):
        with pytest.raises(OverflowError):
            looker.frame(wrong)


def test_publishing_tells_the_number_of_subscribers_and_requests(ring: Ring) -> None:
    daemon, writer = ring.writable(), ring.writer()
    assert writer.publish(0, b"x", pts=0) == 0
    daemon.set_subscribers(12)
    assert writer.publish(0, b"x", pts=1) == 12
    assert not writer.keyframe_requested()
    daemon.request_keyframe()
    daemon.request_keyframe()
    assert writer.keyframe_requested()
    assert not writer.keyframe_requested()
    assert daemon.keyframe_requests == 2


def test_a_successor_goes_on_with_a_keyframe_marked_discontinuous(ring: Ring) -> None:
    first, reader = ring.writer(), ring.reader("live")
    first.publish(0, b"x", pts=100, keyframe=True)
    first.detach()
    second = ring.writer(VIDEO, AUDIO)
    assert second.epoch == 2
    second.set_config(0, b"config")
    second.publish(0, b"gated", pts=0)
    second.publish(1, b"gated", pts=0)
    assert second.gated == 2
    second.publish(0, b"key", pts=0, keyframe=True)
    second.publish(0, b"y", pts=1)
    frames = drain(reader)
    assert all(isinstance(frame, Frame) for frame in frames)
    assert [frame.seq for frame in frames] == [0, 1, 2, 3]
    assert [frame.epoch for frame in frames] == [1, 2, 2, 2]
    assert [frame.discontinuity for frame in frames] == [False, False, True, False]
    assert frames[2].tobytes() == b"key"

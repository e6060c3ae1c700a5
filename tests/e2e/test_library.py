"""The library over a real daemon, between real processes: what is published arrives, and joins are right."""

from __future__ import annotations

import json
import signal
import threading
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests.e2e.reading import READER, TRACKS, dense, gaps, picture, publish_pictures, seen
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Daemon, Spawner

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = "live/cam1"


def publisher(**options: object) -> arclyd.Publisher:
    return arclyd.Publisher(KEY, [arclyd.Track.video("h264", width=320, height=200)], **options)  # type: ignore[arg-type] # passed through


def drain(sub: arclyd.Subscriber) -> list[arclyd.Frame | arclyd.Gap]:
    found: list[arclyd.Frame | arclyd.Gap] = []
    while True:
        try:
            found.append(sub.recv_raw(timeout=0))
        except TimeoutError:
            return found


def seqs(sub: arclyd.Subscriber) -> list[int]:
    return [item.seq for item in drain(sub) if isinstance(item, arclyd.Frame)]


def test_three_processes_receive_every_frame_byte_for_byte(daemon: Daemon, spawn: Spawner) -> None:
    with arclyd.Publisher(KEY, TRACKS, name="camera") as pub:
        readers = [spawn(READER, KEY, json.dumps({"start": "oldest", "name": f"r{n}"})) for n in range(3)]
        for reader in readers:
            reader.await_line("attached")
        digests = publish_pictures(pub, 0, 600)
        assert pub.publish(1, b"x", pts=0) == 3
    for reader in readers:
        assert reader.finish()[-1] == "end ended 0"
        frames = seen(reader)
        assert dense([frame.seq for frame in frames])
        assert [frame.digest for frame in frames if not frame.is_config][:-1] == digests
        assert [frame.track for frame in frames[:2]] == [0, 1]
        assert all(frame.is_config for frame in frames[:2])
        assert frames[2].keyframe


def test_a_late_joiner_gets_configuration_then_a_keyframe_then_every_sequence(daemon: Daemon) -> None:
    with arclyd.Publisher(KEY, TRACKS) as pub:
        publish_pictures(pub, 0, 57)
        with arclyd.Subscriber(KEY) as sub:
            first = [item for item in drain(sub) if isinstance(item, arclyd.Frame)]
            publish_pictures(pub, 57, 40)
            rest = [item for item in drain(sub) if isinstance(item, arclyd.Frame)]
    configs = [frame for frame in first if frame.is_config]
    assert {frame.track for frame in configs} == {0, 1}
    assert [frame.tobytes() for frame in configs if frame.track == 0] == [TRACKS[0].config]
    media = [frame for frame in first + rest if not frame.is_config]
    video = next(frame for frame in media if frame.track == 0)
    assert video.keyframe
    assert video.pts == 50 * 1800, "the newest keyframe"
    assert dense([frame.seq for frame in media[media.index(video) :]])
    assert media[-1].seq == 2 + 57 + 40 - 1
    assert sub.dropped == 0


def test_where_a_reader_starts(daemon: Daemon) -> None:
    with publisher() as pub:
        for n in range(25):
            pub.publish(0, b"%d" % n, pts=n * 90_000, keyframe=n % 10 == 0)
        starts: list[str | float] = ["keyframe", "live", "oldest", 7, 24, 25]
        readers = {start: arclyd.Subscriber(KEY, start=start) for start in starts}
        pub.publish(0, b"25", pts=25 * 90_000)
        found = {start: seqs(reader) for start, reader in readers.items()}
        for reader in readers.values():
            reader.close()
    assert found["keyframe"] == [20, 21, 22, 23, 24, 25]
    assert found["live"] == [25]
    assert found["oldest"] == list(range(26))
    assert found[7] == list(range(7, 26))
    assert found[24] == [24, 25]
    assert found[25] == [25]


def test_a_start_some_seconds_ago_is_a_join_point(daemon: Daemon) -> None:
    with publisher() as pub:
        for n in range(30):
            pub.publish(0, b"%d" % n, pts=n * 90_000, keyframe=n % 10 == 0)
        with arclyd.Subscriber(KEY, start=-3600.0) as all_of_it:
            assert seqs(all_of_it) == list(range(30))
        with arclyd.Subscriber(KEY, start=-0.000001) as newest:
            assert seqs(newest)[0] in (20, 30) or seqs(newest) == []


def test_a_lapped_reader_learns_exactly_what_it_lost(daemon: Daemon) -> None:
    with publisher(ring_bytes=1 << 20, slots=64) as pub:
        pub.publish(0, picture(0), pts=0, keyframe=True)
        to_keyframe = arclyd.Subscriber(KEY, start="oldest")
        to_oldest = arclyd.Subscriber(KEY, start="oldest", resync="oldest")
        assert seqs(to_keyframe) == seqs(to_oldest) == [0]
        for n in range(1, 205):
            pub.publish(0, picture(n), pts=n, keyframe=n % 10 == 0)
        gap, *frames = drain(to_keyframe)
        assert isinstance(gap, arclyd.Gap)
        assert (gap.missed, gap.resumed_at) == (199, 200)
        assert [frame.seq for frame in frames if isinstance(frame, arclyd.Frame)] == [200, 201, 202, 203, 204]
        assert to_keyframe.dropped == 199
        gap, *frames = drain(to_oldest)
        assert isinstance(gap, arclyd.Gap)
        assert gap.resumed_at == 205 - 64, "with slots=64 exactly the last 64 frames are held"
        assert gap.missed == gap.resumed_at - 1
        assert [frame.seq for frame in frames if isinstance(frame, arclyd.Frame)] == list(range(141, 205))
        with arclyd.connect() as control:
            told = {sub.id: sub.dropped for sub in wait_until(lambda: _with_loss(control), what="the losses told")}
        assert told == {to_keyframe.id: 199, to_oldest.id: 140}
        to_keyframe.close()
        to_oldest.close()


def _with_loss(control: arclyd.Control) -> tuple[object, ...]:
    found = control.subscribers(KEY)
    return found if all(sub.dropped for sub in found) else ()


def test_a_reader_that_keeps_losing_frames_is_evicted_once(daemon: Daemon) -> None:
    told: list[tuple[str, int]] = []

    class Watcher(arclyd.Observer):
        def on_evicted(self, key: str, dropped: int) -> None:
            told.append((key, dropped))

    with publisher(slots=16, ring_bytes=1 << 20) as pub, arclyd.connect() as control:
        events = control.events()
        sub = arclyd.Subscriber(KEY, start="oldest", resync="oldest", max_lag=50, observer=Watcher())
        pub.publish(0, b"x", pts=0, keyframe=True)
        assert sub.recv(timeout=5).seq == 0
        for n in range(1, 16 + 51):
            pub.publish(0, b"x", pts=n, keyframe=True)
        gap = sub.recv_raw()
        assert isinstance(gap, arclyd.Gap)
        assert gap.missed == 50, "as many as are allowed"
        for n in range(20):
            pub.publish(0, b"x", pts=n, keyframe=True)
        for _ in range(2):
            with pytest.raises(arclyd.EndOfStream) as caught:
                drain(sub)
            assert caught.value.reason == "evicted"
        assert sub.end_reason == "evicted"
        assert told == [(KEY, sub.dropped)]
        assert list(sub) == []
        assert next(event for event in events if event.kind == "evicted").key == KEY
        events.close()
        wait_until(lambda: control.subscribers(KEY) == (), what="the seat to be free")
        sub.close()


def test_an_applications_bound_holds_too(start_daemon: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(start_daemon)
    daemon = start_daemon('[apps."*"]\nmax_lag = 10\nslots = 16\n')
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    with publisher() as pub, arclyd.Subscriber(KEY, start="oldest", max_lag=1000) as sub:
        pub.publish(0, b"x", pts=0, keyframe=True)
        assert sub.recv(timeout=5).seq == 0
        for n in range(100):
            pub.publish(0, b"x", pts=n, keyframe=True)
        with pytest.raises(arclyd.EndOfStream, match="evicted"):
            drain(sub)


def test_many_at_once_and_gaps_in_between(daemon: Daemon) -> None:
    with publisher(slots=32, ring_bytes=1 << 20) as pub, arclyd.Subscriber(KEY, start="oldest") as sub:
        assert sub.recv_many(10, 0) == []
        for n in range(20):
            pub.publish(0, b"%d" % n, pts=n, keyframe=True)
        assert [frame.seq for frame in sub.recv_many(8)] == list(range(8))
        for n in range(20, 60):
            pub.publish(0, b"%d" % n, pts=n, keyframe=True)
        frames = sub.recv_many(100, 1.0)
        assert [frame.seq for frame in frames] == [59], "from the newest join point on"
        assert sub.dropped == 51
    with pytest.raises(arclyd.EndOfStream):
        sub.recv_many(1)


def test_the_tracks_of_a_stream_and_a_change_of_configuration(daemon: Daemon) -> None:
    with arclyd.Publisher(KEY, TRACKS) as pub, arclyd.Subscriber(KEY, start="oldest") as sub:
        assert sub.tracks == TRACKS
        pub.publish(0, b"x", pts=0, keyframe=True)
        assert [sub.recv(timeout=5).track for _ in range(3)] == [0, 1, 0]
        pub.set_config(1, b"\x12\x10")
        frame = sub.recv(timeout=5)
        assert frame.is_config
        assert frame.tobytes() == b"\x12\x10"
        assert sub.tracks[1].config == b"\x12\x10"
        assert sub.tracks[0] == TRACKS[0]


def test_only_the_tracks_wanted(daemon: Daemon) -> None:
    with arclyd.Publisher(KEY, TRACKS) as pub:
        publish_pictures(pub, 0, 20)
        with arclyd.Subscriber(KEY, start="oldest", tracks=["audio"]) as sub:
            assert {item.track for item in drain(sub) if isinstance(item, arclyd.Frame)} == {1}
            assert sub.dropped == 0
        with arclyd.Subscriber(KEY, start="oldest", tracks=[0]) as sub:
            assert {item.track for item in drain(sub) if isinstance(item, arclyd.Frame)} == {0}
        with pytest.raises(arclyd.RequestRefused):
            arclyd.Subscriber(KEY, tracks=["data"])


def test_a_frame_written_in_place(daemon: Daemon) -> None:
    with publisher() as pub, arclyd.Subscriber(KEY, start="oldest") as sub:
        with pub.reserve(0, 1 << 16) as span:
            span.buffer[:5] = b"hello"
            assert span.commit(5, pts=1, keyframe=True) == 1
        with pub.reserve(0, 100):
            pass  # given back
        assert sub.recv(timeout=5).tobytes() == b"hello"
        pub.publish(0, b"next", pts=2)
        assert sub.recv(timeout=5).seq == 1


def test_a_reader_asks_for_a_keyframe(daemon: Daemon) -> None:
    with publisher() as pub, arclyd.connect() as control:
        assert not pub.keyframe_requested()
        control.request_keyframe(KEY)
        wait_until(pub.keyframe_requested, what="the request")
        assert not pub.keyframe_requested()
    with arclyd.Publisher(KEY, [arclyd.Track.video("h264", width=2, height=2)]) as pub:
        pub.publish(0, b"no keyframe", pts=0)
        with arclyd.Subscriber(KEY) as sub:
            wait_until(pub.keyframe_requested, what="the joiner's request")
            pub.publish(0, b"keyframe", pts=1, keyframe=True)
            assert sub.recv(timeout=5).keyframe


def test_lag_is_measured_against_the_newest_frame(daemon: Daemon) -> None:
    with publisher() as pub, arclyd.Subscriber(KEY, start="oldest") as sub:
        assert sub.lag == arclyd.Lag(0, 0, 0.0)
        for n in range(10):
            pub.publish(0, b"12345", pts=n, keyframe=True)
        sub.recv()
        assert (sub.lag.frames, sub.lag.bytes) == (9, 45)
        assert sub.lag.seconds > 0


def test_views_outlive_frame_subscriber_and_publisher(daemon: Daemon) -> None:
    pub = publisher()
    pub.publish(0, b"still here", pts=0, keyframe=True)
    sub = arclyd.Subscriber(KEY, start="oldest")
    frame = sub.recv(timeout=5)
    view = frame.data
    sub.close()
    pub.close()
    del sub, pub
    assert frame.is_intact()
    del frame
    assert view.readonly
    assert bytes(view) == b"still here"


def test_a_stream_that_is_waited_for(daemon: Daemon, spawn: Spawner) -> None:
    with pytest.raises(arclyd.StreamNotFound):
        arclyd.Subscriber("live/nobody")
    with pytest.raises(arclyd.StreamNotFound):
        arclyd.Subscriber("live/nobody", wait=0.1)
    reader = spawn(READER, KEY, json.dumps({"wait": 60}))
    with publisher() as pub:
        reader.await_line("attached")
        pub.publish(0, b"x", pts=0, keyframe=True)
    assert reader.finish()[-1] == "end ended 0"


def test_ctrl_c_leaves_a_blocked_read_at_once(daemon: Daemon, spawn: Spawner) -> None:
    waiting = """
        import arclyd
        sub = arclyd.Subscriber("live/cam1", start="live")
        print("attached")
        try:
            sub.recv()
        except KeyboardInterrupt:
            print("interrupted", sub.end_reason)
            sub.close()
    """
    with publisher():
        script = spawn(waiting)
        script.await_line("attached")
        script.signal(signal.SIGINT)
        assert script.finish()[-1] == "interrupted None"


def test_a_blocked_read_ends_when_another_thread_closes(daemon: Daemon) -> None:
    reasons: list[str] = []

    def read(sub: arclyd.Subscriber) -> None:
        try:
            sub.recv()
        except arclyd.EndOfStream as end:
            reasons.append(end.reason)

    with publisher():
        sub = arclyd.Subscriber(KEY, start="live")
        thread = threading.Thread(target=read, args=(sub,))
        thread.start()
        sub.close()
        thread.join(20)
        assert reasons == ["closed"]


def test_a_time_out_is_no_end(daemon: Daemon) -> None:
    with publisher() as pub, arclyd.Subscriber(KEY, start="live") as sub:
        with pytest.raises(TimeoutError):
            sub.recv(timeout=0.01)
        with pytest.raises(TimeoutError):
            sub.recv_raw(timeout=0)
        pub.publish(0, b"x", pts=0, keyframe=True)
        assert sub.recv(timeout=5).tobytes() == b"x"


def test_observers_of_both_sides(daemon: Daemon) -> None:
    told: list[tuple[object, ...]] = []

    class Watcher(arclyd.Observer):
        def on_frame(self, key: str, frame: arclyd.Frame) -> None:
            told.append(("frame", frame.seq))

        def on_joined(self, key: str, subscribers: int) -> None:
            told.append(("joined", subscribers))

        def on_left(self, key: str, subscribers: int) -> None:
            told.append(("left", subscribers))

        def on_publish_started(self, key: str, epoch: int) -> None:
            told.append(("started", epoch))

        def on_publish_ended(self, key: str, reason: str) -> None:
            told.append(("ended", reason))

    with publisher(observer=Watcher()) as pub:
        pub.publish(0, b"x", pts=0, keyframe=True)
        with arclyd.Subscriber(KEY, start="oldest"):
            pub.publish(0, b"x", pts=0)
        wait_until(lambda: pub.publish(0, b"x", pts=0) == 0, what="the reader to be gone")
        last = told[-2]
    assert told[:5] == [("started", 1), ("frame", 0), ("frame", 1), ("joined", 1), ("frame", 2)]
    assert last[0] == "frame"
    assert told[-2:] == [("left", 0), ("ended", "ended")]
    told.clear()
    with publisher() as pub, arclyd.Subscriber(KEY, start="oldest", observer=Watcher()) as sub:
        pub.publish(0, b"x", pts=0, keyframe=True)
        sub.recv(timeout=5)
        pub.end()
        assert list(sub) == []
    assert told[0] == ("joined", 1)
    assert told[1:4] == [("started", 1), ("frame", 0), ("ended", "ended")]
    assert told[4][0] == "left"


@pytest.mark.parametrize("key", ["../x", "a", "a/b/c", "", "a/ b", "a/" + "x" * 300])
def test_a_key_that_is_none_is_refused_by_every_entry(key: str) -> None:
    with pytest.raises(arclyd.InvalidKey):
        arclyd.Publisher(key, TRACKS)
    with pytest.raises(arclyd.InvalidKey):
        arclyd.Subscriber(key)


def test_without_a_daemon_the_error_says_so(tmp_path: object) -> None:
    with pytest.raises(arclyd.DaemonUnavailable):
        arclyd.Publisher(KEY, TRACKS, socket=f"{tmp_path}/none")
    with pytest.raises(arclyd.DaemonUnavailable):
        arclyd.Subscriber(KEY, socket=f"{tmp_path}/none")


def test_a_frame_too_large_is_refused_and_the_stream_goes_on(daemon: Daemon) -> None:
    with publisher(ring_bytes=1 << 20) as pub, arclyd.Subscriber(KEY, start="oldest") as sub:
        with pytest.raises(arclyd.FrameTooLarge):
            pub.publish(0, bytes(1 << 18), pts=0, keyframe=True)
        pub.publish(0, b"x", pts=0, keyframe=True)
        assert sub.recv(timeout=5).seq == 0


def test_leaving_by_an_exception_ends_the_stream_too(daemon: Daemon) -> None:
    with pytest.raises(ZeroDivisionError), publisher() as pub:
        sub = arclyd.Subscriber(KEY, start="oldest")
        pub.publish(0, b"x", pts=0, keyframe=True)
        raise ZeroDivisionError
    assert [frame.seq for frame in sub] == [0]
    assert sub.end_reason == "ended"
    sub.close()
    with pytest.raises(arclyd.PublisherClosed):
        pub.publish(0, b"x", pts=0)
    assert daemon.regions() == []


def test_a_slow_reader_in_a_small_ring_never_sees_a_torn_frame(daemon: Daemon, spawn: Spawner) -> None:
    with arclyd.Publisher(KEY, TRACKS, ring_bytes=256 << 10, slots=128) as pub:
        reader = spawn(READER, KEY, json.dumps({"start": "oldest"}))
        reader.await_line("attached")
        digests = publish_pictures(pub, 0, 5000)
    assert reader.finish()[-1].startswith("end ended ")
    frames = [frame for frame in seen(reader) if not frame.is_config]
    for frame in frames:
        assert digests[frame.seq - 2] == frame.digest
    first = next(frame.seq for frame in frames if frame.track == 0)  # only sound that belongs to it comes before
    missed = sum(lost for lost, resumed_at in gaps(reader) if resumed_at > first)
    torn = sum(int(line.split()[1]) > first for line in reader.lines if line.startswith("torn"))
    assert sum(frame.seq >= first for frame in frames) + missed + torn == 2 + 5000 - first

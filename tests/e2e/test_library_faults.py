"""Processes that die, daemons that come and go, publishers that take over: nobody else notices."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests.e2e.reading import READER, TRACKS, WRITER, dense, publish_pictures, seen
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon import Daemon, Spawner

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = "live/cam1"
PICTURES = [arclyd.Track.video("h264", width=320, height=200)]


def counts(pub: arclyd.Publisher) -> int:
    return pub.publish(0, b"count", pts=0, keyframe=True)


def test_a_killed_subscriber_is_no_longer_counted_and_nobody_else_notices(daemon: Daemon, spawn: Spawner) -> None:
    with arclyd.Publisher(KEY, PICTURES) as pub:
        readers = [spawn(READER, KEY, json.dumps({"start": "oldest"})) for _ in range(3)]
        for reader in readers:
            reader.await_line("attached")
        assert counts(pub) == 3
        readers[0].kill()
        wait_until(lambda: counts(pub) == 2, what="the count to fall")
        last = pub.publish(0, b"last", pts=0)
        assert last == 2
    for reader in readers[1:]:
        assert reader.finish()[-1] == "end ended 0"
        assert dense([frame.seq for frame in seen(reader)])


def test_the_daemon_dies_and_comes_back_while_frames_flow(daemon: Daemon, spawn: Spawner) -> None:
    writer = spawn(WRITER, KEY, name="writer")
    writer.await_line("publishing 1")
    readers = [spawn(READER, KEY, json.dumps({"start": "oldest"})) for _ in range(2)]
    for reader in readers:
        reader.await_line("attached")
    for _ in range(2):
        daemon.kill()
        before = len(seen(readers[0]))
        wait_until(lambda before=before: len(seen(readers[0])) > before + 50, what="frames without a daemon")
        daemon.start()
        with arclyd.connect() as control:
            wait_until(lambda: _adopted(control, writer.pid), what="the stream to be adopted by the new daemon")
            wait_until(lambda: len(control.subscribers(KEY)) == 2, what="the readers to be back")
    late = spawn(READER, KEY, "{}")
    wait_until(lambda: seen(late), what="a joiner's first frame after the restart")
    writer.kill()
    with arclyd.connect() as control:
        wait_until(lambda: "interrupted" in control.info(KEY).state, what="the stream to be interrupted")
        control.end(KEY)
    for reader in (*readers, late):
        assert reader.finish()[-1] == "end ended 0"
        assert dense([frame.seq for frame in seen(reader)])
    assert [frame.digest for frame in seen(readers[0])] == [frame.digest for frame in seen(readers[1])]


def _adopted(control: arclyd.Control, pid: int) -> bool:
    try:
        info = control.info(KEY)
    except arclyd.StreamNotFound:
        return False
    return "publishing" in info.state and info.publisher is not None and info.publisher.connected


def test_a_stream_that_ends_while_the_daemon_is_away(daemon: Daemon, spawn: Spawner) -> None:
    pub = arclyd.Publisher(KEY, PICTURES)
    reader = spawn(READER, KEY, json.dumps({"start": "oldest"}))
    reader.await_line("attached")
    daemon.kill()
    pub.publish(0, b"x", pts=0, keyframe=True)
    pub.close()
    assert reader.finish()[-1] == "end ended 0"
    daemon.start()
    wait_until(lambda: daemon.regions() == [], what="the ended region's removal")


def test_a_killed_publisher_interrupts_and_the_next_one_goes_on(daemon: Daemon, spawn: Spawner) -> None:
    writer = spawn(WRITER, KEY, name="writer")
    writer.await_line("publishing 1")
    with arclyd.Subscriber(KEY, start="oldest") as sub:
        first = [sub.recv(timeout=20) for _ in range(50)]
        writer.kill()
        with arclyd.connect() as control:
            wait_until(lambda: "interrupted" in control.info(KEY).state, what="the interruption")
        with arclyd.Publisher(KEY, PICTURES) as pub:
            assert pub.epoch == 2
            pub.publish(0, b"gated", pts=0)
            assert pub.gated == 1
            pub.publish(0, b"again", pts=1, keyframe=True)
            frames = [*first]
            while frames[-1].epoch == 1:
                frames.append(sub.recv(timeout=20))
        assert dense([frame.seq for frame in frames])
        assert frames[-1].discontinuity
        assert frames[-1].keyframe
        assert list(sub) == []
        assert (sub.end_reason, sub.dropped) == ("ended", 0)


def test_a_publisher_that_never_comes_back(
    start_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_daemon('[apps."*"]\ngrace = 0.2\n')
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    pub = arclyd.Publisher(KEY, PICTURES)
    with arclyd.Subscriber(KEY, start="oldest") as sub:
        pub.publish(0, b"x", pts=0, keyframe=True)
        del pub  # collected without having been closed: as if it had been killed
        assert [frame.seq for frame in sub] == [0]
        assert sub.end_reason == "publisher_gone"


def test_one_publisher_replaces_another_in_order(daemon: Daemon) -> None:
    ended: list[str] = []

    class Watcher(arclyd.Observer):
        def on_publish_ended(self, key: str, reason: str) -> None:
            ended.append(reason)

    old = arclyd.Publisher(KEY, PICTURES, observer=Watcher())
    with arclyd.Subscriber(KEY, start="oldest") as sub:
        old.publish(0, b"old", pts=0, keyframe=True)
        with pytest.raises(arclyd.AlreadyPublishing) as taken:
            arclyd.Publisher(KEY, PICTURES)
        assert taken.value.pid == os.getpid()
        with arclyd.Publisher(KEY, PICTURES, on_taken="replace") as new:
            assert new.epoch == 2
            with pytest.raises(arclyd.PublisherReplaced):
                old.publish(0, b"too late", pts=1)
            with pytest.raises(arclyd.PublisherReplaced):
                old.reserve(0, 100)
            old.close()
            new.publish(0, b"new", pts=2, keyframe=True)
        assert [(frame.seq, frame.epoch, frame.tobytes()) for frame in sub] == [(0, 1, b"old"), (1, 2, b"new")]
    assert ended == ["replaced"]


def test_a_publisher_of_other_tracks_takes_over_and_readers_follow(daemon: Daemon, spawn: Spawner) -> None:
    old = arclyd.Publisher(KEY, PICTURES)
    reader = spawn(READER, KEY, json.dumps({"start": "oldest"}))
    reader.await_line("attached")
    for n in range(10):
        old.publish(0, b"old", pts=n, keyframe=True)
    with arclyd.Publisher(KEY, TRACKS, on_taken="replace") as new:
        with arclyd.connect() as control:
            wait_until(lambda: len(control.subscribers(KEY)) == 1, what="the reader to be on the new region")
        publish_pictures(new, 0, 20)
    assert reader.finish()[-1] == "end ended 0"
    assert [frame.seq for frame in seen(reader)] == list(range(32))
    old.close()


def test_a_backup_stands_by_until_the_key_is_free(daemon: Daemon, spawn: Spawner) -> None:
    first = arclyd.Publisher(KEY, PICTURES)
    backup = spawn(WRITER, KEY, "{'on_taken': 'backup'}", name="backup")
    with arclyd.connect() as control:
        first.publish(0, b"x", pts=0, keyframe=True)
        assert control.info(KEY).publisher is not None
        assert backup.lines == []
        first.close()
        backup.await_line("publishing")
        wait_until(lambda: _adopted(control, backup.pid), what="the backup to publish")


@pytest.mark.parametrize("ring_bytes", [1 << 20, 72 << 20], ids=["small", "reserved by a thread"])
def test_a_hundred_processes_claim_one_key_and_one_wins(daemon: Daemon, spawn: Spawner, ring_bytes: int) -> None:
    # One interpreter, forked: a hundred starting at once would measure the imports of a hundred.
    crowd = """
        import os, sys
        import arclyd, arclyd.client.publisher
        arclyd.AlreadyPublishing, arclyd.Track
        go, held = os.pipe(), os.pipe()
        children = []
        for _ in range(100):
            pid = os.fork()
            if pid == 0:
                os.close(go[1]); os.close(held[1])
                os.read(go[0], 1)
                try:
                    pub = arclyd.Publisher("live/cam1", [arclyd.Track.data()], ring_bytes=int(sys.argv[1]), slots=64)
                except arclyd.AlreadyPublishing:
                    os.write(1, b"taken\\n")
                    os._exit(9)
                os.write(1, b"won\\n")
                os.read(held[0], 1)
                pub.close()
                os._exit(0)
            children.append(pid)
        os.close(go[1])
        sys.stdin.readline()
        os.close(held[1])
        print(sorted(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
    """
    script = spawn(crowd, ring_bytes)
    wait_until(lambda: len(script.lines) == 100, timeout=60, what="a hundred verdicts")
    assert sorted(script.lines) == ["taken"] * 99 + ["won"]
    (region,) = daemon.regions()
    assert not region.endswith(".new")
    script.say("enough")
    assert script.finish()[-1] == str([0] + [9] * 99)


def test_a_forked_child_has_neither_the_publisher_nor_the_subscriber(daemon: Daemon) -> None:
    with arclyd.Publisher(KEY, PICTURES) as pub, arclyd.Subscriber(KEY, start="oldest") as sub:
        pub.publish(0, b"x", pts=0, keyframe=True)
        view = sub.recv(timeout=5).data
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                assert bytes(view) == b"x"
                try:
                    pub.publish(0, b"child", pts=1, keyframe=True)
                except arclyd.PublisherClosed:
                    code = 2
                try:
                    sub.recv(timeout=5)
                except arclyd.EndOfStream as end:
                    code += 4 if end.reason == "refused" else 0
                pub.close()
                sub.close()
                with arclyd.Subscriber(KEY, start="oldest") as own:
                    code += 8 if own.recv(timeout=5).seq == 0 else 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 14
        pub.publish(0, b"parent", pts=1)
        assert sub.recv(timeout=5).tobytes() == b"parent"
        with arclyd.connect() as control:
            assert [each.pid for each in wait_until(lambda: control.subscribers(KEY), what="the seat")] == [os.getpid()]
            assert "publishing" in control.info(KEY).state


def test_a_publishers_child_does_not_keep_the_stream_when_it_dies(daemon: Daemon, spawn: Spawner) -> None:
    forking = """
        import os, sys
        import arclyd
        pub = arclyd.Publisher("live/cam1", [arclyd.Track.data()])
        pub.publish(0, b"x", pts=0, keyframe=True)
        if os.fork() == 0:
            print("child", os.getpid())
            sys.stdin.readline()
            os._exit(0)
        os.read(os.pipe()[0], 1)
    """
    script = spawn(forking)
    child = int(script.await_line("child").split()[1])
    try:
        script.kill()
        with arclyd.connect() as control:
            wait_until(lambda: "interrupted" in control.info(KEY).state, what="the interruption")
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_kicked_subscriber_and_an_ended_stream_know_why(daemon: Daemon, spawn: Spawner) -> None:
    ended: list[str] = []

    class Watcher(arclyd.Observer):
        def on_publish_ended(self, key: str, reason: str) -> None:
            ended.append(reason)

    pub = arclyd.Publisher(KEY, PICTURES, observer=Watcher())
    kicked, stays = (spawn(READER, KEY, json.dumps({"start": "oldest"})) for _ in range(2))
    number = int(kicked.await_line("attached").split()[1])
    stays.await_line("attached")
    with arclyd.connect() as control:
        control.kick(KEY, number)
        assert kicked.finish()[-1] == "end kicked 0"
        wait_until(lambda: counts(pub) == 1, what="the count to fall")
        control.end(KEY)
        assert stays.finish()[-1].startswith("end ended")
        wait_until(lambda: ended, what="the publisher to be told")
        with pytest.raises(arclyd.PublisherClosed):
            pub.publish(0, b"x", pts=0)
    pub.close()
    assert ended == ["ended"]


def test_an_idle_stream_is_reaped(start_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = start_daemon('[apps."*"]\nidle_timeout = 0.3\n')
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    told: list[str] = []

    class Watcher(arclyd.Observer):
        def on_reaped(self, key: str) -> None:
            told.append(key)

    pub = arclyd.Publisher(KEY, PICTURES, observer=Watcher())
    with arclyd.Subscriber(KEY, observer=Watcher()) as sub:
        assert list(sub) == []
        assert sub.end_reason == "reaped"
        wait_until(lambda: told == [KEY, KEY], what="both sides to be told")
        with pytest.raises(arclyd.PublisherClosed):
            pub.publish(0, b"x", pts=0)
    pub.close()


def test_nothing_is_left_of_what_was_not_closed(daemon: Daemon, spawn: Spawner) -> None:
    careless = """
        import arclyd
        pub = arclyd.Publisher("live/cam1", [arclyd.Track.data()])
        sub = arclyd.Subscriber("live/cam1", start="oldest")
        pub.publish(0, b"x", pts=0, keyframe=True)
        print(sub.recv().seq)
    """
    script = spawn("import warnings; warnings.simplefilter('error')\n" + careless.replace("\n        ", "\n"))
    assert script.finish() == ["0"]
    assert script.errors == ""
    with arclyd.connect() as control:
        wait_until(lambda: "interrupted" in control.info(KEY).state, what="the interruption")
        wait_until(lambda: control.subscribers(KEY) == (), what="the seat to be free")


def test_a_daemon_that_hangs_holds_nobody_up(daemon: Daemon) -> None:
    with arclyd.Publisher(KEY, PICTURES) as pub, arclyd.Subscriber(KEY, start="oldest") as sub:
        os.kill(daemon.pid, signal.SIGSTOP)
        try:
            for n in range(100):
                pub.publish(0, b"%d" % n, pts=n, keyframe=n == 0)
            assert [sub.recv(timeout=5).seq for _ in range(100)] == list(range(100))
            pub.close()
            assert list(sub) == []
            assert sub.end_reason == "ended"
            sub.close()
        finally:
            os.kill(daemon.pid, signal.SIGCONT)


def test_a_replaced_publisher_that_fills_a_span_keeps_its_region(daemon: Daemon) -> None:
    old = arclyd.Publisher(KEY, PICTURES)
    with arclyd.Subscriber(KEY, start="oldest") as sub:
        old.publish(0, b"old", pts=0, keyframe=True)
        span = old.reserve(0, 1000)
        with arclyd.Publisher(KEY, PICTURES, on_taken="replace") as new:
            span.buffer[:] = bytes(1000)  # not into what the new one writes
            with arclyd.connect() as control:
                wait_until(lambda: len(control.subscribers(KEY)) == 1, what="the reader to be on the new region")
            new.publish(0, b"new", pts=1, keyframe=True)
            span.abort()
            with pytest.raises(arclyd.PublisherReplaced):
                old.publish(0, b"too late", pts=2)
        frames = list(sub)
    assert [frame.tobytes() for frame in frames] == [b"old", b"new"]
    assert [frame.epoch for frame in frames] == [1, 3], "the promise of epoch 2 on the old region came to nothing"
    assert frames[1].seq == 2, "the sequence the span stood for is not used again"
    assert sub.dropped == 1
    old.close()


def test_a_reader_whose_next_region_is_gone_before_it_came_to_it_ends(daemon: Daemon, spawn: Spawner) -> None:
    old = arclyd.Publisher(KEY, PICTURES)
    reader = spawn(READER, KEY, json.dumps({"start": "oldest"}))
    reader.await_line("attached")
    old.publish(0, b"old", pts=0, keyframe=True)
    wait_until(lambda: seen(reader), what="the frame")
    reader.signal(signal.SIGSTOP)
    arclyd.Publisher(KEY, TRACKS, on_taken="replace").close()
    reader.signal(signal.SIGCONT)
    assert reader.finish()[-1] == "end ended 0"
    assert [frame.seq for frame in seen(reader)] == [0]
    old.close()

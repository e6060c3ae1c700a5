"""Forks, threads, interrupts and the interpreter's end: what a program may do to itself, and the library bears it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests.e2e.reading import TRACKS, dense
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.daemon import Daemon, Spawner

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = "live/cam1"
PICTURES = [arclyd.Track.video("h264", width=320, height=200)]


def state() -> tuple[str, ...]:
    with arclyd.connect() as control:
        return control.info(KEY).state


# ------------------------------------------------------------------- forks

CHILDREN = {
    "os.fork": """
        pid = os.fork()
        if pid == 0:
            child()
            signal.pause()
            os._exit(0)
        print("child", pid)
    """,
    "multiprocessing": """
        def target():
            child()
            signal.pause()
        process = multiprocessing.get_context("fork").Process(target=target)
        process.start()
        print("child", process.pid)
    """,
    "subprocess": """
        process = subprocess.Popen(["sleep", "600"], close_fds=False)
        print("child", process.pid)
        print("tried nothing")
    """,
}


@pytest.mark.parametrize("way", CHILDREN)
def test_a_child_neither_writes_nor_keeps_its_dead_parents_stream(daemon: Daemon, spawn: Spawner, way: str) -> None:
    program = """
        import multiprocessing, os, signal, subprocess, sys
        import arclyd
        pub = arclyd.Publisher("live/cam1", [arclyd.Track.data()])
        span = pub.reserve(0, 100)
        def child():
            tried = []
            for attempt in (lambda: pub.publish(0, b"child", pts=0), lambda: span.commit(5, pts=0),
                            lambda: pub.reserve(0, 10), lambda: pub.set_config(0, b"child")):
                try:
                    attempt()
                    tried.append("wrote")
                except arclyd.PublisherClosed:
                    tried.append("refused")
            pub.end()
            print("tried", *tried)
    """
    script = spawn(
        textwrap.dedent(program) + textwrap.dedent(CHILDREN[way]) + "\nsys.stdin.readline()\n", name="parent"
    )
    child = int(script.await_line("child").split()[1])
    try:
        assert script.await_line("tried") in ("tried refused refused refused refused", "tried nothing")
        assert "publishing" in state() or "idle" in state()
        with arclyd.connect() as control:
            assert control.info(KEY).head == 0
        script.kill()
        wait_until(lambda: "interrupted" in state(), what="the lock to be free while the child lives")
        os.kill(child, 0)
        with arclyd.Publisher(KEY, [arclyd.Track.data()]) as pub:
            assert pub.epoch == 2
    finally:
        os.kill(child, signal.SIGKILL)


def test_children_forked_while_threads_publish_and_read_do_no_harm(daemon: Daemon) -> None:
    with arclyd.Publisher(KEY, [arclyd.Track.data()]) as pub, arclyd.Subscriber(KEY, start=0) as sub:
        over = threading.Event()

        def publish() -> None:
            n = 0
            while not over.is_set():
                pub.publish(0, b"%d" % n, pts=n, keyframe=True)
                n += 1
                over.wait(0.0005)

        thread = threading.Thread(target=publish)
        thread.start()
        seen = 0
        try:
            for _ in range(20):
                child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        pub.publish(0, b"child", pts=0)
                    except arclyd.PublisherClosed:
                        code = 0
                    finally:
                        os._exit(code)
                for _ in range(10):
                    assert sub.recv(timeout=20).tobytes() == b"%d" % seen
                    seen += 1
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            over.set()
            thread.join()
        assert sub.dropped == 0


# ----------------------------------------------------------------- threads


def in_threads(*calls: object) -> list[BaseException]:
    """Run each in a thread; what they raised."""
    raised: list[BaseException] = []

    def guarded(call: object) -> None:
        try:
            assert callable(call)
            call()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("observed", [False, True])
def test_threads_publish_on_one_publisher_and_every_frame_is_whole(daemon: Daemon, observed: bool) -> None:
    shown: Counter[int] = Counter()

    class Watcher(arclyd.Observer):
        def on_frame(self, key: str, frame: arclyd.Frame) -> None:
            shown[frame.seq] += 1

    each, hands = 2000, 4
    with arclyd.Publisher(KEY, [arclyd.Track.data()], observer=Watcher() if observed else None) as pub:
        sub = arclyd.Subscriber(KEY, start=0)

        def publish(name: int) -> None:
            for n in range(each):
                pub.publish(0, b"%d %d " % (name, n) * 20, pts=n, keyframe=True)

        assert in_threads(*(lambda name=name: publish(name) for name in range(hands))) == []
    with sub:
        frames = list(sub)
    assert dense([frame.seq for frame in frames])
    assert len(frames) == each * hands
    assert shown == Counter({frame.seq: 1 for frame in frames} if observed else {})
    told: dict[int, list[int]] = {name: [] for name in range(hands)}
    for frame in frames:
        name, n = map(int, frame.tobytes().split()[:2])
        assert frame.tobytes() == b"%d %d " % (name, n) * 20
        told[name].append(n)
    assert all(numbers == list(range(each)) for numbers in told.values()), "each thread's in its order"


def test_a_span_of_one_thread_is_an_error_for_the_others_not_a_mixture(daemon: Daemon) -> None:
    with arclyd.Publisher(KEY, [arclyd.Track.data()]) as pub, arclyd.Subscriber(KEY, start=0) as sub:
        span = pub.reserve(0, 5)
        span.buffer[:] = b"whole"
        (error,) = in_threads(lambda: pub.publish(0, b"other", pts=0))
        assert isinstance(error, RuntimeError)
        assert "reserved span" in str(error)
        span.commit(5, pts=0, keyframe=True)
        assert in_threads(lambda: pub.publish(0, b"other", pts=1)) == []
        assert [sub.recv(timeout=20).tobytes() for _ in range(2)] == [b"whole", b"other"]


def test_a_publisher_is_ended_by_one_thread_while_others_publish(daemon: Daemon) -> None:
    for _ in range(10):
        pub = arclyd.Publisher(KEY, [arclyd.Track.data()], on_taken="replace")
        going = threading.Barrier(4)

        def publish(pub: arclyd.Publisher = pub, going: threading.Barrier = going) -> None:
            going.wait()
            while True:
                pub.publish(0, b"x", pts=0, keyframe=True)

        def end(pub: arclyd.Publisher = pub, going: threading.Barrier = going) -> None:
            going.wait()
            pub.end()

        raised = in_threads(publish, publish, publish, end)
        assert [type(error) for error in raised] == [arclyd.PublisherClosed] * 3


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("way", ["recv", "recv_raw", "recv_many", "iteration"])
def test_threads_that_share_a_subscriber_share_its_frames(daemon: Daemon, way: str) -> None:
    old = arclyd.Publisher(KEY, PICTURES)
    ended: list[str] = []

    class Watcher(arclyd.Observer):
        def on_left(self, key: str, subscribers: int) -> None:
            ended.append(key)

    sub = arclyd.Subscriber(KEY, start=0, observer=Watcher())
    shares: list[list[int]] = [[] for _ in range(4)]

    def read(share: list[int]) -> None:
        if way == "iteration":
            share += [frame.seq for frame in sub]
            return
        while True:
            try:
                if way == "recv_many":
                    share += [frame.seq for frame in sub.recv_many(10, timeout=60)]
                else:
                    item = sub.recv(60) if way == "recv" else sub.recv_raw(60)
                    assert isinstance(item, arclyd.Frame)
                    share.append(item.seq)
            except arclyd.EndOfStream:
                return

    def publish() -> None:
        for n in range(500):
            old.publish(0, b"%d" % n, pts=n, keyframe=n % 10 == 0)
        with arclyd.Publisher(KEY, TRACKS, on_taken="replace") as new:  # other tracks: the readers change regions
            for n in range(500):
                new.publish(0, b"%d" % n, pts=n, keyframe=n % 10 == 0)
            with arclyd.connect() as control:
                wait_until(lambda: control.info(KEY).subscribers == 1, what="the reader on the new region")

    assert in_threads(publish, *(lambda share=share: read(share) for share in shares)) == []
    together = sorted(seq for share in shares for seq in share)
    assert together == list(range(1002)), "each frame went to one of them"
    assert ended == [KEY], "and the end was told once"
    sub.close()
    old.close()


# -------------------------------------------------------------- interrupts

BLOCKED = {
    "recv": "sub().recv()",
    "recv_raw": "sub().recv_raw()",
    "recv_many": "sub().recv_many(10)",
    "iteration": "list(sub())",
    "with a timeout": "sub().recv(timeout=600)",
    "waiting for the stream": "arclyd.Subscriber('live/none', wait=600)",
    "events": "list(arclyd.connect().events())",
    "backup": "arclyd.Publisher('live/cam1', [arclyd.Track.data()], on_taken='backup')",
    "async recv": "asyncio.run(async_recv())",
    "async iteration": "asyncio.run(async_iteration())",
    "async without closing": "asyncio.run(async_careless())",
    "async events": "asyncio.run(async_events())",
    "async questions": "asyncio.run(async_questions())",
}


@pytest.mark.parametrize("way", BLOCKED)
def test_ctrl_c_leaves_whatever_blocks(daemon: Daemon, spawn: Spawner, way: str) -> None:
    program = f"""
        import asyncio, sys
        import arclyd

        def sub():
            return arclyd.Subscriber("live/cam1", start=0)

        async def async_recv():
            async with arclyd.AsyncSubscriber("live/cam1", start=0) as reader:
                await reader.recv()

        async def async_iteration():
            async with arclyd.AsyncSubscriber("live/cam1", start=0) as reader:
                async for frame in reader:
                    pass

        async def async_careless():
            await arclyd.AsyncSubscriber("live/cam1", start=0).recv()

        async def async_events():
            async with arclyd.AsyncControl() as control:
                async for event in control.events():
                    pass

        async def async_questions():
            async with arclyd.AsyncControl() as control:
                await control.list_streams()
                print("asking")
                while True:
                    await control.list_streams()

        print("ready")
        try:
            {BLOCKED[way]}
        except KeyboardInterrupt:
            print("interrupted")
            sys.exit(7)
    """
    with arclyd.Publisher(KEY, PICTURES):
        script = spawn(program)
        script.await_line("ready")
        if way == "async questions":
            script.await_line("asking")
        else:
            wait_until(lambda: asleep(script.pid), what="it to block")
        script.signal(signal.SIGINT)
        assert script.wait() == 7, script.errors
        assert script.lines[-1] == "interrupted"
        assert script.errors == ""


def asleep(pid: int) -> bool:
    """Its main thread waits for something."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


# ------------------------------------------------------ the interpreter's end

STRICT = ("-X", "dev", "-W", "error")
"""The allocator checks, an unclosed descriptor is an error, what is left at exit is told."""

PREFACE = """
    import asyncio, atexit, sys, threading
    import arclyd

    def quiet():  # with -X dev, asyncio would tell of a machine that is busy
        asyncio.get_running_loop().slow_callback_duration = 600
"""

ENDINGS = {
    "nothing closed": """
        control = arclyd.connect()
        control.list_streams()
        pub = arclyd.Publisher("live/own", [arclyd.Track.data()])
        sub = arclyd.Subscriber("live/cam1", start=0)
        print(sub.recv(timeout=20).seq)
    """,
    "nothing closed, in asyncio": """
        async def main():
            quiet()
            global sub
            sub = arclyd.AsyncSubscriber("live/cam1", start=0)
            print((await sub.recv(timeout=20)).seq)
        asyncio.run(main())
    """,
    "views in module globals": """
        sub = arclyd.Subscriber("live/cam1", start=0)
        frame = sub.recv(timeout=20)
        view, cast, part = frame.data, memoryview(frame), frame.data[1:]
        import builtins
        builtins.kept_view = frame.data  # goes with the last module
        class Late:
            def __del__(self, view=view, frame=frame):
                assert bytes(view) == b"frame" and frame.is_intact()
        late = builtins.kept_late = Late()
        atexit.register(lambda: bytes(part))
        cycle = [view, frame]; cycle.append(cycle)
        print(frame.seq)
    """,
    "the subscriber goes before its views": """
        sub = arclyd.Subscriber("live/cam1", start=0)
        view = sub.recv(timeout=20).data
        sub.close()
        del sub
        print(0 if bytes(view) == b"frame" else 1)
    """,
    "a span half filled": """
        pub = arclyd.Publisher("live/own", [arclyd.Track.data()])
        span = pub.reserve(0, 100)
        view = span.buffer
        view[:5] = b"frame"
        print(0)
    """,
    "sys.exit within the loop": """
        for frame in arclyd.Subscriber("live/cam1", start=0):
            print(frame.seq)
            sys.exit(0)
    """,
    "sys.exit within a with block": """
        with arclyd.Publisher("live/own", [arclyd.Track.data()]) as pub, arclyd.Subscriber("live/cam1", start=0) as sub:
            for frame in sub:
                print(frame.seq)
                sys.exit(0)
    """,
    "daemon threads that read and publish": """
        sub = arclyd.Subscriber("live/cam1", start=0)
        pub = arclyd.Publisher("live/own", [arclyd.Track.data()])
        print(sub.recv(timeout=20).seq)
        threading.Thread(target=lambda: list(sub), daemon=True).start()
        def publish():
            while True:
                pub.publish(0, b"x", pts=0, keyframe=True)
        threading.Thread(target=publish, daemon=True).start()
    """,
    "an async iteration left amid": """
        async def main():
            quiet()
            async for frame in arclyd.AsyncSubscriber("live/cam1", start=0):
                print(frame.seq)
                return
        asyncio.run(main())
    """,
    "a generator that is never finished": """
        frames = iter(arclyd.Subscriber("live/cam1", start=0))
        print(next(frames).seq)
    """,
    "an observer that speaks at the end": """
        class Watcher(arclyd.Observer):
            def on_left(self, key, subscribers):
                raise AssertionError("at exit nobody is told anything")
        sub = arclyd.Subscriber("live/cam1", start=0, observer=Watcher())
        print(sub.recv(timeout=20).seq)
    """,
}


@pytest.mark.parametrize("way", ENDINGS)
def test_a_program_ends_without_a_word(daemon: Daemon, way: str) -> None:
    source = textwrap.dedent(PREFACE) + textwrap.dedent(ENDINGS[way])
    with arclyd.Publisher(KEY, [arclyd.Track.data()]) as pub:
        pub.publish(0, b"frame", pts=0, keyframe=True)
        ended = subprocess.run(
            [sys.executable, *STRICT, "-c", source],
            capture_output=True,
            text=True,
            check=False,
            env=daemon.env,
            timeout=60,
        )
        assert (ended.stderr, ended.stdout, ended.returncode) == ("", "0\n", 0)
        with arclyd.connect() as control:
            wait_until(lambda: not control.subscribers(KEY), what="its seat to be free")


def test_a_reader_outlives_daemon_publisher_and_region(daemon: Daemon, spawn: Spawner) -> None:
    pub = arclyd.Publisher(KEY, [arclyd.Track.data()])
    pub.publish(0, b"frame", pts=0, keyframe=True)
    with arclyd.Subscriber(KEY, start=0) as sub:
        frame = sub.recv(timeout=20)
        pub.close()
        daemon.stop()
        assert daemon.regions() == []
        assert frame.tobytes() == b"frame"
        with pytest.raises(arclyd.EndOfStream):
            sub.recv(timeout=20)
    assert bytes(frame.data) == b"frame"

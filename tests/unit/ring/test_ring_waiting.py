"""Blocking: a reader sleeps without using a processor, and everything that has something to say wakes it."""

from __future__ import annotations

import _thread
import functools
import os
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from arclyd.ring import _ring
from arclyd.ring._ring import Frame, Gap, Reader, Waiter
from tests.unit.ring.rings import SECOND, Ring, python
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

FOR_EVER = -1


def asleep(thread_id: int, process_id: int | str = "self") -> bool:
    """Whether that thread sleeps in the kernel; blocked in `recv` it does nothing else."""
    return Path(f"/proc/{process_id}/task/{thread_id}/stat").read_text().rpartition(")")[2].split()[0] == "S"


class Blocked:
    """A thread that is in `recv` without a time limit."""

    def __init__(self, reader: Reader) -> None:
        self.results: list[Frame | Gap | None] = []
        self._thread = threading.Thread(target=lambda: self.results.append(reader.recv(FOR_EVER)), daemon=True)
        self._thread.start()
        wait_until(lambda: asleep(self._thread.native_id or 0), what="the reader to fall asleep")

    def result(self) -> Frame | Gap | None:
        self._thread.join(60)
        assert not self._thread.is_alive(), "nobody woke the reader"
        return self.results[0]


def test_a_frame_wakes(ring: Ring) -> None:
    writer, reader = ring.writer(), ring.reader("live")
    blocked = Blocked(reader)
    writer.publish(0, b"x", pts=0)
    frame = blocked.result()
    assert isinstance(frame, Frame)
    assert frame.seq == 0


def test_the_first_keyframe_wakes_who_waits_for_one(ring: Ring) -> None:
    writer, reader = ring.writer(), ring.reader()
    writer.publish(0, b"x", pts=0)
    blocked = Blocked(reader)
    assert reader.awaiting_keyframe
    writer.publish(0, b"x", pts=1)
    writer.publish(0, b"key", pts=2, keyframe=True)
    frame = blocked.result()
    assert isinstance(frame, Frame)
    assert frame.seq == 2
    assert not reader.awaiting_keyframe


def test_the_publishers_end_wakes(ring: Ring) -> None:
    writer, reader = ring.writer(), ring.reader("live")
    blocked = Blocked(reader)
    writer.end()
    assert blocked.result() is None
    assert reader.closed == _ring.CLOSED_ENDED


@pytest.mark.parametrize("word", [_ring.CLOSED_PUBLISHER_GONE, _ring.CLOSED_REAPED, _ring.CLOSED_SUPERSEDED])
def test_the_daemon_closing_wakes(ring: Ring, word: int) -> None:
    ring.writer()
    reader, daemon = ring.reader("live"), ring.writable()
    blocked = Blocked(reader)
    daemon.close_stream(word)
    assert blocked.result() is None
    assert reader.closed == daemon.closed == word


def test_a_kick_wakes_and_ends_one_reader_alone(ring: Ring) -> None:
    writer, reader, other = ring.writer(), ring.reader("live"), ring.reader("live")
    blocked = Blocked(reader)
    reader.kick(_ring.CLOSED_KICKED)
    assert blocked.result() is None
    assert reader.closed == _ring.CLOSED_KICKED
    writer.publish(0, b"x", pts=0)
    assert reader.recv(0) is None
    assert isinstance(other.recv(0), Frame)


def test_a_wait_ends_with_its_time(ring: Ring) -> None:
    ring.writer()
    reader = ring.reader("live")
    for timeout_ns in (0, 1, SECOND // 100, 6 * SECOND // 10):  # the last is longer than one sleep
        begun = time.monotonic_ns()
        assert reader.recv(timeout_ns) is None
        assert time.monotonic_ns() - begun >= timeout_ns
    assert reader.closed == 0
    assert reader.recv_many(5, SECOND // 100) == []
    assert reader.wait(0) is False
    assert reader.wait(SECOND // 100) is False


def test_wait_tells_and_takes_nothing(ring: Ring) -> None:
    writer, reader = ring.writer(), ring.reader()
    writer.set_config(0, b"config")
    writer.publish(0, b"x", pts=0, keyframe=True)
    for _ in range(3):
        assert reader.wait(FOR_EVER)
    assert [frame.seq for frame in reader.recv_many(10, 0) if isinstance(frame, Frame)] == [0, 1]
    assert reader.wait(0) is False
    writer.end()
    assert reader.wait(FOR_EVER)
    assert reader.recv(FOR_EVER) is None


def test_recv_many_waits_for_the_first_only(ring: Ring) -> None:
    writer, reader = ring.writer(), ring.reader("live")
    for pts in range(5):
        writer.publish(0, b"x", pts=pts)
    assert len(reader.recv_many(3, FOR_EVER)) == 3
    assert len(reader.recv_many(3, FOR_EVER)) == 2
    assert reader.recv_many(0, FOR_EVER) == []
    writer.end()
    assert reader.recv_many(3, FOR_EVER) == []
    assert reader.closed == _ring.CLOSED_ENDED


def test_who_spins_gets_every_frame_and_sleeps_in_the_end(ring: Ring) -> None:
    writer = ring.writer()
    reader = Reader(ring.readonly(), ("live", 0), spin_ns=SECOND // 1000)
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.extend(reader.recv(10 * SECOND) for _ in range(2000)))
    thread.start()
    for pts in range(2000):
        wait_until(lambda: pts - reader.cursor < 10, what="the reader to be near")  # noqa: B023 # called at once
        writer.publish(0, b"x", pts=pts)
    thread.join()
    assert [frame.seq for frame in seen if isinstance(frame, Frame)] == list(range(2000))
    begun = time.monotonic_ns()
    assert reader.recv(SECOND // 10) is None
    assert time.monotonic_ns() - begun >= SECOND // 10


@pytest.fixture(params=[False, True], ids=["as the kernel allows", "thread"])
def waiter_of(request: pytest.FixtureRequest) -> Callable[[Reader], Waiter]:
    return functools.partial(Waiter, thread=request.param)


def rung(waiter: Waiter) -> bool:
    """Whether the descriptor became readable and said that the wait is over."""
    poll = select.poll()
    poll.register(waiter.fileno(), select.POLLIN)
    while poll.poll(20_000):
        if waiter.clear():
            return True
    return False


def test_a_waiter_rings_for_what_comes_and_takes_nothing(ring: Ring, waiter_of: Callable[[Reader], Waiter]) -> None:
    writer, reader = ring.writer(), ring.reader("live")
    waiter = waiter_of(reader)
    for pts in range(50):
        while not waiter.arm():
            if pts % 2:
                assert waiter.arm() is False  # a wait that goes on is not begun anew
            writer.publish(0, b"x", pts=pts)
            assert rung(waiter)
        frame = reader.recv(0)
        assert isinstance(frame, Frame)
        assert frame.pts == pts
    writer.end()
    assert waiter.arm() is True
    assert reader.recv(0) is None


def test_a_waiter_rings_by_itself_after_a_while(ring: Ring, waiter_of: Callable[[Reader], Waiter]) -> None:
    ring.writer()
    waiter = waiter_of(ring.reader("live"))
    begun = time.monotonic_ns()
    assert waiter.arm() is False
    assert rung(waiter)
    assert time.monotonic_ns() - begun >= 4 * SECOND // 10


def test_a_kick_is_noticed(ring: Ring, waiter_of: Callable[[Reader], Waiter]) -> None:
    ring.writer()
    reader = ring.reader("live")
    waiter = waiter_of(reader)
    assert waiter.arm() is False
    reader.kick(_ring.CLOSED_KICKED)
    assert rung(waiter)
    assert waiter.arm() is True
    assert reader.recv(0) is None
    assert reader.closed == _ring.CLOSED_KICKED


def test_a_stopped_waiter_waits_no_more(ring: Ring, waiter_of: Callable[[Reader], Waiter]) -> None:
    ring.writer()
    waiter = waiter_of(ring.reader("live"))
    waiter.arm()
    waiter.stop()
    waiter.stop()
    assert waiter.fileno() >= 0
    with pytest.raises(ValueError, match="stopped"):
        waiter.arm()
    waiter.close()
    waiter.close()
    assert waiter.fileno() == -1
    assert waiter.clear() is False


def test_a_waiter_of_the_parent_is_dead_in_the_child(ring: Ring, waiter_of: Callable[[Reader], Waiter]) -> None:
    writer, reader = ring.writer(), ring.reader("live")
    waiter = waiter_of(reader)
    assert waiter.arm() is False
    child = os.fork()
    if child == 0:
        with pytest.raises(ValueError, match="another process"):
            waiter.arm()
        waiter.close()
        os._exit(0 if waiter.fileno() == -1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    writer.publish(0, b"x", pts=0)
    assert rung(waiter)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda reader: reader.recv("1"),
        lambda reader: reader.recv(1.5),
        lambda reader: reader.recv(),
        lambda reader: reader.recv_many(1),
        lambda reader: reader.wait(None),
        lambda reader: reader.kick("now"),
    ],
)
def test_wrong_arguments_are_type_errors(ring: Ring, wrong: Callable[[Reader], object]) -> None:
    with pytest.raises(TypeError):
        wrong(ring.reader())


@pytest.mark.parametrize(
    "start", [("newest", 0), ("seq", -1), ("ago", -5), ("", 0)], ids=["word", "seq", "ago", "empty"]
)
def test_unusable_starts_are_refused(ring: Ring, start: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match="start"):
        Reader(ring.readonly(), start)


# ------------------------------------------------------------------- signals

BLOCK = """
    import os, sys
    from arclyd.ring import region
    from arclyd.ring._ring import Reader, Region
    fd = region.open_readonly(sys.argv[1])
    reader = Reader(Region(fd), ("live", 0))
    print("ready", flush=True)
    try:
        getattr(reader, sys.argv[2])(*(int(argument) for argument in sys.argv[3:]))
    except KeyboardInterrupt:
        sys.exit(7)
    """


@pytest.mark.parametrize("call", [("recv", "-1"), ("recv_many", "10", "-1"), ("recv", str(1000 * SECOND))], ids=str)
def test_a_blocked_reader_is_interrupted(ring: Ring, call: tuple[str, ...]) -> None:
    ring.writer()
    process = subprocess.Popen(python(BLOCK, ring.file.name, *call), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        wait_until(lambda: asleep(process.pid, process.pid), what="the reader to fall asleep")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 7
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_a_signal_that_interrupts_no_sleep_is_handled_all_the_same(ring: Ring) -> None:
    # As if it had come just before the sleep, or had been taken by another thread.
    ring.writer()
    reader, main = ring.reader("live"), threading.get_native_id()

    def interrupt() -> None:
        wait_until(lambda: asleep(main), what="the main thread to fall asleep")
        _thread.interrupt_main()

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        reader.recv(FOR_EVER)
    thread.join()


def test_a_handler_that_returns_does_not_end_the_wait(ring: Ring) -> None:
    writer, reader, handled = ring.writer(), ring.reader("live"), threading.Event()

    def handler(number: int, frame: object) -> None:
        handled.set()

    def prompt() -> None:
        wait_until(lambda: asleep(main), what="the main thread to fall asleep")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        assert handled.wait(60)
        writer.publish(0, b"x", pts=0)

    main, before = threading.get_native_id(), signal.signal(signal.SIGUSR1, handler)
    thread = threading.Thread(target=prompt)
    try:
        thread.start()
        assert isinstance(reader.recv(FOR_EVER), Frame)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert handled.is_set()


def test_a_blocked_reader_uses_no_processor_and_lets_others_run(ring: Ring) -> None:
    ring.writer()
    blocked_for, before = time.monotonic(), time.process_time()
    reader = ring.reader("live")
    blocked, turns = Blocked(reader), 0
    while time.monotonic() - blocked_for < 1.2:
        assert not blocked.results
        time.sleep(0.1)  # not to wait for anything: to leave the processor to whoever would use it
        turns += 1
    assert turns >= 2
    assert time.process_time() - before < 0.5 * (time.monotonic() - blocked_for)
    reader.kick(_ring.CLOSED_KICKED)
    assert blocked.result() is None

"""What a Subscriber is made of: frames go straight to the caller, all else through the Subscriber."""

from __future__ import annotations

import gc
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.errors import EndOfStream
from arclyd.ring._ring import Frame, Gap, Receiver
from tests.unit.ring.rings import VIDEO, Ring

if TYPE_CHECKING:
    from collections.abc import Callable


class Asked(Receiver):
    """Notes what it is asked for, and raises or gives what it was told to."""

    def __init__(self, reader: Any, answer: Any = None, *, shows: bool = False) -> None:
        self._reader = reader
        self._shows = shows
        self.answer = answer
        self.asked: list[tuple[object, float | None, float | None]] = []

    def _frame_after(self, item: object, deadline: float | None, timeout: float | None) -> object:
        self.asked.append((item, deadline, timeout))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer or item


class StandIn:
    """Reads nothing yet."""

    def __init__(self) -> None:
        self.waited: list[int] = []

    def recv(self, timeout_ns: int) -> None:
        self.waited.append(timeout_ns)


@pytest.fixture
def three(ring: Ring) -> Ring:
    """A ring with three frames."""
    writer = ring.writer(VIDEO)
    for pts in range(3):
        writer.publish(0, b"x", pts=pts, keyframe=pts == 0)
    return ring


def test_frames_go_straight_to_the_caller(three: Ring) -> None:
    receiver = Asked(three.reader())
    first, second, third = receiver.recv(), next(receiver), receiver.recv(timeout=1)
    assert [frame.seq for frame in (first, second, third)] == [0, 1, 2]
    assert {type(frame) for frame in (first, second, third)} == {Frame}
    assert not receiver.asked


def test_frames_that_are_shown_go_through_the_subscriber(three: Ring) -> None:
    receiver = Asked(three.reader(), shows=True)
    assert [receiver.recv().seq, next(receiver).seq] == [0, 1]
    assert [(item.seq, deadline, timeout) for item, deadline, timeout in receiver.asked] == [  # type: ignore[attr-defined]
        (0, None, None),
        (1, None, None),
    ]


def test_a_gap_goes_through_the_subscriber(make_ring: Callable[..., Ring]) -> None:
    ring = make_ring(slots=16)
    writer = ring.writer(VIDEO)
    receiver = Asked(ring.reader("seq", 0))
    for pts in range(40):
        writer.publish(0, b"x", pts=pts, keyframe=pts % 10 == 0)
    assert receiver.recv() == Gap(30, 30)
    assert receiver.asked == [(Gap(30, 30), None, None)]
    assert receiver.recv().seq == 30


def test_a_timeout_is_given_on_with_its_deadline(ring: Ring) -> None:
    ring.writer(VIDEO)
    receiver = Asked(ring.reader(), TimeoutError("none"))
    for timeout in (0, 0.01, -1, float("nan")):
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="none"):
            receiver.recv(timeout)
        item, deadline, given = receiver.asked.pop()
        assert item is None
        assert given is timeout
        assert deadline is not None
        if timeout == timeout:
            assert before + timeout <= deadline + 1e-6
            assert deadline - 1e-6 <= time.monotonic() + max(0, timeout)


def test_what_stands_in_for_a_reader_is_asked_as_one() -> None:
    stand_in = StandIn()
    receiver = Asked(stand_in, answer="a frame")
    assert [receiver.recv(), receiver.recv(1.5), receiver.recv(timeout=float("inf"))] == ["a frame"] * 3
    assert stand_in.waited[:2] == [-1, 1_500_000_000]
    assert stand_in.waited[2] > 1e18
    assert [(item, timeout) for item, _, timeout in receiver.asked] == [(None, None), (None, 1.5), (None, float("inf"))]


@pytest.mark.parametrize(
    ("given", "named"), [(("soon",), {}), ((1, 2), {}), ((), {"until": 1}), ((1,), {"timeout": 1})]
)
def test_other_arguments_are_refused(three: Ring, given: tuple[Any, ...], named: dict[str, Any]) -> None:
    receiver = Asked(three.reader())
    with pytest.raises(TypeError):
        receiver.recv(*given, **named)
    assert receiver.recv().seq == 0


def test_iterating_ends_with_the_stream_and_with_nothing_else() -> None:
    receiver = Asked(StandIn(), EndOfStream("ended", "a/b"))
    assert list(receiver) == []
    with pytest.raises(EndOfStream):
        receiver.recv()
    receiver.answer = OSError("other")
    with pytest.raises(OSError, match="other"):
        next(receiver)


def test_one_without_a_reader_says_so(three: Ring) -> None:
    receiver = Asked(three.reader())
    del receiver._reader
    with pytest.raises(AttributeError):
        receiver.recv()


def test_cycles_through_it_are_collected() -> None:
    stand_in = StandIn()
    receiver = Asked(stand_in)
    stand_in.back = receiver  # type: ignore[attr-defined]
    gone = weakref.ref(receiver)
    del stand_in, receiver
    gc.collect()
    assert gone() is None

"""Who may connect, decided without a socket and without waiting."""

from __future__ import annotations

import resource

from arclyd.daemon.admission import BURST, KEPT_BACK, PACE, RESERVED, Admission
from arclyd.errors import ConnectionLimit, DescriptorLimit

SECOND = 1_000_000_000
FD = 10


def enter(admission: Admission, pid: int, count: int) -> list[object]:
    """Admit ``count`` connections of a process; the refusals."""
    refusals = []
    for _ in range(count):
        refusal = admission.refusal(pid, FD)
        if refusal is None:
            admission.enter(pid)
        refusals.append(refusal)
    return [refusal for refusal in refusals if refusal is not None]


def test_the_last_connections_are_not_for_who_has_all_the_others() -> None:
    admission = Admission(lambda: 1000)
    assert [type(one) for one in enter(admission, 1, 1000 - RESERVED + 2)] == [ConnectionLimit] * 2
    assert enter(admission, 2, RESERVED) == []
    assert [type(one) for one in enter(admission, 3, 1)] == [ConnectionLimit]
    admission.leave(1)
    assert enter(admission, 3, 1) == []


def test_a_small_limit_is_for_anybody() -> None:
    admission = Admission(lambda: 3)
    assert enter(admission, 1, 3) == []
    (refusal,) = enter(admission, 1, 1)
    assert isinstance(refusal, ConnectionLimit)
    assert refusal.limit == 3


def test_a_process_that_connects_without_end_is_slowed_down_and_others_are_not() -> None:
    admission = Admission(lambda: 100)
    assert not any(admission.rushes(1, 0) for _ in range(BURST))
    assert admission.rushes(1, 0)
    assert not admission.rushes(2, 0)
    admission.tick(0)
    assert [admission.rushes(1, SECOND) for _ in range(PACE + 1)] == [False] * PACE + [True]
    now = SECOND * (BURST // PACE + 2)
    admission.tick(now)
    assert not any(admission.rushes(1, now) for _ in range(BURST))


def test_descriptors_are_kept_for_the_streams() -> None:
    admission = Admission(lambda: 1000)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert admission.refusal(1, files - KEPT_BACK - 1) is None
    refusal = admission.refusal(1, files - KEPT_BACK)
    assert isinstance(refusal, DescriptorLimit)
    assert str(files) in str(refusal)

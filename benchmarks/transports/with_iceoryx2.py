"""iceoryx2: a publish-subscribe service of byte slices, written into loaned memory, read where it lies.

Its Python interface has no blocking receive on a subscriber; a subscriber waits by an event service's listener, or by
asking again. Asking again is the faster of the two at full speed, with `sched_yield` between, so that subscribers that
share a processor get their turn.
"""

from __future__ import annotations

import ctypes
import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import iceoryx2 as iox2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[str]:
    """A service name that nobody else has."""
    del stage, job, folder
    yield f"bench/{uuid.uuid4().hex}"


def service(name: str, job: Job) -> Any:
    """The service, with room for the window in each subscriber."""
    iox2.set_log_level(iox2.LogLevel.Error)
    node = iox2.NodeBuilder.new().create(iox2.ServiceType.Ipc)
    return node, (
        node.service_builder(iox2.ServiceName.new(name))
        .publish_subscribe(iox2.Slice[ctypes.c_uint8])
        .max_publishers(1)
        .max_nodes(job.subscribers + 2)
        .max_subscribers(max(1, job.subscribers))
        .subscriber_max_buffer_size(job.window + job.stride)
        .subscriber_max_borrowed_samples(2)
        .history_size(0)
        .enable_safe_overflow(False)
        .open_or_create()
    )


def publish(endpoint: str, job: Job, gate: Gate) -> None:
    """Loan, memmove, send."""
    node, ports = service(endpoint, job)
    publisher = ports.publisher_builder().initial_max_slice_len(job.size).max_loaned_samples(2).create()
    loan, move, size = publisher.loan_slice_uninit, ctypes.memmove, job.size
    source = ctypes.addressof(ctypes.c_char.from_buffer(gate.source))
    for _ in gate:
        sample = loan(size)
        move(sample.payload_ptr, source, size)
        sample.assume_init().send()
    del publisher, ports, node


def subscribe(endpoint: str, job: Job, index: int, check: Check) -> None:
    """Ask, and ask again."""
    del index
    node, ports = service(endpoint, job)
    subscriber = ports.subscriber_builder().buffer_size(job.window + job.stride).create()
    check.attached()
    receive, at, again, size, more = subscriber.receive, check.at, os.sched_yield, job.size, True
    while more:
        sample = receive()
        if sample is None:
            again()
        else:
            more = at(sample.payload_ptr, size)
            sample.delete()
    del subscriber, ports, node

"""iceoryx2: a publish-subscribe service of byte slices, written into loaned memory, read where it lies.

Its subscriber has no blocking receive: one asks again and again, or has an event service tell when to look. Asking
is the faster of the two at full speed, with `sched_yield` between, so that subscribers that share a processor get their
turn; where frames are rare it burns a processor. Option ``wait``: listener, for the other way.
"""

from __future__ import annotations

import ctypes
import os
import uuid
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import iceoryx2 as iox2

from benchmarks.harness.stage import SHM
from benchmarks.transports import of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage


Service = tuple[str, str]
"""Prefix of everything it leaves in the file system, and where that is."""


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[Service]:
    """A domain of its own; what iceoryx2 leaves of it in shared memory is removed."""
    del stage, job
    prefix = f"bench{uuid.uuid4().hex[:12]}_"
    try:
        yield prefix, str(folder)
    finally:
        for left in SHM.glob(f"{prefix}*"):
            left.unlink(missing_ok=True)


def node_of(service: Service) -> Any:
    """A node of the run's own domain."""
    prefix, root = service
    iox2.set_log_level(iox2.LogLevel.Error)
    config = iox2.config.global_config()
    config.global_cfg.prefix = iox2.FileName.new(prefix)
    config.global_cfg.root_path = iox2.Path.new(root)
    return iox2.NodeBuilder.new().config(config).create(iox2.ServiceType.Ipc)


def frames_of(node: Any, job: Job) -> Any:
    """The service, with room for the window in each subscriber."""
    return (
        node.service_builder(iox2.ServiceName.new("frames"))
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


def events_of(node: Any, job: Job) -> Any:
    """The event service by which a subscriber is told to look."""
    return (
        node.service_builder(iox2.ServiceName.new("events"))
        .event()
        .max_nodes(job.subscribers + 2)
        .max_listeners(max(1, job.subscribers))
        .open_or_create()
    )


def blocking(job: Job) -> bool:
    """Whether subscribers sleep until they are notified."""
    return of(job.transport).options.get("wait") == "listener"


def publish(endpoint: Service, job: Job, gate: Gate) -> None:
    """Loan, memmove, send; and notify those who sleep."""
    node = node_of(endpoint)
    ports = frames_of(node, job)
    publisher = ports.publisher_builder().initial_max_slice_len(job.size).max_loaned_samples(2).create()
    loan, move, size = publisher.loan_slice_uninit, ctypes.memmove, job.size
    source = ctypes.addressof(ctypes.c_char.from_buffer(gate.source))
    if blocking(job):
        events = events_of(node, job)
        notify = events.notifier_builder().create().notify
        for _ in gate:
            sample = loan(size)
            move(sample.payload_ptr, source, size)
            sample.assume_init().send()
            notify()
    else:
        for _ in gate:
            sample = loan(size)
            move(sample.payload_ptr, source, size)
            sample.assume_init().send()


def subscribe(endpoint: Service, job: Job, index: int, check: Check) -> None:
    """Ask, and ask again; or sleep until notified, and take all there is."""
    del index
    node = node_of(endpoint)
    ports = frames_of(node, job)
    subscriber = ports.subscriber_builder().buffer_size(job.window + job.stride).create()
    again: Callable[[], object] = os.sched_yield
    if blocking(job):
        events = events_of(node, job)
        listener, while_idle = events.listener_builder().create(), iox2.Duration.from_secs(1)
        again = partial(listener.timed_wait, while_idle)
    check.attached()
    receive, at, size, more = subscriber.receive, check.at, job.size, True
    while more:
        sample = receive()
        if sample is None:
            again()
        else:
            more = at(sample.payload_ptr, size)
            sample.delete()

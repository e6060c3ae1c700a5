"""eclipse-zenoh: two peers that know each other's address, payloads in its shared memory, nothing ever dropped.

Each frame is allocated from a shared-memory provider and put; a subscriber takes the payload's bytes off a queue.
"""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import zenoh

from benchmarks.harness.stage import SHM
from benchmarks.transports import of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.harness._native import Check, Gate
    from benchmarks.harness.job import Job
    from benchmarks.harness.stage import Stage

SPARE: Final = 4
"""Times the window that the provider's memory holds."""


@contextmanager
def endpoint(stage: Stage, job: Job, folder: Path) -> Iterator[tuple[str, str]]:
    """Where the publisher listens, and the key. Memory that zenoh leaves behind and nobody maps is removed."""
    del stage, job
    before = set(SHM.glob("*.zenoh"))
    try:
        yield f"unixsock-stream/{folder}/zenoh", f"bench/{uuid.uuid4().hex}"
    finally:
        for left in set(SHM.glob("*.zenoh")) - before:
            if not mapped(left):
                left.unlink(missing_ok=True)


def mapped(path: Path) -> bool:
    """Whether any process that we may look at maps the file."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            if str(path) in maps.read_text(errors="replace"):
                return True
    return False


def session(**settings: object) -> zenoh.Session:
    """A peer that looks for nobody: multicast and gossip would find strangers, and cost latency."""
    config = zenoh.Config()
    fixed = {
        "mode": "peer",
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "transport/shared_memory/enabled": True,
    }
    for path, value in {**fixed, **settings}.items():
        config.insert_json5(path, json.dumps(value))
    return zenoh.open(config)


def publish(endpoint: tuple[str, str], job: Job, gate: Gate) -> None:
    """Allocate, copy, put."""
    address, key = endpoint
    block, size = zenoh.CongestionControl.BLOCK, job.size
    with session(**{"listen/endpoints": [address]}) as peer:
        publisher = peer.declare_publisher(
            key, congestion_control=block, reliability=zenoh.Reliability.RELIABLE, express=bool(job.rate)
        )
        put = publisher.put
        if of(job.transport).options.get("memory") == "shared":
            provider = zenoh.shm.ShmProvider.default_backend(SPARE * (job.window + 16) * max(size, 4096))
            alloc, policy = provider.alloc, zenoh.shm.BlockOn(zenoh.shm.GarbageCollect())
            source: Any = gate.source.obj  # the bytearray: a view is not taken
            for _ in gate:
                message = alloc(size, policy=policy)
                message[:] = source
                put(message)
        else:
            for source in gate:
                put(bytes(source))
        import time

        while peer.info.peers_zid():  # until the subscribers have gone, who have everything then
            time.sleep(0.001)


def subscribe(endpoint: tuple[str, str], job: Job, index: int, check: Check) -> None:
    """Take the bytes of each sample."""
    del index
    address, key = endpoint
    with session(**{"connect/endpoints": [address], "listen/endpoints": []}) as peer:
        subscriber = peer.declare_subscriber(key, zenoh.handlers.FifoChannel(2 * job.window))
        check.attached()
        recv = subscriber.recv
        while check(recv().payload.to_bytes()):
            pass

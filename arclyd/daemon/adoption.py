"""What a new daemon does with the regions it finds: streams of the daemon before it, mostly alive.

A region whose writer's lock is held goes on as if nothing had been; one without a writer gets its
application's grace time; one that ended, or is of no use, is removed with a word in the log. What belongs to
another user is neither opened nor removed. A sealed region has no name to find: its publisher brings it (`readmit`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arclyd.control.keys import parse_key
from arclyd.control.reports import Metadata
from arclyd.daemon.auth import Peer
from arclyd.daemon.stream import Party, Phase, Publisher, Stream
from arclyd.daemon.streams import FLOOR_NS
from arclyd.errors import ArclydError, RegionCorrupt
from arclyd.ring import _ring

if TYPE_CHECKING:
    from arclyd.daemon.regions import Handle, RingStore
    from arclyd.daemon.stream import Now
    from arclyd.daemon.streams import Streams


def readmit(streams: Streams, fd: int, key: str, region_id: str, now: Now) -> None:
    """Take up the sealed region that its living publisher brings back; ``fd`` stays the caller's.

    Raises:
        RegionCorrupt: it is none of this daemon's, or over, or nobody writes it.
    """
    handle = streams.store.readmit(fd, key, region_id)
    try:
        if handle.closed or handle.has_ended or not handle.writer_lives():
            raise RegionCorrupt("descriptor", "nobody writes the region behind it")
        _take_up(streams, handle, now)
    except BaseException:
        handle.release()
        raise


def adopt(streams: Streams, store: RingStore, now: Now) -> int:
    """Take up every region of this instance; returns how many streams there are."""
    for found in store.found():
        if isinstance(found, tuple):
            name, error = found
            kind = "removed" if store.discard(name) else "left_alone"
            streams.events.append(now.ms, kind, region=name, problem=str(error))
            continue
        try:
            _take_up(streams, found, now)
        except ArclydError as error:
            _remove(streams, found, str(error), now)
    return len(streams)


def _take_up(streams: Streams, handle: Handle, now: Now) -> None:
    app_name, _ = parse_key(handle.key)
    if handle.closed or handle.has_ended:
        _remove(streams, handle, "its stream had ended", now)
        return
    rival = streams.find(handle.key)
    lives = handle.writer_lives()
    if rival is not None and (rival.phase is Phase.PUBLISHING or not lives):
        _remove(streams, handle, "another region has its key", now)
        return
    if rival is not None:
        _remove(streams, rival.handle, "another region has its key", now)
    counters = handle.counters()
    stream = Stream(
        key=handle.key,
        app=streams.config.app(app_name),
        handle=handle,
        phase=Phase.PUBLISHING if lives else Phase.INTERRUPTED,
        since_ns=now.ns,
        metadata=Metadata(handle.key),
        created_ms=handle.created_ms,
        claimed_ns=now.ns,
        epoch_start=handle.base_seq,
        started_ms=handle.created_ms if counters.head > handle.base_seq else 0,
        returns=handle.epoch > 0,
        interrupted_ns=None if lives else now.ns,
        floor=handle.subscribers,
        floor_until_ns=now.ns + FLOOR_NS,
    )
    if lives:  # who it is shows when its connection comes back
        writer = Party(0, Peer(counters.writer_pid, -1, -1))
        stream.publisher = Publisher(writer, now.ms, connected=False)
    if handle.epoch == 1:  # all there is counts towards the averages
        stream.qos.begin(1, ())
    else:
        stream.epoch_start = counters.head
    streams.add(stream)
    state = stream.phase.value
    streams.events.append(now.ms, "adopted", stream.key, region=handle.name, state=state, head=handle.head)


def _remove(streams: Streams, handle: Handle, problem: str, now: Now) -> None:
    if not handle.closed:
        handle.close(_ring.CLOSED_PUBLISHER_GONE)
    else:
        handle.remove()
    handle.release()
    streams.events.append(now.ms, "removed", handle.key, region=handle.name, problem=problem)

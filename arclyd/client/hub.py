"""The one background thread of a process that serves the control connections of its publishers and subscribers.

It starts with the first link and ends with the last, never touches media, and is a daemon thread: a
program may exit without closing anything. A forked child starts without it: every link that came over
the fork is cut there, since the connection is its parent's.
"""

from __future__ import annotations

import atexit
import heapq
import itertools
import logging
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Final, Protocol

TICK: Final = 1.0
"""Seconds between the reports of a link."""

Call = Callable[[], None]


class Served(Protocol):
    """What the hub's thread serves: a link."""

    def ready(self, mask: int) -> None:
        """Its socket can be read or written."""

    def tick(self) -> None:
        """About once a second."""

    def abandon(self) -> None:
        """The process ends: close the connection, speak to nobody."""

    def forked(self) -> None:
        """This is a forked child: close the copy of the connection, give up what is the parent's."""


@cache
def process_hub() -> Hub:
    """The hub of this process. One per process is what it is for, hence the one object that is global."""
    hub = Hub()
    os.register_at_fork(after_in_child=hub.forked)
    atexit.register(hub.stop)
    return hub


class Hub:
    """Starts and ends the thread; every method may be called from any thread."""

    def __init__(self) -> None:
        # Re-entrant: a link may be dropped by the garbage collector, inside any allocation made under the lock.
        self._lock = threading.RLock()
        self._loop: Loop | None = None
        self._links: set[Served] = set()

    def call_soon(self, call: Call) -> None:
        """Run ``call`` in the hub's thread, which is started where it does not run."""
        with self._lock:
            loop = self._loop or self._begin()
            loop.calls.append(call)
            loop.wake()

    def _begin(self) -> Loop:
        loop = self._loop = Loop(self)
        try:
            loop.start()
        except BaseException:  # Ctrl-C while the thread starts: it may be about to run, or never will
            if not loop.began.wait(1.0):
                self._loop = None
                loop.close()
            raise
        return loop

    def add(self, link: Served) -> None:
        """Serve ``link`` from now on."""
        with self._lock:
            self._links.add(link)

    def remove(self, link: Served) -> None:
        """Serve ``link`` no longer; with the last one the thread ends."""
        with self._lock:
            self._links.discard(link)

    @property
    def loop(self) -> Loop:
        """The running loop; for calls made in its thread."""
        if self._loop is None:
            raise RuntimeError("only the hub's own thread may ask for its loop")
        return self._loop

    @property
    def is_own_thread(self) -> bool:
        """True in the hub's thread."""
        return self._loop is not None and self._loop.thread is threading.current_thread()

    def links(self) -> list[Served]:
        """The links served now."""
        with self._lock:
            return list(self._links)

    def retire(self, loop: Loop) -> bool:
        """In the loop's thread: True where nothing is left to do, and the loop is no longer this hub's."""
        with self._lock:
            if self._links or loop.calls:
                return False
            self._loop = None
            return True

    def stop(self) -> None:
        """At exit: close every link's descriptors and end the thread. What was not ended is interrupted."""
        with self._lock:
            links, loop = list(self._links), self._loop
            self._links.clear()
        if loop is None:
            return
        for link in links:
            self.call_soon(link.abandon)
        if loop.began.wait(1.0):
            loop.thread.join(1.0)

    def forked(self) -> None:
        """In a forked child: the thread, the lock's owner and the connections stayed with the parent."""
        self._lock = threading.RLock()
        links, loop = self._links, self._loop
        self._links, self._loop = set(), None
        if loop is not None:
            loop.close()
        for link in links:
            link.forked()


class Loop:
    """One run of the hub's thread. All but `calls`, `wake` and `start` belong to that thread."""

    def __init__(self, hub: Hub) -> None:
        self.calls: deque[Call] = deque()
        self.began = threading.Event()
        self.thread = threading.Thread(target=self._run, name="arclyd-hub", daemon=True)
        self._hub = hub
        self._selector = selectors.DefaultSelector()
        self._wakeup = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._timers: list[tuple[float, int, Call]] = []
        self._order = itertools.count()  # of timers due at the same time

    def start(self) -> None:
        """Start the thread."""
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        self.thread.start()

    def wake(self) -> None:
        """Make the thread look at `calls`."""
        os.eventfd_write(self._wakeup, 1)

    def watch(self, fd: int, mask: int, link: Served) -> None:
        """Call ``link.ready`` whenever one of ``mask`` is true of ``fd``; a mask of 0 ends that."""
        if fd in self._selector.get_map():
            if mask:
                self._selector.modify(fd, mask, link)
            else:
                self._selector.unregister(fd)
        elif mask:
            self._selector.register(fd, mask, link)

    def call_later(self, delay: float, call: Call) -> None:
        """Run ``call`` in ``delay`` seconds."""
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._order), call))

    def close(self) -> None:
        """Give the descriptors back."""
        self._selector.close()
        os.close(self._wakeup)

    def _run(self) -> None:
        self.began.set()
        self._tick()
        while not self._hub.retire(self):
            self._serve_ready()
            while self.calls:
                self._guarded(self.calls.popleft())
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                self._guarded(heapq.heappop(self._timers)[2])
        self.close()

    def _serve_ready(self) -> None:
        # On its own: a name left over from the loop would keep the last link, and the region behind it, alive.
        for key, mask in self._selector.select(self._patience()):
            self._serve(key, mask)

    def _serve(self, key: selectors.SelectorKey, mask: int) -> None:
        if key.data is None:
            os.eventfd_read(self._wakeup)
        else:
            link: Served = key.data
            self._guarded(lambda: link.ready(mask))

    def _patience(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else TICK

    def _tick(self) -> None:
        for link in self._hub.links():
            self._guarded(link.tick)
        self.call_later(TICK, self._tick)

    def _guarded(self, call: Call) -> None:
        try:
            call()
        except Exception:  # an observer's or a bug of one link's: the other links must be served on
            logging.getLogger("arclyd.client").exception("error in the control thread")

"""What the connections of one gateway share: the daemon's word, who publishes what, and the claims of streams."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from arclyd import AsyncControl, Publisher
from arclyd.errors import AlreadyPublishing, ArclydError, DaemonUnavailable
from arclyd.ingest.limits import Census, Limits

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Mapping

    from arclyd.media.track import Track

log: Final = logging.getLogger(__name__)

QUIET_SECONDS: Final = 1.0
"""An encoder that has said nothing for so long may have been cut off: it finds its place free when it comes back."""

ALIVE_SECONDS: Final = 0.1
"""One that was heard so lately is not asked whether it was cut off."""

LOOK_SECONDS: Final = 0.05
TICK_SECONDS: Final = 1.0
CLAIMS_AT_ONCE: Final = 8
"""Threads that wait for the daemon while streams are claimed."""

UNTOLD: Final = 256
"""Connections whose coming and going is not told yet; where the daemon is that slow, more are not told at all."""


Owner = tuple[str, "Mapping[str, str]"]
"""Who publishes: an address without the port, and the credentials that were shown."""


class Connection(Protocol):
    """A connection that is open."""

    def tick(self, now: float) -> None:
        """About once a second, by the monotonic clock."""

    def close(self, reason: str, *, abort: bool = False) -> None:
        """End it; ``abort``: without sending what is queued."""


class Intake(Protocol):
    """What becomes a stream."""

    @property
    def live(self) -> bool:
        """Frames go into the ring."""

    def tracks(self) -> list[Track]:
        """The tracks it is to be claimed with. Raises `ArclydError`: it can't be."""

    def begin(self, publisher: Publisher) -> None:
        """The claim of `tracks` was granted: what waited goes out."""

    def release(self) -> Publisher | None:
        """The stream is over: its publisher, if there is one, to be ended."""

    def interrupt(self) -> None:
        """It broke off, and may go on: by the next connection."""


class Publishing(Protocol):
    """A connection that publishes, as another one that wants its key sees it."""

    @property
    def owner(self) -> Owner:
        """Its address without the port, and the credentials it showed."""

    @property
    def heard_at(self) -> float:
        """When something came from it last, on the monotonic clock."""

    def give_way(self) -> None:
        """Its encoder came back by another connection."""


class Gateway:
    """Shared by all connections of a process.

    Args:
        control: the daemon.
        limits: of connections.
        protocol: what they speak, as people read it: "rtmp", "rtmps".
    """

    def __init__(self, control: AsyncControl, limits: Limits, protocol: str) -> None:
        self.control = control
        self.limits = limits
        self.protocol = protocol
        self.census = Census(limits)
        self.connections: set[Connection] = set()
        """Those that are open."""
        self._publishing: dict[str, Publishing] = {}
        self._threads = ThreadPoolExecutor(CLAIMS_AT_ONCE, "claim")
        self._untold = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ publishing

    async def admit(self, key: str, action: str, address: str, shown: Mapping[str, str]) -> None:
        """Ask the daemon. Raises what it refuses with."""
        await self.control.admit(key, action, address=address, protocol=self.protocol, shown=shown)

    def is_taken(self, key: str, owner: Owner) -> bool:
        """Another encoder publishes it in this process, or ``owner``'s own does and was heard a moment ago."""
        there = self._publishing.get(key)
        if there is None:
            return False
        return not _is_same(there.owner, owner) or time.monotonic() < there.heard_at + ALIVE_SECONDS

    async def enter(self, key: str, connection: Publishing) -> bool:
        """Take the key's place in this process; True: from an encoder's own connection that was cut off.

        Raises:
            AlreadyPublishing: another one publishes it here, and is not silent.
        """
        there = self._publishing.get(key)
        if there is not None:
            if not _is_same(there.owner, connection.owner):
                raise AlreadyPublishing(key)
            heard = there.heard_at
            while self._publishing.get(key) is there and time.monotonic() < heard + QUIET_SECONDS:
                await asyncio.sleep(LOOK_SECONDS)
                if there.heard_at != heard:
                    raise AlreadyPublishing(key)
            if self._publishing.get(key, there) is not there:
                raise AlreadyPublishing(key)
            there.give_way()
        self._publishing[key] = connection
        return there is not None

    def leave(self, key: str, connection: Publishing) -> None:
        """Give the place back. Idempotent."""
        if self._publishing.get(key) is connection:
            del self._publishing[key]

    async def claim(
        self, key: str, intake: Intake, *, name: str, metadata: Mapping[str, object], take_over: bool
    ) -> Publisher:
        """Claim the stream with the tracks ``intake`` has; ``take_over``: from this process. Raises as `Publisher`."""
        claim = partial(
            Publisher,
            key,
            intake.tracks(),
            on_taken="replace" if take_over else None,
            metadata=metadata,
            socket=self.control.socket,
            name=name,
        )
        return await asyncio.get_running_loop().run_in_executor(self._threads, claim)

    # ---------------------------------------------------------------- telling

    def tell(self, what: str, address: str, subject: str = "", reason: str = "") -> None:
        """Have the daemon know that a connection came or went."""
        if self._untold < UNTOLD:
            self._untold += 1
            self.start(self._tell(what, address, subject, reason))

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Do ``work`` beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @contextlib.asynccontextmanager
    async def attended(self) -> AsyncIterator[None]:
        """Connections are looked after while this is entered, and ended with it: their encoders may come back."""
        ticking = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            for connection in list(self.connections):
                connection.close("the gateway ends", abort=True)
            await asyncio.sleep(0)  # for them to be told so
            with contextlib.suppress(TimeoutError):
                await self.aclose()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            for connection in list(self.connections):
                try:
                    connection.tick(now)
                except Exception:  # a fault in one is no reason to look after none any more
                    log.exception("a connection is ended")
                    connection.close("a fault of the gateway", abort=True)

    async def aclose(self) -> None:
        """Wait for what was begun."""
        async with asyncio.timeout(5):
            while self._tasks:
                await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _tell(self, what: str, address: str, subject: str, reason: str) -> None:
        try:
            with contextlib.suppress(DaemonUnavailable):
                await self.control.tell_connection(
                    what, address=address, protocol=self.protocol, subject=subject, reason=reason
                )
        except ArclydError as error:
            log.debug("%s", error)
        finally:
            self._untold -= 1


def _is_same(one: Owner, other: Owner) -> bool:
    (host, shown), (other_host, other_shown) = one, other
    return host == other_host or (bool(shown) and shown == other_shown)

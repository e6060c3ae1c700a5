"""`arclyd push KEY udp://…`: a stream as datagrams, sent when the clock in them says so."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import click

from arclyd import AsyncSubscriber
from arclyd.errors import EndOfStream
from arclyd.ingest.again import again_and_again, until_stopped
from arclyd.ingest.mpegts.address import Address, open_sender
from arclyd.ingest.ts.feeding import feed
from arclyd.media.formats.mpegts.schedule import Schedule

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable

    from arclyd.media.formats.mpegts.schedule import Due

log: Final = logging.getLogger(__name__)

WAIT_SECONDS: Final = 3600.0
"""For a stream to appear before the next look."""

CLOSE_NS: Final = 1_000_000
"""What is due so soon is sent at once: an event loop wakes no more exactly."""


def pull(url: str, key: str, **_options: object) -> None:
    """Say what to do instead: nobody can be asked for datagrams."""
    raise click.UsageError(f"datagrams are not fetched but come: arclyd listen mpegts {url} {key}")


def push(key: str, url: str, *, verify: bool, socket: str | None) -> None:
    """Send until SIGINT or SIGTERM."""
    del verify  # nothing of TLS here
    work = partial(_push_once, Address.parse(url), key, socket=socket)
    asyncio.run(until_stopped(partial(again_and_again, f"push {key}", work)))


async def _push_once(address: Address, key: str, *, socket: str | None) -> str:
    schedule, begun = Schedule(), False
    with open_sender(address) as sock:
        async with AsyncSubscriber(key, socket=socket, name=f"push {address}", wait=WAIT_SECONDS) as subscriber:
            try:
                async for data in feed(subscriber):
                    if not begun:
                        begun = True
                        log.info("push %s: %s is sent to", key, address)
                    await _send(sock, schedule.push(data, time.monotonic_ns()))
            except EndOfStream as end:
                await _send(sock, schedule.flush(time.monotonic_ns()))
                return f"the stream is over: {end.reason}"
    return "over"


async def _send(sock: socket.socket, datagrams: Iterable[Due]) -> None:
    for due in datagrams:
        wait = due.at_ns - time.monotonic_ns()
        if wait > CLOSE_NS:
            await asyncio.sleep(wait / 1e9)
        # Nobody listens, or the network is not there at the moment: a sender of datagrams goes on.
        with contextlib.suppress(OSError):
            sock.send(due.data)

"""Doing something again and again that ends or fails, with pauses that grow: a connection to another server."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from arclyd.errors import ArclydError
from arclyd.serving import stopped, until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from arclyd.serving import Work

    Once = Callable[[], Coroutine[None, None, str]]
    """Something that ends, and returns why, or raises."""

    Repeat = Callable[[str, Once], Coroutine[None, None, None]]
    """How something of that name is done again and again."""

log: Final = logging.getLogger(__name__)

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""After that long it counts as good: the pauses begin anew."""


async def again_and_again(what: str, once: Callable[[], Coroutine[None, None, str]]) -> None:
    """Do ``once``, which returns why it ended or raises, for ever; longer pauses where it fails at once."""
    loop = asyncio.get_running_loop()
    pause = FIRST_PAUSE
    while True:
        began = loop.time()
        try:
            reason = await once()
        except ArclydError as error:
            reason = str(error)
        if loop.time() - began > STEADY_SECONDS:
            pause = FIRST_PAUSE
        log.warning("%s: %s; again in %g s", what, reason, pause)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def until_stopped(work: Work) -> None:
    """Do ``work``, which has no end, until SIGINT or SIGTERM."""
    with stopped() as stop:
        await until(stop, [work])


async def first_of(*work: Coroutine[None, None, None]) -> None:
    """Do all of it at the same time until one is done, or fails."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

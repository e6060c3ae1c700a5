"""Fetching a stream only while somebody wants it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from arclyd import AsyncControl
from arclyd.errors import DaemonUnavailable, StreamNotFound
from arclyd.ingest.again import again_and_again, first_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

log: Final = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25


async def on_demand(
    what: str, once: Callable[[], Coroutine[None, None, str]], *, key: str, socket: str | None, linger: float
) -> None:
    """Do ``once`` again and again while ``key`` is wanted, and not otherwise; for ever.

    A stream is wanted once somebody asks for it, and until it has had no subscriber for ``linger`` seconds.
    """
    async with AsyncControl(socket, name=f"{what} on demand") as control:
        while True:
            while not await _is_wanted(control, key, unknown=False):
                await asyncio.sleep(LOOK_SECONDS)
            log.info("%s: somebody wants it", what)
            await first_of(again_and_again(what, once), _until_unwanted(control, key, linger))
            log.info("%s: nobody wanted it for %g s", what, linger)


async def _until_unwanted(control: AsyncControl, key: str, linger: float) -> None:
    loop = asyncio.get_running_loop()
    wanted_at = loop.time()
    while loop.time() - wanted_at < linger:
        await asyncio.sleep(LOOK_SECONDS)
        if await _is_wanted(control, key, unknown=True):
            wanted_at = loop.time()


async def _is_wanted(control: AsyncControl, key: str, *, unknown: bool) -> bool:
    """``unknown``: what holds while there is no daemon to tell."""
    try:
        try:
            return (await control.info(key)).subscribers > 0
        except StreamNotFound:
            return await control.wanted(key)
    except DaemonUnavailable:
        return unknown

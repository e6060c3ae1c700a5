"""`arclyd pull rtmp://… KEY` and `arclyd push KEY rtmp://…`."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from arclyd import AsyncControl, AsyncSubscriber, Publisher
from arclyd.errors import EndOfStream
from arclyd.ingest.again import again_and_again, first_of, until_stopped
from arclyd.ingest.flv import about
from arclyd.ingest.flv.intake import Intake
from arclyd.ingest.rtmp.dialling import IDLE_SECONDS, Dialled, dialled
from arclyd.ingest.rtmp.feeding import feed
from arclyd.media.codecs import TrackKind
from arclyd.protocols.rtmp.address import Address
from arclyd.protocols.rtmp.chunks import Message
from arclyd.protocols.rtmp.messages import Data, Type

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arclyd.ingest.again import Repeat
    from arclyd.ingest.rtmp.outflow import Tag

log: Final = logging.getLogger(__name__)

WAIT_SECONDS: Final = 3600.0
"""For a stream to appear before the next look."""


def pull(url: str, key: str, *, repeat: Repeat, on_taken: str | None, verify: bool, socket: str | None) -> None:
    """Fetch and publish until SIGINT or SIGTERM."""
    work = partial(_pull_once, Address.parse(url), key, on_taken=on_taken, verify=verify, socket=socket)
    asyncio.run(until_stopped(partial(repeat, f"pull {key}", work)))


def push(key: str, url: str, *, verify: bool, socket: str | None) -> None:
    """Send until SIGINT or SIGTERM."""
    work = partial(_push_once, Address.parse(url), key, verify=verify, socket=socket)
    asyncio.run(until_stopped(partial(again_and_again, f"push {key}", work)))


# ------------------------------------------------------------------------ pull


async def _pull_once(address: Address, key: str, *, on_taken: str | None, verify: bool, socket: str | None) -> str:
    intake = Intake()
    origin = {"publisher_addr": f"{address.host}:{address.port}", "ingest_protocol": address.scheme}
    try:
        async with dialled(address, publishing=False, verify=verify) as connection:
            log.info("pull %s: %s plays", key, address)
            async for event in connection.events(IDLE_SECONDS):
                if isinstance(event, Data):
                    intake.data([event.name, *event.values])
                elif isinstance(event, Message):
                    kind = TrackKind.VIDEO if event.type == Type.VIDEO else TrackKind.AUDIO
                    intake.receive(kind, event.timestamp, event.payload)
                    if intake.wants_claim:
                        metadata = {**intake.news(), **origin}
                        terms = partial(Publisher, metadata=metadata, socket=socket, name=f"pull {address}")
                        again = intake.live or on_taken == "replace"
                        claim = partial(terms, key, intake.tracks(), on_taken="replace" if again else on_taken)
                        intake.begin(await asyncio.to_thread(claim))
    finally:
        intake.interrupt()
    return "over"


# ------------------------------------------------------------------------ push


async def _push_once(address: Address, key: str, *, verify: bool, socket: str | None) -> str:
    name = f"push {address}"
    async with AsyncSubscriber(key, socket=socket, name=name, wait=WAIT_SECONDS) as subscriber:
        await subscriber.recv()  # only now the server is bothered
    async with (
        dialled(address, publishing=True, verify=verify) as connection,
        AsyncControl(socket, name=name) as control,
        AsyncSubscriber(key, socket=socket, name=name) as subscriber,
    ):
        log.info("push %s: %s takes it", key, address)
        tags = feed(subscriber, control, connection.started.fourccs)
        try:
            await first_of(_listen(connection), _send(connection, tags))
        except EndOfStream as end:
            return f"the stream is over: {end.reason}"
    return "over"


async def _listen(connection: Dialled) -> None:
    """What the server says while it is sent to: acknowledgements, or the end."""
    async for _ in connection.events(None):
        pass


async def _send(connection: Dialled, feeding: AsyncIterator[list[Tag]]) -> None:
    session, stream = connection.session, connection.started.stream
    async for tags in feeding:
        for tag in tags:
            body = about.SET_DATA_FRAME + tag.body if tag.type is Type.DATA else tag.body
            session.send_media(tag.type, stream, tag.timestamp, body)
        await connection.flush()

"""`arclyd pull rtsp://… KEY` and `arclyd push KEY rtsp://…`."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from arclyd import AsyncSubscriber, Publisher
from arclyd.errors import EndOfStream, WireError
from arclyd.ingest.again import again_and_again, first_of, until_stopped
from arclyd.ingest.rtp.intake import Intake
from arclyd.ingest.rtsp.dialling import dialled
from arclyd.ingest.rtsp.outflow import Offer, Outflow
from arclyd.protocols.rtp.formats import formats_of
from arclyd.protocols.rtsp.address import Address, resolve
from arclyd.protocols.sdp.description import SessionDescription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arclyd import Frame
    from arclyd.ingest.again import Repeat
    from arclyd.ingest.rtsp.dialling import Dialled
    from arclyd.protocols.rtsp.messages import Response

log: Final = logging.getLogger(__name__)

SDP: Final = "application/sdp"

WAIT_SECONDS: Final = 3600.0
"""For a stream to appear before the next look."""

IDLE_SECONDS: Final = 10.0
"""A server that sends nothing while we play has lost its stream, or us."""

FIRST_SECONDS: Final = 5.0
"""For the first datagram: where none comes, something between does not let them through."""

LOOK_SECONDS: Final = 0.5
REPORT_SECONDS: Final = 5.0


def pull(url: str, key: str, *, repeat: Repeat, on_taken: str | None, verify: bool, socket: str | None) -> None:
    """Fetch and publish until SIGINT or SIGTERM."""
    pulling = Pulling(Address.parse(url), key, on_taken=on_taken, verify=verify, socket=socket)
    asyncio.run(until_stopped(partial(repeat, f"pull {key}", pulling.once)))


def push(key: str, url: str, *, verify: bool, socket: str | None) -> None:
    """Send until SIGINT or SIGTERM."""
    work = partial(_push_once, Address.parse(url), key, verify=verify, socket=socket)
    asyncio.run(until_stopped(partial(again_and_again, f"push {key}", work)))


# ------------------------------------------------------------------------ pull


class _NoDatagrams(WireError):
    """Media are not to be had in datagrams."""


class Pulling:
    """A stream of a server elsewhere, as ``key`` here. Media come in datagrams until that was seen not to work."""

    def __init__(self, address: Address, key: str, *, on_taken: str | None, verify: bool, socket: str | None) -> None:
        self._address = address
        self._key = key
        self._on_taken = on_taken
        self._verify = verify
        self._socket = socket
        self._datagrams = not address.tls

    async def once(self) -> str:
        """Fetch and publish until it ends; why it did."""
        if self._datagrams:
            try:
                return await self._once(datagrams=True)
            except _NoDatagrams as error:
                log.info("pull %s: %s: within the connection from now on", self._key, error.problem)
                self._datagrams = False
        return await self._once(datagrams=False)

    async def _once(self, *, datagrams: bool) -> str:
        async with dialled(self._address, verify=self._verify) as connection:
            described = await connection.ask("DESCRIBE", self._address.url, (("Accept", SDP),))
            description = SessionDescription.parse(described.body)
            intake = Intake("RTSP")
            # Without what a camera wants to be sent, to speak to people there.
            formats, intake.left_out = formats_of(description, without="sendonly")
            intake.describe(formats)
            for reason in intake.left_out:
                log.warning("pull %s: a medium is left out: %s", self._key, reason)
            base = _base(described, self._address)
            try:
                await self._setup(connection, intake, description, base, datagrams=datagrams)
                control = resolve(base, description.attribute("control") or "*")
                await connection.ask("PLAY", control, (("Range", "npt=0.000-"),))
                log.info("pull %s: %s plays", self._key, self._address)
                await first_of(
                    connection.listen(),
                    connection.keep_alive(control),
                    self._attend(connection, intake, datagrams=datagrams),
                )
            finally:
                intake.interrupt()
        return "over"

    async def _setup(
        self, connection: Dialled, intake: Intake, description: SessionDescription, base: str, *, datagrams: bool
    ) -> None:
        for medium in intake.media:
            take = partial(_take, intake, medium)
            url = resolve(base, description.media[medium].attribute("control") or "")
            try:
                await connection.setup(medium, url, "", take, datagrams=datagrams)
            except WireError as error:
                if datagrams:
                    raise _NoDatagrams(error.protocol, error.problem) from None
                raise
            if not datagrams:
                intake.keep_order(medium)

    async def _attend(self, connection: Dialled, intake: Intake, *, datagrams: bool) -> None:
        """Claim the stream when it can be, tell the server how it comes, and notice when it does not."""
        began = reported = time.monotonic()
        came = False
        while True:
            await asyncio.sleep(LOOK_SECONDS if intake.live else LOOK_SECONDS / 10)
            now = time.monotonic()
            if connection.failure is not None:
                raise connection.failure
            intake.expire(now)
            if intake.wants_claim:
                intake.begin(await self._claim(intake))
            reports = intake.reports(now) if not came or now - reported >= REPORT_SECONDS else []
            came = came or bool(reports)
            if datagrams and not came and now - began > FIRST_SECONDS:
                raise _NoDatagrams("RTSP", f"no datagram came in {FIRST_SECONDS:g} s")
            if now - connection.heard_at > IDLE_SECONDS:
                raise WireError("RTSP", f"nothing came for {IDLE_SECONDS:g} s")
            if reports and now - reported >= REPORT_SECONDS:
                reported = now
                for medium, report in reports:
                    connection.ways[medium].send(report, control=True)
                await connection.flush()

    async def _claim(self, intake: Intake) -> Publisher:
        fields = {"publisher_addr": f"{self._address.host}:{self._address.port}", "ingest_protocol": "rtsp"}
        again = intake.live or self._on_taken == "replace"
        claim = partial(
            Publisher,
            self._key,
            intake.tracks(),
            on_taken="replace" if again else self._on_taken,
            metadata=fields,
            socket=self._socket,
            name=f"pull {self._address}",
        )
        return await asyncio.to_thread(claim)


def _take(intake: Intake, medium: int, data: bytes, *, control: bool) -> None:
    (intake.control if control else intake.packet)(medium, data, time.monotonic())


def _base(response: Response, address: Address) -> str:
    """Where the controls of a description are relative to; what cameras write there need not be a URL."""
    for name in ("Content-Base", "Content-Location"):
        if (value := response.get(name)).lower().startswith(("rtsp://", "rtsps://")):
            return value
    return address.url


# ------------------------------------------------------------------------ push


async def _push_once(address: Address, key: str, *, verify: bool, socket: str | None) -> str:
    name = f"push {address}"
    async with AsyncSubscriber(key, socket=socket, name=name, wait=WAIT_SECONDS) as subscriber:
        await subscriber.recv()  # only now the server is bothered
    async with (
        dialled(address, verify=verify) as connection,
        AsyncSubscriber(key, socket=socket, name=name) as subscriber,
    ):
        frame = await subscriber.recv()
        offer = Offer(subscriber.tracks, key)
        for reason in offer.left_out:
            log.info("push %s: a track is not sent: %s", key, reason)
        await connection.ask("ANNOUNCE", address.url, (("Content-Type", SDP),), offer.description.serialize())
        for medium, described in enumerate(offer.description.media):
            url = resolve(address.url, described.attribute("control") or "")
            await connection.setup(medium, url, "record", _ignored, datagrams=False)
        await connection.ask("RECORD", address.url, (("Range", "npt=0.000-"),))
        log.info("push %s: %s takes it", key, address)
        try:
            await first_of(
                connection.listen(),
                connection.keep_alive(address.url),
                _send(connection, offer, _frames(subscriber, frame), subscriber),
            )
        except EndOfStream as end:
            return f"the stream is over: {end.reason}"
    return "over"


def _ignored(data: bytes, *, control: bool) -> None:
    """What a server that is sent to says of how it comes."""


async def _frames(subscriber: AsyncSubscriber, frame: Frame) -> AsyncIterator[Frame]:
    while True:
        yield frame
        frame = await subscriber.recv()


async def _send(connection: Dialled, offer: Offer, frames: AsyncIterator[Frame], subscriber: AsyncSubscriber) -> None:
    outflow = Outflow(offer.tracks, offer.places, time.time_ns())
    media = {place: medium for medium, place in enumerate(offer.places)}
    epoch: int | None = None
    async for frame in frames:
        if epoch is None:
            outflow.begin(frame)
        elif frame.epoch != epoch:
            outflow.retrack(subscriber.tracks)
        epoch = frame.epoch
        packets = list(outflow.frame(frame))
        if frame.is_intact():  # else it was overwritten while it was copied
            for sent in packets:
                connection.ways[media[sent.place]].send(sent.data, control=sent.control)
            await connection.flush()

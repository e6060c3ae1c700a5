"""One viewer: frames out of the ring as they come; whoever is late goes on at a keyframe."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from arclyd import AsyncSubscriber
from arclyd.errors import ArclydError, EndOfStream, StreamNotFound
from arclyd.ingest.webrtc.outflow import Choice, Outflow, check_order
from arclyd.media.codecs import TrackKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arclyd import Frame
    from arclyd.ingest.gateway import Gateway
    from arclyd.ingest.webrtc.engine import Peer
    from arclyd.media.codecs import CodecId
    from arclyd.media.track import Track

log: Final = logging.getLogger(__name__)

LOOK_FRAMES: Final = 256
"""Frames that are looked at for their order: more pictures than any encoder's group has of other kinds than B."""

SOON_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 2.0
"""For a stream to have a keyframe, before and after one was asked for; then it is waited for in the connection."""

MOST_LATE: Final = 4096
MOST_LATE_BYTES: Final = 4 << 20
"""What a viewer that joins is sent of what was before: a group of pictures of some seconds. Else a keyframe is asked
for and waited for."""

AT_ONCE: Final = 32 << 10
PAUSE_SECONDS: Final = 0.002
"""What was before goes out no faster than that, sixteen megabytes a second, which a viewer's buffer outlasts."""

ASK_SECONDS: Final = 0.5
"""Between two requests for a keyframe: each costs the stream's other readers bits."""


class Player:
    """Plays ``key`` to one connection."""

    def __init__(self, gateway: Gateway, key: str, name: str, close: Callable[[str], None]) -> None:
        self.key = key
        self.left_out: tuple[str, ...] = ()
        """Tracks that are not sent, and why."""
        self._gateway = gateway
        self._name = name
        self._close = close
        self._tracks: Sequence[Track] = ()
        self._choice = Choice((), ())
        self._asked_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> list[CodecId]:
        """See what there is to be sent; its codecs.

        Raises:
            StreamNotFound: there is no such stream.
            MediaError: nothing of it can be sent.
        """
        async with AsyncSubscriber(self.key, name=self._name, socket=self._gateway.control.socket) as subscriber:
            frames = await subscriber.recv_many(LOOK_FRAMES, SOON_SECONDS)
            if not frames:  # nothing to begin with is in the ring
                self.ask()
                frames = await subscriber.recv_many(LOOK_FRAMES, LOOK_SECONDS)
            self._tracks = subscriber.tracks
            if not self._tracks:
                raise StreamNotFound(self.key)  # its publisher has not begun: the viewer is to come again
            self._choice = Choice.of(self._tracks)
            check_order(frames, self._choice.places, self._tracks)
        self.left_out = self._choice.left_out
        return [self._tracks[place].codec for place in self._choice.places]

    def begin(self, peer: Peer) -> None:
        """It is connected: send."""
        self._task = self._gateway.start(self._run(peer))

    def stop(self) -> None:
        """Nobody wants more."""
        if self._task is not None:
            self._task.cancel()

    def ask(self) -> None:
        """The viewer needs a keyframe."""
        now = time.monotonic()
        if now - self._asked_at >= ASK_SECONDS:
            self._asked_at = now
            self._gateway.start(self._ask())

    async def _ask(self) -> None:
        try:
            await self._gateway.control.request_keyframe(self.key)
        except ArclydError as error:
            log.debug("%s: %s", self.key, error)

    async def _run(self, peer: Peer) -> None:
        reason = ""
        try:
            async with AsyncSubscriber(self.key, name=self._name, socket=self._gateway.control.socket) as subscriber:
                await self._play(subscriber, peer)
        except EndOfStream as error:
            reason = error.reason
        except ArclydError as error:
            reason = str(error)
        self._close(f"the stream is over: {reason}")

    def _media(self, peer: Peer, tracks: Sequence[Track]) -> dict[int, int]:
        """The track of each medium."""
        of_kind = {tracks[place].kind: place for place in self._choice.places if place < len(tracks)}
        return {medium: of_kind[agreed.kind] for medium, agreed in peer.formats.items() if agreed.kind in of_kind}

    async def _play(self, subscriber: AsyncSubscriber, peer: Peer) -> None:
        late = await subscriber.recv_many(MOST_LATE, None)
        tracks = subscriber.tracks
        outflow = Outflow(tracks, self._media(peer, tracks), peer.formats)
        outflow.retrack(tracks)
        epoch = late[0].epoch if late else 0
        waits = not await self._catch_up(outflow, peer, late)
        del late
        if waits:
            self.ask()
        while True:
            frame = await subscriber.recv()
            if frame.epoch != epoch:
                epoch = frame.epoch
                outflow.retrack(subscriber.tracks)
            if waits and outflow.kind(frame) is TrackKind.VIDEO and not frame.is_config:
                if not frame.keyframe:
                    continue
                waits = False
            await self._send(outflow, peer, frame)

    async def _catch_up(self, outflow: Outflow, peer: Peer, late: list[Frame]) -> bool:
        """Send what was before the viewer came, pictures only; False: it is too much, or no keyframe is among it."""
        pictures = [frame for frame in late if outflow.kind(frame) is TrackKind.VIDEO]
        coded = [frame for frame in pictures if not frame.is_config]
        size = sum(len(frame.data) for frame in pictures)
        has_picture = any(kind is TrackKind.VIDEO for kind in map(self._kind, self._choice.places))
        if has_picture and (not coded or not coded[0].keyframe or size > MOST_LATE_BYTES or len(late) >= MOST_LATE):
            return False
        unpaused, behind = 0, len(coded)
        for frame in pictures:
            behind -= not frame.is_config
            await self._send(outflow, peer, frame, behind=behind)
            unpaused += len(frame.data)
            if unpaused >= AT_ONCE:
                unpaused = 0
                await asyncio.sleep(PAUSE_SECONDS)
        return True

    def _kind(self, place: int) -> TrackKind:
        return self._tracks[place].kind

    async def _send(self, outflow: Outflow, peer: Peer, frame: Frame, *, behind: int = 0) -> None:
        sent = list(outflow.frame(frame, behind=behind))
        if not frame.is_intact():  # it was overwritten while it was copied
            self.ask()
            return
        for medium, packets in sent:
            await peer.send(medium, packets)

"""A gateway and a publisher in memory, for what lies between a socket and the ring."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from arclyd.errors import FrameTooLarge
from arclyd.ingest.limits import Census, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.media.track import Track


@dataclass
class Published:
    """What a publisher was given: frames by track with their facts, and configurations."""

    tracks: list[Track] = field(default_factory=list)
    frames: list[tuple[int, bytes, dict[str, Any]]] = field(default_factory=list)
    configs: list[tuple[int, bytes]] = field(default_factory=list)
    limit: int = 1 << 20
    interrupted: bool = False
    ended: bool = False

    def publish(self, track: int, payload: Any, **facts: Any) -> int:
        if len(payload) > self.limit:
            raise FrameTooLarge(len(payload), self.limit)
        self.frames.append((track, bytes(payload), facts))
        return 0

    def set_config(self, track: int, config: bytes, **_size: int) -> int:
        self.configs.append((track, config))
        return 1

    def interrupt(self) -> None:
        self.interrupted = True

    def end(self) -> None:
        self.ended = True

    @property
    def payloads(self) -> list[tuple[int, bytes]]:
        return [(track, payload) for track, payload, _ in self.frames]


class FakeGateway:
    """Answers as it is told to, and keeps what it was asked. ``during``: called while it is."""

    protocol = "x"

    def __init__(self, refusal: Exception | None = None, limits: Limits | None = None) -> None:
        self.refusal = refusal
        self.limits = limits or Limits()
        self.census = Census(self.limits)
        self.connections: set[Any] = set()
        self.claims: list[dict[str, Any]] = []
        self.publishers: list[Published] = []
        self.entered: set[str] = set()
        self.told: list[dict[str, object]] = []
        self.said: list[tuple[str, ...]] = []
        self.control = self
        self.tasks: list[asyncio.Task[None]] = []
        self.during: Callable[[], object] = lambda: None

    async def admit(self, *_args: object) -> None:
        self.during()
        if self.refusal:
            raise self.refusal

    async def enter(self, key: str, _connection: object) -> bool:
        self.entered.add(key)
        return False

    def leave(self, key: str, _connection: object) -> None:
        self.entered.discard(key)

    async def claim(self, _key: str, intake: Any, **facts: Any) -> Published:
        self.claims.append({**facts, "tracks": intake.tracks()})
        self.publishers.append(Published(self.claims[-1]["tracks"]))
        self.during()
        return self.publishers[-1]

    async def update_metadata(self, _key: str, **fields: object) -> None:
        self.told.append(fields)

    def tell(self, *words: str) -> None:
        self.said.append(words)

    def start(self, work: Any) -> asyncio.Task[None]:
        self.tasks.append(asyncio.ensure_future(work))
        return self.tasks[-1]

    async def done(self) -> None:
        """Once all that was begun is done."""
        while self.tasks:
            await self.tasks.pop(0)

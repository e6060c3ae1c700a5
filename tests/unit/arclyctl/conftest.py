"""A daemon made of values: what the commands show when the library answers this."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from arclyctl.cli import cli
from arclyctl.context import Context
from arclyd.control.reports import (
    Check,
    Event,
    GopEntry,
    Health,
    Metadata,
    PublisherInfo,
    Qos,
    StreamInfo,
    SubscriberInfo,
    TrackQos,
    Version,
)
from arclyd.errors import DaemonUnavailable, StreamNotFound, SubscriberNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VIDEO = TrackQos(
    id=0, kind="video", codec="h264", time_base=(1, 90000), width=1280, height=720, sample_rate=0, channels=0,
    config_generation=1, frames=1500, keyframes=30, bytes=15_000_000, fps=25.0, bitrate_bps=2_310_000,
    average_bitrate_bps=2_000_000,
)  # fmt: skip
AUDIO = TrackQos(
    id=1, kind="audio", codec="aac", time_base=(1, 48000), width=0, height=0, sample_rate=48000, channels=2,
    config_generation=1, frames=2800, keyframes=2800, bytes=500_000, fps=46.88, bitrate_bps=64_200,
    average_bitrate_bps=64_000,
)  # fmt: skip
QOS = Qos(
    key="live/cam1", fps=25.0, video_bitrate_bps=2_310_000, audio_bitrate_bps=64_200, average_fps=25.0,
    average_video_bitrate_bps=2_000_000, average_audio_bitrate_bps=64_000, total_frames=4302, total_bytes=15_500_000,
    keyframes=30, keyframe_interval_seconds=2.0, gop_frames=50, gop_bytes=500_000, longest_gop_frames=60,
    longest_gop_bytes=600_000, largest_frame=120_000, padding_bytes=0, held_frames=1000, held_bytes=3_000_000,
    retention_seconds=12.5, idle_seconds=0.02, subscribers=2, tracks=(VIDEO, AUDIO),
)  # fmt: skip

VERSION = Version("0.1.0", 1, "1.0", "0a1b2c3d", 99, "/run/arclyd/control.sock", 1_700_000_000_000)
HEALTHY = Health("healthy", (Check("loop", "healthy"),))


def make_stream(key: str = "live/cam1", *, state: tuple[str, ...] = ("publishing",), fps: float = 25.0) -> StreamInfo:
    now_ms = int(time.time() * 1000)
    return StreamInfo(
        key=key, state=state, region=f"/arclyd.0a1b2c3d.{key.replace('/', '@')}.00000001", region_id="00ff",
        region_bytes=34_603_008, ring_bytes=33_554_432, slots=8192, layout="1.0", epoch=1, head=4302, subscribers=2,
        publisher=PublisherInfo(pid=4711, uid=1000, name="encoder", connected=True, since_ms=now_ms - 60_000),
        metadata=Metadata(key=key, width=1280, height=720, fps=fps, ingest_protocol="file", tags={"site": "roof"}),
        qos=replace(QOS, key=key, fps=fps), activities={"recording": 1}, created_at_ms=now_ms - 60_000,
    )  # fmt: skip


@dataclass
class FakeControl:
    """Answers like `arclyd.Control`; remembers what it was told to do."""

    streams: list[StreamInfo] = field(default_factory=lambda: [make_stream(), make_stream("live/cam2", fps=0.0)])
    kept: list[Event] = field(default_factory=list)
    readers: list[SubscriberInfo] = field(default_factory=list)
    daemon: Version = VERSION
    state: Health = HEALTHY
    done: list[tuple[object, ...]] = field(default_factory=list)

    def __enter__(self) -> FakeControl:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def list_streams(self, app: str | None = None) -> tuple[StreamInfo, ...]:
        return tuple(one for one in self.streams if app is None or one.key.startswith(f"{app}/"))

    def info(self, key: str) -> StreamInfo:
        for one in self.streams:
            if one.key == key:
                return one
        raise StreamNotFound(key)

    def gop_index(self, key: str) -> tuple[GopEntry, ...]:
        self.info(key)
        whole = GopEntry(7, 350, 348, 0, 1, 630_000, 50, 500_000, 2.0, 3.1, intact=True, joinable=True)
        broken = replace(
            whole, number=6, key_seq=300, intact=False, joinable=False, problem="overwritten by the writer"
        )
        return (broken, whole)

    def subscribers(self, key: str | None = None) -> tuple[SubscriberInfo, ...]:
        return tuple(one for one in self.readers if key in (None, one.key))

    def events(self, since: int | None = None, *, follow: bool = True) -> Iterator[Event]:
        self.done.append(("events", since, follow))
        return iter([one for one in self.kept if since is None or one.seq >= since])

    def kick(self, key: str, id: int) -> None:
        self.info(key)
        if id and all(one.id != id for one in self.readers):
            raise SubscriberNotFound(key, id)
        self.done.append(("kick", key, id))

    def end(self, key: str) -> None:
        self.info(key)
        self.done.append(("end", key))

    def version(self) -> Version:
        return self.daemon

    def health(self) -> Health:
        return self.state


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def context(control: FakeControl) -> Context:
    return Context(opener=lambda _socket, _timeout: control)  # type: ignore[arg-type,return-value]  # a fake


@pytest.fixture
def silent() -> Context:
    """A context whose daemon does not answer."""

    def refuse(socket: str | None, _timeout: float) -> object:
        raise DaemonUnavailable(socket or "/nowhere", "nobody listens")

    return Context(opener=refuse)  # type: ignore[arg-type]  # it never returns


@pytest.fixture
def ask(context: Context) -> Callable[..., Result]:
    """Run `arclyctl` with those words; what it raised is in ``exception``."""

    def invoke(*words: str, obj: Context = context) -> Result:
        return CliRunner().invoke(cli, list(words), obj=obj)

    return invoke


@pytest.fixture
def stream() -> Callable[..., StreamInfo]:
    return make_stream


@pytest.fixture
def reader() -> SubscriberInfo:
    return SubscriberInfo(
        key="live/cam1", id=3, pid=812, uid=1000, name="recorder", cursor=4290, dropped=17, lag_frames=12,
        lag_bytes=120_000, lag_seconds=0.24, since_ms=1_700_000_000_000, reported_seconds_ago=0.4,
    )  # fmt: skip

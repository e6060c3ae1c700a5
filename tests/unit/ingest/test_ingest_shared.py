"""What all gateways share: options of their limits, credentials, frames that wait, the gate, a claim's life."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from arclyd.errors import AlreadyPublishing, WireError
from arclyd.ingest import gateway as gateway_module
from arclyd.ingest.claimed import MAX_CLAIMS, Claimed
from arclyd.ingest.credentials import MOST, shown_in_header, shown_in_query
from arclyd.ingest.holding import Bounds, Holding
from arclyd.ingest.limits import Limits
from arclyd.ingest.listening import limit_options, tls_options
from arclyd.ingest.mpegts.address import Address, open_sender
from arclyd.ingest.publication import TELL_SECONDS, Publication
from arclyd.media.track import Track
from tests.ingesting import FakeGateway, Published

if TYPE_CHECKING:
    from collections.abc import Mapping

PICTURE = Track.video("vp9", time_base=Fraction(1, 1000))
SOUND = Track.audio("mp3", sample_rate=48_000, channels=2, time_base=Fraction(1, 1000))


# -------------------------------------------------------------------- options


def given(*words: str, without: tuple[str, ...] = ()) -> Limits:
    """The limits a command gets from that line."""
    taken: list[Limits] = []

    @click.command
    @limit_options(*without)
    def command(*, limits: Limits) -> None:
        taken.append(limits)

    CliRunner().invoke(command, words, catch_exceptions=False, standalone_mode=False)
    return taken[0]


def test_options_of_limits_default_to_the_limits() -> None:
    assert given() == Limits(rate=24 << 20)


def test_each_option_sets_its_limit() -> None:
    words = "--max-connections 1 --max-per-address 2 --max-rate 3MiB --max-video 4KiB --max-audio 5"
    limits = given(*words.split(), "--start", "6", "--idle", "7", "--stalled", "8")
    assert limits == Limits(6, 7, 8, connections=1, per_address=2, rate=3 << 20, video=4 << 10, audio=5)


def test_a_limit_that_means_nothing_to_a_protocol_is_no_option_of_it() -> None:
    with pytest.raises(click.NoSuchOption):
        given("--stalled", "8", without=("stalled_seconds",))
    assert given(without=("stalled_seconds",)).stalled_seconds == Limits().stalled_seconds


def test_a_private_key_without_a_certificate_is_refused(tmp_path: Any) -> None:
    @click.command
    @tls_options
    def command(**_options: object) -> None:
        raise AssertionError("was run")

    key = tmp_path / "key.pem"
    key.touch()
    result = CliRunner().invoke(command, ["--tls-key", str(key)])
    assert result.exit_code == 2
    assert "--tls-key needs --tls-cert" in result.output


# ---------------------------------------------------------------- credentials


def test_credentials_of_a_query_and_of_a_header() -> None:
    assert shown_in_query({"user": "u", "pass": "p", "else": "x"}) == {"user": "u", "pass": "p"}
    assert shown_in_query({"token": "t" * 2 * MOST}) == {"token": "t" * MOST}
    assert shown_in_header("Bearer abc") == {"token": "abc"}
    assert shown_in_header("basic " + base64.b64encode("ü:p:w".encode()).decode()) == {"user": "ü", "pass": "p:w"}


@pytest.mark.parametrize("field", ["", "Digest x", "Basic", "Basic %%%", "Basic " + base64.b64encode(b"\xff").decode()])
def test_a_header_that_says_nothing_shows_nothing(field: str) -> None:
    assert not shown_in_header(field).get("user")


# ------------------------------------------------------------------- holding


@dataclass(frozen=True)
class Waits:
    """A frame: its name, and what `Holding` asks."""

    name: str
    time: int | None
    is_picture: bool = False
    starts: bool = False
    size: int = 10


BOUNDS = Bounds(ticks=1000, size=100, frames=5, together=250)


def holding(*frames: Waits) -> Holding[Waits]:
    held: Holding[Waits] = Holding(BOUNDS)
    for frame in frames:
        held.put(frame)
    return held


@pytest.mark.parametrize(
    ("frames", "full"),
    [
        ((), False),
        ([Waits("a", 0), Waits("b", 999)], False),
        ([Waits("a", 0), Waits("b", 1000)], True),
        ([Waits("a", None), Waits("b", 5000)], False),
        ([Waits("a", 5000), Waits("b", 0)], False),
        ([Waits("a", 0, size=99)], False),
        ([Waits("a", 0, size=100)], True),
        ([Waits("a", 0)] * 4, False),
        ([Waits("a", 0)] * 5, True),
    ],
)
def test_the_bounds_of_what_is_held(frames: list[Waits], full: bool) -> None:
    assert holding(*frames).full is full


def test_sound_that_goes_with_the_first_keyframe_follows_it() -> None:
    frames = [
        Waits("late picture", 900, is_picture=True),
        Waits("old sound", 749),
        Waits("near sound", 750),
        Waits("key", 1000, is_picture=True, starts=True),
        Waits("next sound", 1001),
    ]
    held = holding(*frames)
    assert held.startable
    assert [frame.name for frame in held.take()] == ["late picture", "old sound", "key", "near sound", "next sound"]
    assert not held
    assert held.size == 0


def test_without_a_keyframe_the_order_stays() -> None:
    frames = [Waits("b", 5), Waits("a", 1)]
    held = holding(*frames)
    assert not held.startable
    assert held.take() == frames


# ------------------------------------------------------------------- claimed


def test_the_gate_opens_once_and_counts_what_it_kept_out() -> None:
    stream = Claimed("X")
    stream.anew([PICTURE, SOUND])
    said = [stream.admits(starts=starts) for starts in (False, False, True, False)]
    assert said == [False, False, True, True]
    assert stream.counts.gated == 2


def test_sound_alone_has_no_gate() -> None:
    stream = Claimed("X")
    stream.anew([SOUND])
    assert stream.admits(starts=False)


def test_a_jump_of_time_and_a_loss_are_discontinuities() -> None:
    stream, publisher = Claimed("X"), Published()
    stream.anew([PICTURE])
    stream.publisher = publisher  # type: ignore[assignment]
    for dts, lost in ((0, False), (40, False), (90_000_000, False), (90_000_040, True)):
        stream.publish(0, b"x", pts=dts, dts=dts, keyframe=True, lost=lost)
    assert [facts["discontinuity"] for _, _, facts in publisher.frames] == [False, False, True, True]
    assert [facts["dts"] for _, _, facts in publisher.frames][:3] == [0, 40, 80]


def test_tracks_may_not_change_for_ever() -> None:
    stream = Claimed("X")
    for _ in range(MAX_CLAIMS):
        stream.anew([SOUND])
    with pytest.raises(WireError, match="X"):
        stream.anew([SOUND])


# --------------------------------------------------------------- publication


class Intake:
    """As `Publication` wants it."""

    def __init__(self) -> None:
        self.publisher: Any = None

    @property
    def live(self) -> bool:
        return self.publisher is not None

    def tracks(self) -> list[Track]:
        return [SOUND]

    def begin(self, publisher: Any) -> None:
        self.publisher = publisher

    def release(self) -> Any:
        publisher, self.publisher = self.publisher, None
        return publisher

    def interrupt(self) -> None:
        self.release()


def publication(gateway: FakeGateway, intake: Intake, news: Mapping[str, object] | None = None) -> Publication:
    fields = {} if news is None else news
    return Publication(
        gateway,  # type: ignore[arg-type]
        "live/a",
        "h:1",
        connection=object(),  # type: ignore[arg-type]
        intake=intake,
        news=lambda: dict(fields),
    )


def test_a_stream_that_another_process_has_is_refused_and_ones_own_is_taken_over() -> None:
    async def claims(pid: int) -> bool:
        gateway = FakeGateway(AlreadyPublishing("live/a", pid=pid))
        it = publication(gateway, Intake())
        await it.admit({})
        await it.claim()
        return bool(gateway.claims[0]["take_over"])

    assert asyncio.run(claims(os.getpid()))
    with pytest.raises(AlreadyPublishing):
        asyncio.run(claims(1))


def test_a_connection_that_went_while_it_was_judged_keeps_no_place_and_claims_nothing() -> None:
    async def go() -> FakeGateway:
        gateway, intake = FakeGateway(), Intake()
        it = publication(gateway, intake)
        gateway.during = it.interrupt
        await it.admit({})
        await it.claim()
        assert not intake.live
        return gateway

    gateway = asyncio.run(go())
    assert not gateway.entered
    assert not gateway.claims


def test_a_connection_that_went_while_it_claimed_lets_go_of_the_stream() -> None:
    async def go() -> tuple[FakeGateway, Intake]:
        gateway, intake = FakeGateway(), Intake()
        it = publication(gateway, intake)
        await it.admit({})
        gateway.during = it.interrupt
        await it.claim()
        return gateway, intake

    gateway, intake = asyncio.run(go())
    assert gateway.claims
    assert not intake.live
    assert not gateway.entered


def test_the_daemon_is_told_what_is_new_only_and_not_too_often() -> None:
    async def go() -> list[dict[str, object]]:
        news: dict[str, object] = {"fps": 25}
        gateway = FakeGateway()
        it = publication(gateway, Intake(), news)
        await it.admit({})
        await it.claim()
        loop = asyncio.get_running_loop()
        it.tell(loop.time() + 2 * TELL_SECONDS)
        news["fps"] = 30
        it.tell(loop.time())
        it.tell(loop.time() + 2 * TELL_SECONDS)
        it.tell(loop.time() + 4 * TELL_SECONDS)
        await asyncio.sleep(0)
        return gateway.told

    assert asyncio.run(go()) == [{"fps": 30}]


# ------------------------------------------------------------------ the process


def test_a_fault_in_one_connection_leaves_the_others_looked_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_module, "TICK_SECONDS", 0.001)

    class Faulty:
        closed = ""

        def tick(self, _now: float) -> None:
            raise ZeroDivisionError

        def close(self, reason: str, *, abort: bool = False) -> None:
            self.closed = reason

    class Sound(Faulty):
        ticks = 0

        def tick(self, _now: float) -> None:
            self.ticks += 1

    async def go() -> tuple[Faulty, Sound]:
        gateway = gateway_module.Gateway(None, Limits(), "x")  # type: ignore[arg-type]
        faulty, sound = Faulty(), Sound()
        gateway.connections = {faulty, sound}
        async with gateway.attended():
            while sound.ticks < 3:
                await asyncio.sleep(0.001)
            assert faulty.closed == "a fault of the gateway"
        return faulty, sound

    _, sound = asyncio.run(asyncio.wait_for(go(), 30))
    assert sound.closed == "the gateway ends"


LOG = """
    import logging
    from arclyd.serving import log_events
    log_events(quiet=False)
    logging.getLogger("x").info("%s: lost", "live/a\\x1b[2J\\narclyd: live/b")
"""


def test_what_a_client_said_makes_no_line_of_its_own_in_the_log() -> None:
    code = textwrap.dedent(LOG)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "arclyd: live/a\\x1b[2J\\narclyd: live/b: lost\n"


def test_a_network_that_is_not_there_is_an_error_of_ours() -> None:
    with pytest.raises(WireError, match="udp://255"):  # a socket may not send to everybody unless it says so
        open_sender(Address.parse("udp://255.255.255.255:5"))
